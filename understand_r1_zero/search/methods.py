"""Searches by name: from an empty tree to the node whose answer is given."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from operator import eq

from understand_r1_zero.search.answers import AreEqual, solution_score, vote
from understand_r1_zero.search.beams import beams
from understand_r1_zero.search.chains import sample_chains, write_chain
from understand_r1_zero.search.depth_first import depth_first
from understand_r1_zero.search.grow import simulate
from understand_r1_zero.search.growth import Evaluate, Expand, Growth, Reflect
from understand_r1_zero.search.limits import Outcome
from understand_r1_zero.search.selection import ORDERS, descend, estimate, level_beams
from understand_r1_zero.search.settings import SearchSettings
from understand_r1_zero.search.tree import ROOT, SearchTree


@dataclass(frozen=True, slots=True)
class Solved:
    """The final node whose answer is given (None: there is no answer), all final nodes, and how it ended."""

    chosen: int | None
    finals: tuple[int, ...]
    outcome: Outcome


Found = tuple[Sequence[int], Outcome]
"""Final nodes to choose from, and how the search ended."""
Method = Callable[[Growth, SearchSettings, int], Awaitable[Found]]


async def solve(
    tree: SearchTree,
    expand: Expand,
    evaluate: Evaluate | None,
    settings: SearchSettings,
    seed: int,
    *,
    are_equal: AreEqual = eq,
    reflect: Reflect | None = None,
) -> Solved:
    """Search a problem by `settings.method`, and choose an answer.

    Args:
        tree: of the problem; only a root.
        expand: writes steps.
        evaluate: values them; None where the settings need no values.
        settings: the method and its choices.
        seed: draws what the search itself leaves to chance.
        are_equal: whether two answers are the same, for votes; asked in a thread, so that it may wait.
        reflect: of the settings' kind.

    Raises:
        ValueError: values or reflections are needed and not given.
    """
    if settings.needs_values and evaluate is None:
        raise ValueError(
            f"the search {settings.method!r} needs values of steps: give it a step oracle, "
            "or take greedy, cot or maj"
        )
    if settings.reflection != "none" and reflect is None:
        raise ValueError(
            f"reflection {settings.reflection!r} asks the policy: give `reflect`, or set it to none"
        )
    reflects = None if settings.reflection == "none" else reflect
    growth = Growth(tree, expand, evaluate, settings.limits, reflects)
    finals, outcome = await METHODS[settings.method](growth, settings, seed)
    if settings.vote == "best" and settings.best_by == "highest":
        chosen = await _highest(growth, settings, outcome.node, seed)
        finals = tree.finals()
    elif settings.vote == "best" and settings.best_by in ORDERS:
        descended = level_beams(tree, settings.width, ORDERS[settings.best_by])
        chosen = descended[0] if descended else None
    else:
        # Answers may be compared in other processes: searches of other problems go on meanwhile.
        chosen = await asyncio.to_thread(_voted, tree, finals, settings, are_equal)
    return Solved(chosen, tuple(finals), growth.outcome(outcome.reason, outcome.node))


async def _chain(growth: Growth, settings: SearchSettings, seed: int) -> Found:
    """Source: chain of thought, Wei et al. 2022, arXiv:2201.11903."""
    await write_chain(growth, ROOT, settings.num_children)
    return _all(growth)


async def _samples(growth: Growth, settings: SearchSettings, seed: int) -> Found:
    """Source: Cobbe et al. 2021, arXiv:2110.14168 (best of n); Wang et al. 2022, arXiv:2203.11171 (majority)."""
    await sample_chains(growth, {ROOT: settings.num_samples})
    finals = growth.tree.finals()
    if settings.needs_values:
        ways = finals if settings.aggregate == "last" else _on_the_way(growth.tree, finals)
        await growth.value(ways)
    return _all(growth)


async def _beam(growth: Growth, settings: SearchSettings, seed: int) -> Found:
    return await beams(growth, settings.beam_rules)


async def _depth_first(growth: Growth, settings: SearchSettings, seed: int) -> Found:
    outcome = await depth_first(
        growth,
        width=settings.width,
        num_children=settings.num_children,
        threshold=settings.threshold,
        gate=settings.gate,
    )
    return growth.tree.finals(), outcome


async def _tree(growth: Growth, settings: SearchSettings, seed: int) -> Found:
    outcome = await simulate(growth, settings.rules, seed)
    return growth.tree.finals(), outcome


METHODS: dict[str, Method] = {
    "greedy": _chain,
    "cot": _chain,
    "best_of_n": _samples,
    "maj": _samples,
    "sbs": _beam,
    "lookahead": _beam,
    "tot_bfs": _beam,
    "tot_dfs": _depth_first,
    "mcts": _tree,
    "rest_mcts": _tree,
    "rstar": _tree,
}


def highest(tree: SearchTree) -> int | None:
    """The node of the highest `estimate`, of equal ones the deepest, then the one added first; never the root.

    Source: ReST-MCTS*'s code, `getBestV`, which takes the root too.
    """
    nodes = range(ROOT + 1, len(tree.nodes))
    return max(nodes, key=lambda n: (estimate(tree, n), tree.nodes[n].depth, -n), default=None)


async def _highest(
    growth: Growth, settings: SearchSettings, gated: int | None, seed: int
) -> int | None:
    """The node at the gate, else the `highest`; where it gives no answer, what the policy goes on to.

    ReST-MCTS*'s code asks the policy to sum up the answer of whatever it chose. Where nothing can go on to an
    answer, it is the best scored final node below, or of all.
    """
    tree = growth.tree
    node = highest(tree) if gated is None else gated
    if node is None or tree.nodes[node].answer is not None:
        return node
    leaf = descend(tree, estimate, random.Random(seed), start=node)
    if leaf is not None:
        end = await write_chain(growth, leaf, settings.num_children)
        if tree.nodes[end].answer is not None:
            return end
    below = [number for number in tree.below(node) if tree.nodes[number].answer is not None]
    return _voted(tree, below or tree.finals(), settings, eq)


def _voted(
    tree: SearchTree, finals: Sequence[int], settings: SearchSettings, are_equal: AreEqual
) -> int | None:
    scores = [solution_score(tree, n, settings.aggregate, settings.scale) for n in finals]
    return vote(tree, finals, are_equal, scores, settings.vote)


def _on_the_way(tree: SearchTree, finals: Sequence[int]) -> list[int]:
    return sorted({number for final in finals for number in tree.path(final)})


def _all(growth: Growth) -> Found:
    reason = "exhausted" if growth.has_budget() else growth.reason()
    return growth.tree.finals(), growth.outcome(reason)
