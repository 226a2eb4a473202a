"""Every case of `cases/*.toml`: what each preset says of an answer and its gold.

A file holds categories, a category the lists `equal`, `unequal` and `unknown` of `[answer, gold]`
under the preset `default`, and a table of the same lists for every other preset that a row is for,
or for `default` with one convention changed (`percent=exact`). Several golds are a list.
"""

import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from understand_r1_zero.grading.conventions import PRESETS, Conventions
from understand_r1_zero.grading.exact import is_exact_match
from understand_r1_zero.grading.extraction import extraction_by_name
from understand_r1_zero.grading.pool import GraderPool
from understand_r1_zero.types import Status

DEADLINE_S = 10.0
STATUSES = {
    "equal": Status.CORRECT,
    "unequal": Status.INCORRECT,
    "unknown": Status.UNKNOWN,
}


class Case(NamedTuple):
    category: str
    preset: str
    expected: str
    answer: str
    golds: tuple[str, ...]

    @property
    def id(self) -> str:
        preset = "" if self.preset == "default" else f"{self.preset}-"
        return f"{self.category}-{preset}{self.expected}: {self.answer} | {' | '.join(self.golds)}"


def read_cases() -> Iterator[Case]:
    for path in sorted(Path(__file__).with_name("cases").glob("*.toml")):
        for category, tables in tomllib.loads(path.read_text(encoding="utf-8")).items():
            of_default = {name: rows for name, rows in tables.items() if name in STATUSES}
            of_others = {name: table for name, table in tables.items() if name not in STATUSES}
            for preset, lists in {"default": of_default, **of_others}.items():
                for expected, rows in lists.items():
                    for answer, gold in rows:
                        golds = (gold,) if isinstance(gold, str) else tuple(gold)
                        yield Case(category, preset, expected, answer, golds)


CASES = list(read_cases())


def conventions_named(name: str) -> Conventions:
    field, _, value = name.partition("=")
    return replace(PRESETS["default"], **{field: value}) if value else PRESETS[name]


@pytest.fixture(scope="module")
def pool() -> Iterator[GraderPool]:
    with GraderPool(num_workers=1, deadline_s=DEADLINE_S) as pool:
        yield pool


@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in CASES])
def test_case(case: Case, pool: GraderPool) -> None:
    conventions = conventions_named(case.preset)
    grade = pool.submit(case.answer, case.golds, conventions).result()
    assert grade.status is STATUSES[case.expected], grade.reason
    if len(case.golds) == 1 and grade.status is not Status.UNKNOWN:
        exact = is_exact_match(case.answer, case.golds[0], conventions)
        assert exact in (None, grade.status is Status.CORRECT)


@pytest.mark.slow
def test_the_other_direction_says_the_same() -> None:
    default = PRESETS["default"]
    cases = [case for case in CASES if case.preset == "default" and len(case.golds) == 1]
    with GraderPool(num_workers=2, deadline_s=DEADLINE_S) as pool:
        futures = [pool.submit(case.golds[0], [case.answer], default) for case in cases]
        statuses = [future.result().status for future in futures]
    one_way = [
        case.id
        for case, status in zip(cases, statuses, strict=True)
        if (status is Status.CORRECT) is not (case.expected == "equal")
    ]
    assert not one_way, "\n".join(one_way)


def test_the_table_is_large_and_says_both_in_every_category() -> None:
    assert len(CASES) >= 450
    assert len(set(CASES)) == len(CASES)
    assert len({case[1:] for case in CASES}) == len({case[1:2] + case[3:] for case in CASES})
    expected = Counter((case.category, case.expected) for case in CASES if case.preset == "default")
    categories = {case.category for case in CASES}
    assert all(expected[category, "equal"] for category in categories)
    assert all(expected[category, "unequal"] for category in categories)
    equal = sum(case.expected == "equal" for case in CASES) / len(CASES)
    assert 0.45 <= equal <= 0.55
    assert {case.preset for case in CASES} >= set(PRESETS)


@pytest.mark.parametrize(
    ("name", "response", "answer"),
    [
        ("boxed", r"So it is \boxed 5", "5"),
        ("answer_tag", "It is 5. </think> <answer>5</answer>", "5"),
        ("answer_tag", "It is 5.</think>\n\n<answer>5</answer>", "5"),
    ],
)
def test_what_the_ancestor_does_not_find(name: str, response: str, answer: str) -> None:
    assert extraction_by_name(name)(response) == answer
