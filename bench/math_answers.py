"""What `grader` grades: MATH test's gold answers, by an answer to the same problem and to the next.

The answer to the same problem is the gold as a model may write it: by turns as it is, spaced, with
other commands for the same, rearranged. The answer to the next is that one's gold, and nearly
always wrong. So half of the pairs are equal. The few rows with several golds are left out.
"""

import json
import re
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

from bench.side import REPOSITORY
from understand_r1_zero.grading.conventions import PRESETS
from understand_r1_zero.grading.exact import is_exact_match

MATH_TEST = REPOSITORY.parent / "shared" / "data" / "math" / "test_5000.qaf.json"
_INTEGER = re.compile(r"-?[0-9]+")


class Pair(NamedTuple):
    """An answer, the gold it is graded by, and whether it answers the gold's own problem."""

    answer: str
    gold: str
    is_own: bool


def _spaced(gold: str) -> str:
    return re.sub(r"(?<=[\w)}])\s*([-+=,<>])\s*", r" \1 ", gold)


def _other_commands(gold: str) -> str:
    if _INTEGER.fullmatch(gold):
        return f"{int(gold):,}"
    gold = gold.replace(r"\left", "").replace(r"\right", "").replace("pmatrix", "bmatrix")
    gold = re.sub(r"(?<=[0-9}])\s*\\(sqrt|pi)(?![A-Za-z])", r" \\cdot \\\1", gold)
    return re.sub(r"\\[dt]?frac(?![A-Za-z])", r"\\dfrac", gold)


def _rearranged(gold: str) -> str:
    if _INTEGER.fullmatch(gold):
        return f"{gold}.0"
    if sum_ := re.fullmatch(r"([^-+,=(){}]+)\+([^-+,=(){}]+(?:\{[^-+,=(){}]*\})?)", gold):
        return f"{sum_[2]}+{sum_[1]}"
    gold = re.sub(r"\\[dt]?frac\{([0-9]+)\}\{([0-9]+)\}", r"\1/\2", gold)
    return re.sub(r"\\[dt]?frac\{([^{}]*)\}\{([^{}]*)\}", r"(\1)/(\2)", gold)


_NOTATIONS: tuple[Callable[[str], str], ...] = (str, _spaced, _other_commands, _rearranged)


def pairs_of_round(number: int, golds_a_round: int) -> list[Pair]:
    """The pairs of one round, of rows that no other round has; twice as many as golds.

    Raises FileNotFoundError where the data set is absent, ValueError past its end.
    """
    rows = json.loads(MATH_TEST.read_text(encoding="utf-8"))
    golds = [row["answer"] for row in rows if isinstance(row["answer"], str)]
    start = number * golds_a_round
    golds = golds[start : start + golds_a_round + 1]
    if len(golds) <= golds_a_round:
        raise ValueError(f"{MATH_TEST.name} has no {golds_a_round} golds from number {start} on")
    pairs = []
    for index, (gold, other) in enumerate(pairwise(golds)):
        pairs.append(Pair(_NOTATIONS[index % len(_NOTATIONS)](gold), gold, True))
        pairs.append(Pair(other, gold, False))
    return pairs


PARTS = ("integers", "other_exact", "workers")


def split(pairs: list[Pair]) -> dict[str, list[Pair]]:
    """The pairs of two plain integers, of what else the exact path decides, and of the rest."""
    parts: dict[str, list[Pair]] = {part: [] for part in PARTS}
    for pair in pairs:
        if all(map(_INTEGER.fullmatch, pair[:2])):
            parts["integers"].append(pair)
        elif is_exact_match(pair.answer, pair.gold, PRESETS["default"]) is not None:
            parts["other_exact"].append(pair)
        else:
            parts["workers"].append(pair)
    return parts
