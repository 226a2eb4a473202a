"""The gold answers of the five benchmarks, GSM8K test and MATH test, against themselves and others."""

import json
import random
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from understand_r1_zero.data import parse_answers
from understand_r1_zero.grading.conventions import PRESETS
from understand_r1_zero.grading.extraction import boxed
from understand_r1_zero.grading.pool import Grade, GraderPool
from understand_r1_zero.types import Status

DATA = Path(__file__).parents[4] / "shared/data"
DEFAULT = PRESETS["default"]
UNPARSABLE = Status.UNPARSABLE  # no answer, to a gold answer that can be read

EQUAL = {
    frozenset(line.strip().split(" == "))
    for line in r"""
    120 == 120^\circ
    30 == 30^\circ
    36 == 36^\circ
    47 == 47^\circ
    70 == 70^\circ
    87 == 87^\circ
    90 == 90^\circ
    106 == 106^\circ
    133 == 133^\circ
    145 == 145^\circ
    156 == 156^\circ
    180 == 180^\circ
    840 == 840^\circ
    180^\circ == 180^{\circ}
    80^\circ == 80^{\circ}
    20\text{ degrees} == 20^\circ
    198 == 198\%
    7.2 == 7.2\%
    5.4 == 5.4 \text{ cents}
    144 == 144 \mbox{ m}^3
    15 == 15\mbox{ cm}^2
    162 == 162\text{ minutes}
    18 == 18 \text{ integers}
    25 == 25 \, \text{km}
    440 == 440\text{ cm}^2
    45 == 45 \text{ units}^2
    575 == 575\text{ students}
    65 == 65 \text{ children tickets }
    864 == 864 \mbox{ inches}^2
    1950 == 1950^\circ C
    4.4677 \times 10^{14} == 4.4677 \times 10^{14} Hz
    8\sqrt{3} == 8\sqrt{3} \text { square inches}
    \frac{3}{4}\pi\text{ inches} == \frac{3 \pi}{4}
    9 == a=9
    -2,1 == 1,-2
    E_1, E_2 == E_{1},E_{2}
    3.61 \times 10^{-10} == 3.61e-10
    \frac{1}{L C s^{2}+R C s+1} == \frac{1}{LCs^2 + RCs + 1}
    (\text{E}) == \text{(E)}
    \mbox{Saturday} == \text{Saturday}
    -\frac32 == -\frac{3}{2}
    \dfrac{1}{10} == \frac1{10}
    \tfrac{10}{3} == \frac{10}{3}
    \frac32 == \tfrac{3}{2}
    \frac12 == \frac{1}{2}
    \frac13 == \frac{1}{3}
    \frac14 == \frac{1}{4}
    \frac15 == \frac{1}{5}
    \frac16 == \frac{1}{6}
    \frac19 == \frac{1}{9}
    \frac35 == \frac{3}{5}
    \frac78 == \frac{7}{8}
    \sqrt2 == \sqrt{2}
    6\sqrt3 == 6\sqrt{3}
    \frac{\sqrt{3}}{2} == \frac{\sqrt3}{2}
    \frac{\sqrt{6}}{3} == \frac{\sqrt6}3
    """.strip().splitlines()
}
"""Pairs of different problems' gold answers that are the same answer: each was looked at."""


@pytest.fixture(scope="module")
def golds() -> dict[str, list[tuple[str, ...]]]:
    """By data set, the gold answers of each row."""
    if not DATA.exists():
        pytest.skip(f"{DATA} is absent")
    import datasets

    suite = datasets.load_from_disk(DATA / "evaluation_suite")
    cells = {name: [row["answer"] for row in rows] for name, rows in suite.items()}
    lines = (DATA / "gsm8k/test.jsonl").read_text(encoding="utf-8").splitlines()
    cells["gsm8k"] = [json.loads(line)["response"] for line in lines]
    rows = json.loads((DATA / "math/test_5000.qaf.json").read_text(encoding="utf-8"))
    cells["math_5000"] = [row["answer"] for row in rows]
    return {name: [parse_answers(cell) for cell in column] for name, column in cells.items()}


def test_every_gold_is_correct_against_itself(golds: dict[str, list[tuple[str, ...]]]) -> None:
    assert sum(map(len, golds.values())) == 7879
    with GraderPool(num_workers=1, deadline_s=20.0) as pool:
        futures = {
            (name, number, gold): pool.submit(boxed(rf"\boxed{{{gold}}}") or "", answers, DEFAULT)
            for name, rows in golds.items()
            for number, answers in enumerate(rows)
            for gold in answers
        }
        grades = {row: future.result() for row, future in futures.items()}
    assert {row: grade for row, grade in grades.items() if grade.status is not Status.CORRECT} == {}


def test_hardly_any_gold_is_unreadable(golds: dict[str, list[tuple[str, ...]]]) -> None:
    with GraderPool(num_workers=2, deadline_s=20.0) as pool:
        futures = {
            gold: pool.submit(None, [gold], DEFAULT)
            for rows in golds.values()
            for answers in rows
            for gold in answers
        }
        unreadable = {
            gold for gold, grade in futures.items() if grade.result().status is not UNPARSABLE
        }
    assert unreadable == {"$t(0,4]$"}


def is_plain_number(text: str) -> bool:
    return re.fullmatch(r"-?[0-9.,/]+", text) is not None


def without_cosmetics(gold: str) -> str:
    return re.sub(r"\\left|\\right|\\[!,;]|[\s$]|\.$", "", gold).replace("dfrac", "frac")


def pairs_of(golds: list[str]) -> Iterator[tuple[str, str]]:
    """Pairs of different texts: at random, and neighbours in the order of text and of letters.

    Neighbours are what is easily confused: `12 degrees` and `12 gm`, `(1, 2)` and `(2, 1)`.
    """
    texts = sorted({without_cosmetics(gold): gold for gold in golds}.values())
    shuffled = random.Random(0).sample(texts, len(texts))
    yield from zip(shuffled[::2], shuffled[1::2], strict=False)
    yield from pairwise(texts)
    yield from pairwise(sorted(texts, key=lambda text: (sorted(text), text)))


@pytest.fixture(scope="module")
def verdicts(golds: dict[str, list[tuple[str, ...]]]) -> dict[tuple[str, str], Grade]:
    """The grades of pairs of different problems' golds, not both plain numbers."""
    pairs = dict.fromkeys(
        (answer, gold)
        for rows in golds.values()
        for answer, gold in pairs_of([row[0] for row in rows])
        if not (is_plain_number(answer) and is_plain_number(gold))
    )
    with GraderPool(num_workers=2, deadline_s=5.0) as pool:
        futures = {pair: pool.submit(pair[0], [pair[1]], DEFAULT) for pair in pairs}
        return {pair: future.result() for pair, future in futures.items()}


@pytest.mark.slow
def test_golds_of_other_problems_are_equal_only_where_they_should_be(
    verdicts: dict[tuple[str, str], Grade],
) -> None:
    assert len(verdicts) > 3000
    equal = {pair for pair, grade in verdicts.items() if grade.status is Status.CORRECT}
    to_look_at = [pair for pair in equal if frozenset(pair) not in EQUAL]
    assert not to_look_at, "\n".join(f"    {pair}," for pair in sorted(to_look_at))


@pytest.mark.slow
def test_hardly_any_pair_is_slow(verdicts: dict[tuple[str, str], Grade]) -> None:
    failed = {
        pair for pair, grade in verdicts.items() if grade.status in (Status.TIMEOUT, Status.ERROR)
    }
    assert len(failed) <= 3, failed
