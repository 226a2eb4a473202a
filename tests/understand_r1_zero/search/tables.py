"""A policy and an oracle that a table gives."""

import asyncio

from understand_r1_zero.search.step import Step
from understand_r1_zero.search.tree import Node


def table(samples, values, delays=None):
    """Expand and evaluate by a table of texts; what is not in it cannot be read, or is worth 0.

    Each letter is a step, a capital one an answer, a dot a sample that cannot be read.
    """

    async def expand(tree, number, count):
        name = tree.text(number)
        await asyncio.sleep((delays or {}).get(name, 0))
        return [
            Node(Step(text, answer=text if text.isupper() else None), num_tokens=2, logprob=-1.0)
            for text in samples.get(name, "")[:count]
            if text != "."
        ]

    async def evaluate(tree, numbers):
        return [values.get(tree.text(number), 0.0) for number in numbers]

    return expand, evaluate


def texts(tree, numbers):
    """The partial solutions that end at the nodes."""
    return [tree.text(number) for number in numbers]


def node_of(tree, text):
    """The node at which a partial solution ends."""
    [number] = [n for n in range(len(tree.nodes)) if tree.text(n) == text]
    return tree.nodes[number]
