"""Explored trees of a sum, as completions from its steps leave them."""

from collections.abc import Callable, Sequence

import pytest

from understand_r1_zero.search.codecs.registry import load_codec
from understand_r1_zero.search.codecs.step import StepCodec
from understand_r1_zero.search.step import Step
from understand_r1_zero.search.tree import ROOT, Node, SearchTree

Completion = tuple[str, float]
"""A text, and its end's reward."""


@pytest.fixture
def codec() -> StepCodec:
    """Steps a line; the problem alone is the prompt."""
    return load_codec("lines")


def _draw(tree: SearchTree, number: int, drawn: Sequence[Completion] | None) -> None:
    """Hang completions below a node, a step a line; None: none were drawn."""
    if drawn is None:
        return
    node = tree.nodes[number]
    node.labels = {"num_right": sum(r > 0 for _, r in drawn), "num_completions": len(drawn)}
    for text, reward in drawn:
        below = number
        lines = text.splitlines(keepends=True)
        for place, line in enumerate(lines):
            is_end = place == len(lines) - 1
            answer = line.split()[-1] if is_end else None
            below = tree.insert(
                Node(Step(line, answer=answer), parent=below, depth=tree.nodes[below].depth + 1)
            )
        tree.end(below, "answer")
        tree.nodes[below].reward = reward


@pytest.fixture
def explored() -> Callable[..., SearchTree]:
    """A given solution, what was drawn after each of its steps, and what the record has besides."""

    def make(
        steps: Sequence[str],
        drawn: Sequence[Sequence[Completion] | None],
        *,
        at_root: Sequence[Completion] | None = None,
        reward: float = -1.0,
        **cells: object,
    ) -> SearchTree:
        record = {"question": "1+2+4?", "answer": "7", **cells}
        tree = SearchTree(record)
        chain: list[int] = []
        for place, text in enumerate(steps):
            answer = text.split()[-1] if place == len(steps) - 1 else None
            parent = chain[-1] if chain else ROOT
            chain.append(
                tree.insert(Node(Step(text, answer=answer), parent=parent, depth=place + 1))
            )
        tree.nodes[chain[-1]].reward = reward
        tree.end(chain[-1], "answer")
        _draw(tree, ROOT, at_root)
        for number, completions in zip(chain, drawn, strict=False):
            _draw(tree, number, completions)
        tree.record["search"] = {"given": tree.tag(chain[-1]), "scan": "linear"}
        return tree

    return make
