import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from understand_r1_zero.grading import pool as pool_module
from understand_r1_zero.grading.conventions import PRESETS
from understand_r1_zero.grading.grader import Grader
from understand_r1_zero.grading.pool import Grade
from understand_r1_zero.types import Status

ENDLESS = "9^{9^{9^{9}}}"
INCORRECT = Status.INCORRECT


@pytest.fixture(scope="module")
def grader() -> Iterator[Grader]:
    grader = Grader(PRESETS["default"], num_workers=2, deadline_s=20.0)
    yield grader
    grader.close()


def test_answers_are_graded_against_any_gold(grader: Grader):
    asked = [("1+x", ["5", "x+1"]), ("5.0", ["5"]), ("y+1", ["x+1"]), ("7", [""]), (None, ["7"])]
    grades = [grader.grade(answer, golds).result() for answer, golds in asked]
    assert [grade.status for grade in grades] == [
        Status.CORRECT,
        Status.CORRECT,
        Status.INCORRECT,
        Status.UNKNOWN,
        Status.UNPARSABLE,
    ]
    assert grades[-1].reason == "the response gives no answer"


def test_answers_are_grouped_by_equivalence(grader: Grader):
    answers = ["x+1", "2", None, "1+x", "2.0", "x+1", "y", "\\frac{4}{2}"]
    assert grader.label(answers, [INCORRECT] * 8) == [0, 1, None, 0, 1, 0, 2, 1]


def test_any_number_of_threads_may_ask(grader: Grader):
    with ThreadPoolExecutor(8) as threads:
        answers = [[f"x+{n}", f"{n}+x", f"x-{n}"] for n in range(2, 18)]
        found = threads.map(lambda each: grader.label(each, [INCORRECT] * 3), answers)
        assert list(found) == [[0, 0, 1]] * 16


def no_process() -> None:
    raise AssertionError("no process is needed")


def test_what_texts_and_numbers_decide_starts_no_process(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pool_module, "_start_process", no_process)
    grader = Grader(PRESETS["default"], num_workers=1, deadline_s=1.0)
    assert grader.label(["5", "5.0", "7", None], [INCORRECT] * 4) == [0, 0, 1, None]
    assert grader.grade("0.5", ["1/2"]).result() == Grade(Status.CORRECT)
    assert grader.grade(None, ["7"]).result().status is Status.UNPARSABLE
    grader.close()


def test_an_answer_whose_grading_failed_is_not_compared_again(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pool_module, "_start_process", no_process)
    grader = Grader(PRESETS["default"], num_workers=1, deadline_s=1.0)
    answers = [ENDLESS, "3", "3.0", ENDLESS, None]
    statuses = [Status.TIMEOUT, INCORRECT, INCORRECT, Status.TIMEOUT, Status.UNPARSABLE]
    assert grader.label(answers, statuses) == [0, 1, 1, 0, None]


@pytest.mark.parametrize("place", [0, 2, 6])
def test_an_answer_that_never_finishes_costs_a_deadline_or_two(place: int):
    deadline_s = 2.0
    grader = Grader(PRESETS["default"], num_workers=1, deadline_s=deadline_s)
    grader.grade("x+1", ["1+x"]).result()  # the process is warm
    answers = ["y+1", "y+2", "y+3", "1+y", "2+y", "3+y"]
    expected = [0, 1, 2, 0, 1, 2]
    started_s = time.monotonic()
    labels = grader.label([*answers[:place], ENDLESS, *answers[place:]], [INCORRECT] * 7)
    assert time.monotonic() - started_s < 4 * deadline_s  # a deadline for each class is more
    own = labels.pop(place)
    assert own not in labels
    assert [labels.index(label) for label in labels] == expected
    grader.close()


def test_where_the_gold_is_unknown_nothing_votes(grader: Grader):
    assert grader.label(["1", "1"], [Status.UNKNOWN, Status.CORRECT]) == [None, None]


def test_a_closed_grader_says_so():
    grader = Grader(PRESETS["default"], num_workers=1, deadline_s=1.0)
    grader.close()
    with pytest.raises(RuntimeError, match="was closed before"):
        grader.grade("x+1", ["1+x"])
