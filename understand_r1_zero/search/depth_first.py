"""Depth-first search with backtracking."""

from understand_r1_zero.search.growth import Growth
from understand_r1_zero.search.limits import Gate, Outcome, gated
from understand_r1_zero.search.selection import beam, own_value
from understand_r1_zero.search.tree import ROOT


async def depth_first(
    growth: Growth, *, width: int, num_children: int, threshold: float, gate: Gate
) -> Outcome:
    """Expand a node, go on below its `width` best children of value `threshold` or more, the best first.

    A child that ends, or without such children of its own, is where the search turns back.

    Source: Tree of Thoughts, Yao et al. 2023, arXiv:2305.10601, algorithm 2 (the threshold), as ReST-MCTS*'s
    code has it (the width, the gate).
    """
    tree, waiting = growth.tree, [ROOT]
    while waiting:
        if reason := growth.reason():
            return growth.outcome(reason)
        number = waiting.pop()
        if not tree.is_open(number):
            continue
        [children] = await growth.expand({number: num_children})
        growth.spent.simulations += 1
        await growth.value(children)
        node = gated(tree, children, gate)
        if node is not None:
            return growth.outcome("gate", node)
        best = beam(tree, children, width, own_value)
        waiting += [child for child in reversed(best) if own_value(tree, child) >= threshold]
    return growth.outcome("exhausted")
