"""Tree search, written once for every way to select, to sample, to value, to roll out and to back up steps.

It asks for steps and values through callables and awaits them, so that the searches of many problems run
side by side and their requests share the engines' batches.
"""

import random
from dataclasses import dataclass, field

from understand_r1_zero.search import backup
from understand_r1_zero.search.growth import Evaluate, Expand, Growth
from understand_r1_zero.search.limits import Gate, Limits, Outcome, gated, never
from understand_r1_zero.search.rollouts import RollOut
from understand_r1_zero.search.selection import Score, descend
from understand_r1_zero.search.tree import SearchTree


@dataclass(frozen=True)
class Rules:
    """What makes a tree search this paper's or that one's.

    `values_children` values every new node (ReST-MCTS*, rStar-Math); else the node that was expanded is
    valued, and of its children those that end (AlphaMath). What was valued is backed up, or what `roll_out`
    makes of it. `num_parallel` simulations of one tree are under way at once, kept apart by their virtual
    losses.
    """

    score: Score
    back_up: backup.Backup = backup.mean
    num_children: int = 5
    values_children: bool = False
    limits: Limits = field(default_factory=Limits)
    gate: Gate = never
    num_parallel: int = 1
    roll_out: RollOut | None = None


async def tree_search(
    tree: SearchTree, rules: Rules, expand: Expand, evaluate: Evaluate, seed: int
) -> Outcome:
    """`simulate` on a tree that only this search grows."""
    return await simulate(Growth(tree, expand, evaluate, rules.limits), rules, seed)


async def simulate(growth: Growth, rules: Rules, seed: int) -> Outcome:
    """Select, reflect, expand, evaluate, roll out, back up, until a limit, a gate, or nothing is open.

    A leaf that reflection calls solved ends and is not expanded.

    Source: Kocsis & Szepesvari 2006; the papers named by the rules' functions.
    """
    tree, rng = growth.tree, random.Random(seed)
    while True:
        if reason := growth.reason():
            return growth.outcome(reason)
        wave = _select(growth, rules, rng)
        if not wave:
            return growth.outcome("exhausted")
        await growth.reflect(wave)
        counts = {leaf: rules.num_children for leaf in wave if tree.is_open(leaf)}
        children = dict(zip(counts, await growth.expand(counts), strict=True))
        for leaf in wave:
            backup.finish(tree, leaf)
        expanded = [(leaf, list(children.get(leaf, ()))) for leaf in wave]
        for number, value in await _values(growth, rules, expanded, rng):
            rules.back_up(tree, number, value)
        growth.spent.simulations += len(wave)
        node = gated(tree, (n for _, new in expanded for n in new), rules.gate)
        if node is not None:
            return growth.outcome("gate", node)


def _select(growth: Growth, rules: Rules, rng: random.Random) -> list[int]:
    """Different leaves for the simulations of one wave, each with its virtual loss."""
    room = min(rules.num_parallel, rules.limits.simulations - growth.spent.simulations)
    wave: list[int] = []
    while len(wave) < room:
        leaf = descend(growth.tree, rules.score, rng)
        if leaf is None or leaf in wave:
            break
        backup.begin(growth.tree, leaf)
        wave.append(leaf)
    return wave


async def _values(
    growth: Growth, rules: Rules, expanded: list[tuple[int, list[int]]], rng: random.Random
) -> list[tuple[int, float]]:
    """What is backed up, and with which value."""
    nodes = growth.tree.nodes
    valued: list[int] = []
    for leaf, new in expanded:
        if rules.values_children:
            valued += new
        else:
            valued += [leaf, *(number for number in new if nodes[number].terminal)]
    values = await growth.value(valued)
    if rules.roll_out is not None:
        return await rules.roll_out(growth, expanded, rng)
    return list(zip(valued, values, strict=True))
