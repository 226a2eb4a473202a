"""What a simulation learns beyond the steps it adds: ways that go on below them.

Steps that were rolled out stay in the tree below a node that is not expanded yet: their tokens are paid for,
their answers may be right, and labels need them. Selection stops above them until that node is expanded, of
whose children they then are some. ReST-MCTS*'s code throws them away.
"""

import random
from collections.abc import Awaitable, Callable, Sequence

from understand_r1_zero.search.growth import Growth
from understand_r1_zero.search.selection import Score, beam, descend, own_value
from understand_r1_zero.search.tree import SearchTree

RollOut = Callable[
    [Growth, Sequence[tuple[int, Sequence[int]]], random.Random],
    Awaitable[list[tuple[int, float]]],
]
"""Of the nodes that were expanded, with their new children: which nodes are backed up, with which values."""
Choose = Callable[[Growth, Sequence[Sequence[int]]], Awaitable[list[int]]]
"""One of each group of siblings, to go on from."""


async def first(growth: Growth, groups: Sequence[Sequence[int]]) -> list[int]:
    """The one sampled first, without a value."""
    return [group[0] for group in groups]


async def greedy(growth: Growth, groups: Sequence[Sequence[int]]) -> list[int]:
    """The one of the highest value, which all are asked for."""
    await growth.value([number for group in groups for number in group])
    return [beam(growth.tree, group, 1, own_value)[0] for group in groups]


def at_random(rng: random.Random) -> Choose:
    """Any one, which alone is valued."""

    async def choose(growth: Growth, groups: Sequence[Sequence[int]]) -> list[int]:
        chosen = [rng.choice(group) for group in groups]
        await growth.value(chosen)
        return chosen

    return choose


async def follow(
    growth: Growth, starts: Sequence[int], num_steps: int, branch: int, choose: Choose
) -> list[list[int]]:
    """The nodes of a way of at most `num_steps` below each of the starts, `branch` samples a step.

    A way is shorter where it ends, no step can be read, or the budget is spent.
    """
    ways: list[list[int]] = [[] for _ in starts]
    heads = dict(enumerate(starts))
    for _ in range(num_steps):
        await growth.reflect(heads.values())
        heads = {place: head for place, head in heads.items() if growth.tree.is_open(head)}
        if not heads or not growth.has_budget():
            break
        sampled = await growth.expand({head: branch for head in heads.values()}, is_complete=False)
        groups = {place: list(group) for place, group in zip(heads, sampled, strict=True) if group}
        chosen = await choose(growth, list(groups.values()))
        heads = dict(zip(groups, chosen, strict=True))
        for place, head in heads.items():
            ways[place].append(head)
    return ways


def max_mixed(value: float, rolled: Sequence[float], alpha: float) -> float:
    """`(1 - alpha) V + alpha max rolled`; V where nothing was rolled out.

    Source: ReST-MCTS*, Zhang et al. 2024, arXiv:2406.03816, algorithm 2. Its code takes 0 for the maximum of
    nothing, so that a step after which one sample could not be read loses half its value.
    """
    return (1 - alpha) * value + alpha * max(rolled) if rolled else value


def forward(num_steps: int, branch: int, alpha: float, kind: str) -> RollOut:
    """The best new child by value is rolled forward, and backed up with `max_mixed`; its siblings are not.

    A node without new children is backed up as it stands. `kind` is "greedy" or "random".

    Source: ReST-MCTS*, as `max_mixed`; `MCTS/mcts.py`, `greedyPolicy`, `randomPolicy`. Of equal children it
    draws one; here it is the one added first.
    """

    async def roll_out(
        growth: Growth, expanded: Sequence[tuple[int, Sequence[int]]], rng: random.Random
    ) -> list[tuple[int, float]]:
        tree = growth.tree
        starts = [beam(tree, new, 1, own_value)[0] if new else leaf for leaf, new in expanded]
        is_new = [bool(new) for _, new in expanded]
        going = [start for start, new in zip(starts, is_new, strict=True) if new]
        choose = greedy if kind == "greedy" else at_random(rng)
        ways = dict(zip(going, await follow(growth, going, num_steps, branch, choose), strict=True))
        came_up = []
        for start, new in zip(starts, is_new, strict=True):
            value = tree.nodes[start].value or 0.0
            if new:
                rolled = [own_value(tree, number) for number in ways[start]]
                came_up.append((start, max_mixed(value, rolled, alpha)))
            else:
                came_up.append((start, tree.nodes[start].mean(value)))
        return came_up

    return roll_out


def to_the_end(score: Score, num_children: int) -> RollOut:
    """Each simulation goes on expanding, where `score` leads, until nothing is open below; all nodes come up.

    Meant for `backup.terminal_only`.

    Source: rStar-Math, Guan et al. 2025, arXiv:2501.04519, section 3.2. Its limit of 16 levels a simulation
    is the tree's depth here.
    """

    async def roll_out(
        growth: Growth, expanded: Sequence[tuple[int, Sequence[int]]], rng: random.Random
    ) -> list[tuple[int, float]]:
        tree = growth.tree
        came_up = [(n, own_value(tree, n)) for _, new in expanded for n in new]
        heads: list[int] = [leaf for leaf, _ in expanded]
        while growth.has_budget():
            heads = _below(tree, heads, score, rng)
            if not heads:
                break
            sampled = await growth.expand(dict.fromkeys(heads, num_children))
            new = [number for group in sampled for number in group]
            came_up += zip(new, await growth.value(new), strict=True)
        return came_up

    return roll_out


def _below(tree: SearchTree, heads: Sequence[int], score: Score, rng: random.Random) -> list[int]:
    found = [descend(tree, score, rng, start=head) for head in heads]
    return [number for number in found if number is not None]
