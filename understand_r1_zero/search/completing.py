"""Completions of partial solutions, for whoever judges a step by what comes of it."""

import asyncio
from collections.abc import Sequence

from understand_r1_zero.search.grow import Expand
from understand_r1_zero.search.step import Step
from understand_r1_zero.search.step_oracle import Completion
from understand_r1_zero.search.tree import Node, SearchTree


async def complete_by_steps(
    given: Sequence[Step], expand: Expand, count: int, max_depth: float
) -> list[Completion]:
    """So many completions of a partial solution, each sampled step after step.

    They share nothing but the beginning: equal steps stay apart, and each is drawn by a seed of its own.

    Args:
        given: the partial solution.
        expand: the policy; its seeds follow from where a step is.
        count: how many.
        max_depth: the longest solution in steps.
    """
    tree = SearchTree({})
    start = tree.add_chain(given)
    firsts = await expand(tree, start, count)
    return list(
        await asyncio.gather(*(_go_on(tree, start, node, expand, max_depth) for node in firsts))
    )


async def _go_on(
    tree: SearchTree, start: int, node: Node, expand: Expand, max_depth: float
) -> Completion:
    steps: list[Step] = []
    num_tokens = 0
    parent = start
    while True:
        node.parent, node.depth = parent, tree.nodes[parent].depth + 1
        parent = tree.insert(node)
        steps.append(node.step)
        num_tokens += node.num_tokens
        if node.answer is not None or node.terminal or node.depth >= max_depth:
            return Completion(tuple(steps), num_tokens)
        found = await expand(tree, parent, 1)
        if not found:
            return Completion(tuple(steps), num_tokens)
        node = found[0]
