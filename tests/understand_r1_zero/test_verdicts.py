import json
import time
from contextlib import closing

import pytest

from understand_r1_zero.completions import Completions
from understand_r1_zero.grading.conventions import PRESETS
from understand_r1_zero.grading.extraction import boxed
from understand_r1_zero.grading.grader import Grader
from understand_r1_zero.grading.pool import Grade
from understand_r1_zero.types import Status
from understand_r1_zero.verdicts import (
    ROWS_AHEAD,
    GradedRow,
    VerdictFile,
    grade_row,
    graded_in_order,
    verdict_lines,
)


@pytest.fixture
def grader():
    with closing(Grader(PRESETS["default"], num_workers=2, deadline_s=2.0)) as grader:
        yield grader


def row_of(number, *answers, gold="5"):
    return Completions(number, (gold,), tuple(rf"so \boxed{{{answer}}}" for answer in answers))


def test_a_row_is_graded_and_its_answers_grouped(grader):
    row = Completions(0, ("5", "x+1"), (r"\boxed{1+x}", "none", r"\boxed{6}", r"\boxed{x+1}"))
    graded = grade_row(row, boxed, grader)
    assert graded.answers == ["1+x", None, "6", "x+1"]
    assert graded.outcome().statuses == [
        Status.CORRECT,
        Status.UNPARSABLE,
        Status.INCORRECT,
        Status.CORRECT,
    ]
    assert graded.labels == [0, None, 1, 0]


def test_rows_come_in_order_whatever_they_cost(grader):
    rows = [row_of(0, "9^{9^{9^{9}}}"), *(row_of(number, "5", "6") for number in range(1, 30))]
    graded = list(graded_in_order(rows, boxed, grader, num_workers=2))
    assert [each.row.row for each in graded] == list(range(30))
    assert graded[0].grades[0].status is Status.TIMEOUT
    assert all(each.grades[0].status is Status.CORRECT for each in graded[1:])


def test_few_rows_are_read_before_they_are_given(grader):
    num_read = 0

    def rows():
        nonlocal num_read
        for num_read in range(1, 1001):
            yield row_of(num_read, "5")

    for num_given, _ in enumerate(graded_in_order(rows(), boxed, grader, num_workers=1), start=1):
        assert num_read - num_given < ROWS_AHEAD
    assert num_given == 1000


def test_a_failure_comes_out_and_nothing_goes_on(grader):
    num_extracted = 0

    def extract(response):
        nonlocal num_extracted
        num_extracted += 1
        if num_extracted == 3:
            raise RuntimeError("no grading process starts")
        return "5"

    rows = (row_of(number, "5") for number in range(1000))
    with pytest.raises(RuntimeError, match="no grading process"):
        list(graded_in_order(rows, extract, grader, num_workers=1))
    time.sleep(0.1)
    assert num_extracted <= 3 + ROWS_AHEAD


GRADED = GradedRow(
    Completions(7, ("5", "five"), ("a", "b"), (0.5, -1.0)),
    ["5", None],
    [Grade(Status.CORRECT), Grade(Status.UNPARSABLE, "the response gives no answer")],
    [0, None],
)


def test_every_response_is_a_line_with_all_that_decided_it():
    first, second = (json.loads(line) for line in verdict_lines(GRADED, {"preset": "fast"}))
    assert first == {
        "row": 7,
        "response": 0,
        "status": "correct",
        "answer": "5",
        "gold": ["5", "five"],
        "reason": "",
        "score": 0.5,
        "conventions": {"preset": "fast"},
    }
    assert (second["response"], second["answer"], second["score"]) == (1, None, -1.0)
    assert second["reason"] == "the response gives no answer"


def test_a_row_is_on_disk_at_once_under_a_name_that_says_partial(tmp_path):
    path, partial = tmp_path / "verdicts.jsonl", tmp_path / "verdicts.jsonl.partial"
    path.write_text("of an earlier run")
    with VerdictFile(str(path), {}) as verdicts:
        verdicts.write(GRADED)
        assert len(partial.read_text().splitlines()) == 2
        assert verdicts.path == partial
        assert path.read_text() == "of an earlier run"
        verdicts.complete()
    assert verdicts.path == path and not partial.exists()
    assert len(path.read_text().splitlines()) == 2


def test_a_file_that_is_not_completed_stays_partial(tmp_path):
    with VerdictFile(str(tmp_path / "v.jsonl"), {}) as verdicts:
        verdicts.write(GRADED)
    assert [path.name for path in tmp_path.iterdir()] == ["v.jsonl.partial"]


def test_any_text_is_written(tmp_path):
    answer = '\ud800 \x00 \u2028 \\ " \n ½'
    row = Completions(0, (answer,), ("a",))
    graded = GradedRow(row, [answer], [Grade(Status.CORRECT)], [0])
    with VerdictFile(str(tmp_path / "v.jsonl"), {}) as verdicts:
        verdicts.write(graded)
        verdicts.complete()
    (line,) = (tmp_path / "v.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
    assert json.loads(line)["answer"] == answer


def test_without_a_path_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with VerdictFile("", {}) as verdicts:
        verdicts.write(GRADED)
        verdicts.complete()
    assert verdicts.path is None and not list(tmp_path.iterdir())
