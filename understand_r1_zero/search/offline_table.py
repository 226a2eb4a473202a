"""The accuracy of saved trees by every rule that answers could be chosen by, as a table."""

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from understand_r1_zero.console import table
from understand_r1_zero.grading.grader import Grader
from understand_r1_zero.search.answers import AGGREGATES
from understand_r1_zero.search.offline import STRATEGIES, AnswerRule, infer
from understand_r1_zero.search.records import golds_of, read_trees
from understand_r1_zero.search.step_oracle import PROBABILITY, SIGNED, Scale
from understand_r1_zero.search.tree import SearchTree
from understand_r1_zero.types import Status

WIDTHS = (1, 3, 5)


def offline_lines(path: Path, width: int | None, grader: Grader) -> list[str]:
    """The table of a file of trees: beams of several widths, or the one that is given, and votes.

    Raises:
        ValueError: the file has no trees, or a line that is none.
    """
    trees = list(read_trees(path))
    if not trees:
        raise ValueError(f"--from {path} has no trees")

    @cache
    def are_equal(answer: str, other: str) -> bool:
        return grader.grade(answer, (other,)).result().status is Status.CORRECT

    def is_right(answer: str, record: Mapping[str, Any]) -> bool:
        return _is_right(answer, tuple(golds_of(record)))

    @cache
    def _is_right(answer: str, golds: tuple[str, ...]) -> bool:
        return grader.grade(answer, golds).result().status is Status.CORRECT

    rows = [["answer by", "width", "answered", "right", "accuracy"]]
    for name, rule in _rules(width, _scale_of(trees)):
        found = infer(trees, rule, are_equal, is_right)
        shown = "all" if rule.width is None else str(rule.width)
        counts = [str(found.num_answered), str(found.num_right), f"{found.accuracy:.3f}"]
        rows.append([name, shown, *counts])
    return [f"{len(trees)} trees of {path}", "", *table(rows)]


def _rules(width: int | None, scale: Scale) -> Iterator[tuple[str, AnswerRule]]:
    for strategy in STRATEGIES:
        for each in (width,) if width else WIDTHS:
            yield f"best by {strategy}", AnswerRule(strategy, each, scale=scale)
    yield "majority", AnswerRule(width=None, vote="majority", scale=scale)
    for aggregate in AGGREGATES:
        for vote in ("best", "weighted"):
            rule = AnswerRule("value", None, vote, aggregate, scale)
            yield f"{vote} by {aggregate} of values", rule


def _scale_of(trees: list[SearchTree]) -> Scale:
    """Of the values: signed, where any is below 0."""
    values = (node.value for tree in trees for node in tree.nodes)
    return SIGNED if any(value is not None and value < 0 for value in values) else PROBABILITY
