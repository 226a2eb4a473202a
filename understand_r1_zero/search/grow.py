"""Growing a tree: tree search and beams, written once for every way to sample and to value steps.

Both ask for steps and values through two callables and await them, so that the searches of many problems run
side by side and their requests share the engines' batches. What comes back is put into the tree in the
order in which it was asked, never in that of arrival: the same samples make the same tree.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from understand_r1_zero.search import backup
from understand_r1_zero.search.limits import Gate, Limits, Spent, never
from understand_r1_zero.search.selection import Score, beam, descend, own_value
from understand_r1_zero.search.tree import ROOT, Node, SearchTree

Expand = Callable[[SearchTree, int, int], Awaitable[Sequence[Node]]]
"""So many sampled steps below a node; those that cannot be read are left out."""
Evaluate = Callable[[SearchTree, Sequence[int]], Awaitable[Sequence[float]]]
"""The value of each partial solution, in the oracle's scale."""


@dataclass(frozen=True)
class Rules:
    """What makes a tree search this paper's or that one's.

    `values_children` values every new node and backs each up (ReST-MCTS*, rStar-Math); else the node that
    was expanded is valued, and of its children those that end (AlphaMath). `num_parallel` simulations of one
    tree are under way at once, kept apart by their virtual losses.
    """

    score: Score
    back_up: backup.Backup = backup.mean
    num_children: int = 5
    values_children: bool = False
    limits: Limits = field(default_factory=Limits)
    gate: Gate = never
    num_parallel: int = 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """Why a search ended, what it used, and the node that ended it, where one did."""

    reason: str
    spent: Spent
    node: int | None = None


async def tree_search(
    tree: SearchTree, rules: Rules, expand: Expand, evaluate: Evaluate, seed: int
) -> Outcome:
    """Select, expand, evaluate, back up, until a limit, a gate, or nothing is left to expand.

    Source: Kocsis & Szepesvari 2006; the papers named by the rules' functions.
    """
    rng, spent, started_s = random.Random(seed), Spent(), time.monotonic()
    while True:
        spent.seconds = time.monotonic() - started_s
        if reason := rules.limits.reason(spent):
            return Outcome(reason, spent)
        wave = _select(tree, rules, rng, spent)
        if not wave:
            return Outcome("exhausted", spent)
        samples = await asyncio.gather(*(expand(tree, leaf, rules.num_children) for leaf in wave))
        for leaf, nodes in zip(wave, samples, strict=True):
            spent.simulations += 1
            spent.tokens += sum(node.num_tokens * node.count for node in nodes)
            added = _put(tree, leaf, nodes, rules.limits.depth)
            backup.finish(tree, leaf)
            valued = added if rules.values_children else _ends_of(tree, leaf, added)
            for number, value in zip(valued, await evaluate(tree, valued), strict=True):
                tree.nodes[number].value = value
                rules.back_up(tree, number, value)
            gated = next((number for number in added if rules.gate(tree, number)), None)
            if gated is not None:
                spent.seconds = time.monotonic() - started_s
                _release(tree, wave[wave.index(leaf) + 1 :])
                return Outcome("gate", spent, gated)


async def beam_search(
    tree: SearchTree,
    expand: Expand,
    evaluate: Evaluate,
    *,
    width: int,
    num_children: int,
    limits: Limits,
) -> list[int]:
    """Step-level beam search: the final nodes found, the best first.

    The root is asked for `width * num_children` steps, then every live node for `num_children`. All are
    valued; of the `width` best each that gives an answer, or may not go on, leaves one place less, and the
    others live on.

    Source: AlphaMath, Chen et al. 2024, arXiv:2405.03553, algorithm 2 (SBS with B1 = `width`, B2 =
    `num_children`).
    """
    found: list[int] = []
    live, spent, started_s = [ROOT], Spent(), time.monotonic()
    while live and width > 0:
        spent.seconds = time.monotonic() - started_s
        if limits.reason(spent):
            break
        count = width * num_children if live == [ROOT] else num_children
        samples = await asyncio.gather(*(expand(tree, number, count) for number in live))
        candidates: list[int] = []
        for number, nodes in zip(live, samples, strict=True):
            spent.tokens += sum(node.num_tokens * node.count for node in nodes)
            candidates += _put(tree, number, nodes, limits.depth)
        spent.simulations += 1
        for number, value in zip(candidates, await evaluate(tree, candidates), strict=True):
            tree.nodes[number].value = value
        live = []
        for number in beam(tree, candidates, width, own_value):
            if tree.is_open(number):
                live.append(number)
                continue
            width -= 1
            if tree.nodes[number].answer is not None:
                found.append(number)
    return beam(tree, found, len(found), own_value)


def _select(tree: SearchTree, rules: Rules, rng: random.Random, spent: Spent) -> list[int]:
    """Different leaves for the simulations of one wave, each with its virtual loss."""
    room = min(rules.num_parallel, rules.limits.simulations - spent.simulations)
    wave: list[int] = []
    while len(wave) < room:
        leaf = descend(tree, rules.score, rng)
        if leaf is None or leaf in wave:
            break
        backup.begin(tree, leaf)
        wave.append(leaf)
    return wave


def _put(tree: SearchTree, parent: int, nodes: Sequence[Node], depth: float) -> list[int]:
    """Add sampled steps below a node, each once; those with an answer or too deep end there."""
    added = list(dict.fromkeys(tree.add(parent, node) for node in nodes))
    for number in added:
        node = tree.nodes[number]
        if not node.terminal and node.answer is not None:
            tree.end(number, "answer")
        elif not node.terminal and node.depth >= depth:
            tree.end(number, "depth")
    tree.expanded(parent)
    return added


def _ends_of(tree: SearchTree, leaf: int, added: Sequence[int]) -> list[int]:
    """The node that was expanded, and what ended below it."""
    return [leaf, *(number for number in added if tree.nodes[number].terminal)]


def _release(tree: SearchTree, waiting: Sequence[int]) -> None:
    for leaf in waiting:
        backup.finish(tree, leaf)
