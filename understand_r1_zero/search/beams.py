"""Beams: level by level, the best partial solutions live on."""

from collections.abc import Sequence
from dataclasses import dataclass

from understand_r1_zero.search.growth import Growth
from understand_r1_zero.search.limits import Gate, Outcome, gated, never
from understand_r1_zero.search.rollouts import first, follow, greedy
from understand_r1_zero.search.selection import beam
from understand_r1_zero.search.tree import ROOT


@dataclass(frozen=True, slots=True)
class BeamRules:
    """What makes a beam this paper's or that one's.

    The root is asked for `root_children` steps, every other live node for `num_children`. `is_narrowing`: of
    the `width` best each that ended leaves one place less. A candidate is worth the value at the end of
    `lookahead_steps` more steps, each the best by value of `roll_branch` samples; 0: its own value.
    """

    width: int
    num_children: int
    root_children: int
    is_narrowing: bool = True
    gate: Gate = never
    lookahead_steps: int = 0
    roll_branch: int = 1


async def beams(growth: Growth, rules: BeamRules) -> tuple[list[int], Outcome]:
    """The final nodes found, the best first.

    Source: AlphaMath, Chen et al. 2024, arXiv:2405.03553, algorithm 2 (SBS). Not narrowing, with a gate: Tree of
    Thoughts, Yao et al. 2023, arXiv:2305.10601, algorithm 1, as ReST-MCTS*'s code has it. Lookahead: Snell et
    al. 2024, arXiv:2408.03314, section 5.2, which rolls out at temperature 0, here at the policy's own.
    """
    tree, width = growth.tree, rules.width
    worth: dict[int, float] = {}
    found: list[int] = []
    live, reason, node = [ROOT], "", None
    while live and width > 0 and node is None:
        if reason := growth.reason():
            break
        count = rules.root_children if live == [ROOT] else rules.num_children
        sampled = await growth.expand(dict.fromkeys(live, count))
        candidates = [number for group in sampled for number in group]
        growth.spent.simulations += 1
        worth.update(await _worth(growth, candidates, rules))
        node = gated(tree, candidates, rules.gate)
        live = []
        for number in beam(tree, candidates, width, lambda _, candidate: worth[candidate]):
            if tree.is_open(number):
                live.append(number)
                continue
            width -= rules.is_narrowing
            if tree.nodes[number].answer is not None:
                found.append(number)
    ranked = beam(tree, found, len(found), lambda _, final: worth[final])
    return ranked, growth.outcome("gate" if node is not None else reason or "exhausted", node)


async def _worth(growth: Growth, candidates: Sequence[int], rules: BeamRules) -> dict[int, float]:
    choose = greedy if rules.roll_branch > 1 else first
    ways = await follow(growth, candidates, rules.lookahead_steps, rules.roll_branch, choose)
    ends = [way[-1] if way else start for start, way in zip(candidates, ways, strict=True)]
    return dict(zip(candidates, await growth.value(ends), strict=True))
