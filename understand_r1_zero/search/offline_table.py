"""The accuracy of saved trees by every rule that answers could be chosen by, as a table."""

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from understand_r1_zero.console import table
from understand_r1_zero.grading.grader import Grader
from understand_r1_zero.search.answers import AGGREGATES, AreEqual
from understand_r1_zero.search.offline import (
    STRATEGIES,
    AnswerRule,
    IsRight,
    infer,
)
from understand_r1_zero.search.records import golds_of, read_trees
from understand_r1_zero.search.step_oracle import Scale, scale_of
from understand_r1_zero.types import Status

WIDTHS = (1, 3, 5)


def answer_checks(grader: Grader) -> tuple[AreEqual, IsRight]:
    """Whether two answers are the same, and whether one is that of a tree's record; each is asked once."""

    @cache
    def are_equal(answer: str, other: str) -> bool:
        return grader.grade(answer, (other,)).result().status is Status.CORRECT

    @cache
    def is_among(answer: str, golds: tuple[str, ...]) -> bool:
        return grader.grade(answer, golds).result().status is Status.CORRECT

    def is_right(answer: str, record: Mapping[str, Any]) -> bool:
        return is_among(answer, tuple(golds_of(record)))

    return are_equal, is_right


def offline_lines(path: Path, width: int | None, grader: Grader) -> list[str]:
    """The table of a file of trees: beams of several widths, or the one that is given, and votes.

    Raises:
        ValueError: the file has no trees, or a line that is none.
    """
    values = (node.value for tree in read_trees(path) for node in tree.nodes)
    rules = dict(_rules(width, scale_of(values)))
    found = infer(read_trees(path), rules, *answer_checks(grader))
    num_trees = max(score.num_trees for score in found.values())
    if not num_trees:
        raise ValueError(f"--from {path} has no trees")
    rows = [["answer by", "width", "answered", "right", "accuracy"]]
    for name, score in found.items():
        how, _, shown = name.rpartition(", ")
        rows.append(
            [how, shown, str(score.num_answered), str(score.num_right), f"{score.accuracy:.3f}"]
        )
    return [f"{num_trees} trees of {path}", "", *table(rows)]


def _rules(width: int | None, scale: Scale) -> Iterator[tuple[str, AnswerRule]]:
    for strategy in STRATEGIES:
        for each in (width,) if width else WIDTHS:
            yield f"best by {strategy}, {each}", AnswerRule(strategy, each, scale=scale)
    yield "majority, all", AnswerRule(width=None, vote="majority", scale=scale)
    for aggregate in AGGREGATES:
        for vote in ("best", "weighted"):
            rule = AnswerRule("value", None, vote, aggregate, scale)
            yield f"{vote} by {aggregate} of values, all", rule
