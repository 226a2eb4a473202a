import numpy as np
import pytest

from understand_r1_zero.grade_summary import Tally, bad_row_lines, row_ranges, summary_lines
from understand_r1_zero.scoring import Outcome, bootstrap, problem_statistics
from understand_r1_zero.types import Status

RIGHT, WRONG, SILENT, UNKNOWN = (
    Status.CORRECT,
    Status.INCORRECT,
    Status.UNPARSABLE,
    Status.UNKNOWN,
)


def tally_of(outcomes, groups=None, sizes=(1, 2)):
    tally = Tally(sizes)
    for row, outcome in enumerate(outcomes):
        tally.add(row, outcome, groups[row] if groups else "")
    return tally


OUTCOMES = [
    Outcome([RIGHT, RIGHT], [0, 0], [0.5, 0.5]),
    Outcome([WRONG, RIGHT], [0, 1], [0.1, 0.9]),
    Outcome([UNKNOWN, UNKNOWN], [None, None], [0.1, 0.9]),
    Outcome([SILENT, WRONG], [None, 0], [0.9, 0.1]),
]


def test_means_and_intervals_are_the_evaluators():
    rows = [problem_statistics(outcome, (1, 2)) for outcome in (*OUTCOMES[:2], OUTCOMES[3])]
    expected = bootstrap(np.array([list(row.values()) for row in rows]))
    assert tally_of(OUTCOMES).estimates() == dict(zip(rows[0], expected, strict=True))


def test_groups_are_apart_and_in_the_order_people_count():
    groups = ["Level 10", "Level 2", "Level 2", "algebra"]
    found = tally_of(OUTCOMES, groups).by_group(3)
    assert list(found) == ["Level 2", "Level 10", "algebra"]
    assert [count for count, _ in found.values()] == [1, 1, 1]
    assert [means["accuracy"].mean for _, means in found.values()] == [0.5, 1.0, 0.0]


def test_numbers_come_before_words_and_by_value():
    tally = tally_of([OUTCOMES[0]] * 6, ["10", "9", "easy", "(none)", "0.5", "1²"])
    assert list(tally.by_group(6)) == ["0.5", "1²", "9", "10", "(none)", "easy"]
    assert list(tally.by_group(2)) == ["0.5", "1²"]
    assert tally.num_groups == 6


def test_the_summary():
    tally = tally_of(OUTCOMES, ["b", "a", "a", "a"])
    assert summary_lines(tally, "avg@2", "kind") == [
        "mean over 3 rows, and its 95% interval",
        "  accuracy, avg@2  0.500 0.000-1.000",
        "",
        "  k             pass@k              maj@k             best@k         weighted@k",
        "  1  0.500 0.000-1.000  0.500 0.000-1.000  0.500 0.000-1.000  0.500 0.000-1.000",
        "  2  0.667 0.000-1.000  0.333 0.000-1.000  0.667 0.000-1.000  0.667 0.000-1.000",
        "",
        "status        responses  share",
        "  correct             3  37.5%",
        "  incorrect           2  25.0%",
        "  unparsable          1  12.5%",
        "  unknown             2  25.0%",
        "",
        "gold answers that cannot be read: 1 of 4 rows (counted from 0), left out of all means",
        "  row 2",
        "",
        "by kind  rows  accuracy  95% interval  pass@2  maj@2  best@2  weighted@2",
        "  a         2     0.250   0.000-0.500   0.500  0.000   0.500       0.500",
        "  b         1     1.000   1.000-1.000   1.000  1.000   1.000       1.000",
    ]


def test_without_scores_there_are_no_votes_by_score():
    lines = summary_lines(tally_of([Outcome([RIGHT, WRONG], [0, 1])]), "avg@2", "")
    assert lines[3].split() == ["k", "pass@k", "maj@k"]
    assert not [line for line in lines if "by" in line or "negative" in line]


def test_negative_scores_are_told():
    lines = summary_lines(tally_of([Outcome([RIGHT, WRONG], [0, 1], [-1.0, 2.0])]), "avg@2", "")
    assert "  some scores are negative: weighted@k sums them, which favours rare answers" in lines


def test_where_nothing_is_known_there_are_no_means():
    lines = summary_lines(tally_of([OUTCOMES[2]], ["a"]), "avg@2", "kind")
    assert [line for line in lines if line] == [
        "status     responses   share",
        "  unknown          2  100.0%",
        "gold answers that cannot be read: 1 of 1 row (counted from 0), left out of all means",
        "  row 0",
    ]


def test_many_values_are_cut():
    tally = tally_of([OUTCOMES[0]] * 60, [f"id {row}" for row in range(60)])
    lines = summary_lines(tally, "avg@2", "id")
    assert lines[-2].startswith("  id 49 ") and lines[-1] == "  and 10 more values"


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([3], "row 3"),
        ([2, 7, 8, 9, 40], "rows 2, 7-9, 40"),
        ([0, 1], "rows 0-1"),
        (list(range(0, 60, 2)), f"rows {', '.join(map(str, range(0, 40, 2)))} and 10 more"),
    ],
)
def test_row_numbers_in_short(rows, text):
    assert row_ranges(rows) == text


def test_bad_rows_are_listed_by_reason():
    bad = [(1, "no column 'a'"), (4, "odd"), *((row, "no column 'a'") for row in (5, 6, 7))]
    assert bad_row_lines(bad) == [
        "5 bad rows skipped (counted from 0)",
        "  no column 'a': rows 1, 5-7",
        "  odd: row 4",
    ]
    many = bad_row_lines([(row, f"line {row} is odd") for row in range(30)])
    assert len(many) == 12 and many[-1] == "  and 20 more for other reasons"
