"""Where a search goes on: the score of a child, the way down, and beams. Pure functions of a tree."""

import math
import random
from collections.abc import Callable, Iterable

from understand_r1_zero.search.tree import ROOT, SearchTree

Score = Callable[[SearchTree, int], float]
"""How much a search wants to pass through a node, as a child of its parent."""


def puct(
    tree: SearchTree, child: int, *, c: float, is_normalised: bool = False, worst: float = -1.0
) -> float:
    """`Q + c P sqrt(N_parent) / (1 + N)`, Q = 0 where N = 0.

    P is `Node.prior`, normalised for length but not over siblings unless `is_normalised`. A simulation under
    way counts as a visit worth `worst` (a virtual loss), so that the next goes elsewhere.

    Source: AlphaMath, Chen et al. 2024, arXiv:2405.03553, eq. 7; virtual loss: Chaslot et al. 2008.
    """
    node, parent = tree.nodes[child], tree.nodes[tree.nodes[child].parent]
    prior = node.prior
    if is_normalised:
        prior /= sum(tree.nodes[sibling].prior for sibling in parent.children)
    visits = node.visits + node.pending
    q = (node.value_sum + worst * node.pending) / visits if visits else 0.0
    return q + c * prior * math.sqrt(parent.visits + parent.pending) / (1 + visits)


def uct(tree: SearchTree, child: int, *, c: float, worst: float = -1.0) -> float:
    """`Q + c sqrt(ln N_parent / N)`, and where N = 0 its `value`, or 0: no bonus for the unvisited.

    Source: rStar-Math, Guan et al. 2025, arXiv:2501.04519, eq. 1, as its code has it.
    """
    node, parent = tree.nodes[child], tree.nodes[tree.nodes[child].parent]
    visits = node.visits + node.pending
    if visits == 0:
        return node.value or 0.0
    q = (node.value_sum + worst * node.pending) / visits
    return q + c * math.sqrt(math.log(max(1, parent.visits + parent.pending)) / visits)


def rest_ucb(tree: SearchTree, child: int, *, c: float, inf: float, worst: float = 0.0) -> float:
    """`V + c sqrt(2 ln N_parent / N)`, and where N = 0 `V + inf` with an additive `inf` of about 1.

    V is the mean of a visited node and the `value` of another.

    Source: ReST-MCTS*, Zhang et al. 2024, arXiv:2406.03816, algorithm 2 and its code.
    """
    node, parent = tree.nodes[child], tree.nodes[tree.nodes[child].parent]
    visits = node.visits + node.pending
    if visits == 0:
        return (node.value or 0.0) + inf
    v = (node.mean() * node.visits + worst * node.pending) / visits
    return v + c * math.sqrt(2 * math.log(max(1, parent.visits + parent.pending)) / visits)


def descend(tree: SearchTree, score: Score, rng: random.Random, start: int = ROOT) -> int | None:
    """The open leaf that the highest scores lead to, ties broken at random; None: nothing is open.

    Closed children are passed over, so that an exhausted subtree never ends the search.
    """
    if not tree.is_open(start):
        return None
    number = start
    while tree.nodes[number].is_expanded:
        scores = {child: score(tree, child) for child in tree.open_children(number)}
        best = max(scores.values())
        number = rng.choice([child for child, value in scores.items() if value == best])
    return number


def beam(tree: SearchTree, candidates: Iterable[int], width: int, value: Score) -> list[int]:
    """The `width` candidates of the highest value, the best first; of equal ones the one added first."""
    return sorted(candidates, key=lambda number: (-value(tree, number), number))[:width]


def own_value(tree: SearchTree, number: int) -> float:
    """The oracle's `value`; the lowest of all where there is none."""
    value = tree.nodes[number].value
    return -math.inf if value is None else value


def q_value(tree: SearchTree, number: int) -> float:
    """The search's mean; the lowest of all where it never passed."""
    return tree.nodes[number].mean(-math.inf)


def estimate(tree: SearchTree, number: int) -> float:
    """The search's mean where it passed, else the oracle's `value`; the lowest of all without either."""
    return tree.nodes[number].mean(own_value(tree, number))


def visit_count(tree: SearchTree, number: int) -> float:
    """How often the search passed."""
    return float(tree.nodes[number].visits)


ORDERS: dict[str, Score] = {"q_value": q_value, "value": own_value, "visit_count": visit_count}
"""What a beam down a finished tree may follow."""


def level_beams(tree: SearchTree, width: int, value: Score) -> list[int]:
    """Final nodes that a beam finds in a tree that is already there, the best first.

    Branches without an answer are left out; then level by level the `width` best are followed, and each
    answer found leaves one place less.

    Source: AlphaMath's offline inference (MCTS with `mcts_infer_strategy`).
    """
    finals = set(tree.finals())
    is_useful = {number: number in finals for number in range(len(tree.nodes))}
    for number in range(len(tree.nodes) - 1, ROOT, -1):
        is_useful[tree.nodes[number].parent] |= is_useful[number]
    found: list[int] = []
    live = [ROOT]
    while live and width > 0:
        children = [c for number in live for c in tree.nodes[number].children if is_useful[c]]
        live = []
        for number in beam(tree, children, width, value):
            if number in finals:
                found.append(number)
                width -= 1
            else:
                live.append(number)
    return beam(tree, found, len(found), value)
