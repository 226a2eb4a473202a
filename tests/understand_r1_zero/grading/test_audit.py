import numpy as np
import pytest

from understand_r1_zero.grading.audit import (
    EXAMPLES_OF_A_PRESET,
    disagreement_shares,
    disagreements,
    dissenters,
    other_presets,
)
from understand_r1_zero.grading.conventions import PRESETS, Conventions
from understand_r1_zero.types import Group, Problem, Response, Status, Verdict, VersionSpan

YES, NO = Status.CORRECT, Status.INCORRECT


def verdict(status: Status, answer: str = "1", **audit: Status) -> Verdict:
    return Verdict(float(status is YES), status, answer, audit=tuple(audit.items()))


def group(row: int, *verdicts: Verdict) -> Group:
    tokens = np.zeros(1, np.int32)
    responses = tuple(
        Response("", tokens, tokens.astype(np.float32), False, (VersionSpan(0, 1),), each)
        for each in verdicts
    )
    return Group(row, Problem("math", row, "?", ("2",)), "?", tokens, responses, 0.0, 0.0)


def test_the_preset_in_force_is_not_among_the_others():
    for name, preset in PRESETS.items():
        assert other_presets(preset).keys() == PRESETS.keys() - {name}
    assert other_presets(Conventions(order="ordered")) == PRESETS


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("other", Status)
def test_presets_disagree_where_one_says_correct_and_one_does_not(status: Status, other: Status):
    expected = ["fast"] if (status == "correct") != (other == "correct") else []
    assert dissenters(verdict(status, fast=other)) == expected


def test_shares_are_of_the_audited_responses_with_a_readable_gold():
    groups = [
        group(0, verdict(YES, fast=NO, strict=YES), verdict(NO, fast=NO, strict=NO)),
        group(1, verdict(NO, fast=NO, strict=YES), verdict(NO, fast=Status.TIMEOUT, strict=YES)),
        group(2, Verdict(0.0, Status.UNPARSABLE), Verdict(0.0, Status.TRUNCATED)),
        group(3, verdict(Status.UNKNOWN, fast=YES, strict=YES)),
    ]
    shares = disagreement_shares(groups, "grader/disagree")
    assert shares == {"grader/disagree/fast": 0.25, "grader/disagree/strict": 0.5}
    assert disagreement_shares(groups[2:], "grader/disagree") == {}


def test_an_example_tells_who_said_what():
    (example,) = disagreements([group(7, verdict(YES, "x" * 9000, fast=NO, strict=YES))])
    assert len(example.pop("answer")) == 2000
    assert example == {
        "source": "math",
        "row": 7,
        "gold": ["2"],
        "status": "correct",
        "presets": {"fast": "incorrect", "strict": "correct"},
    }


def test_equal_answers_to_a_problem_are_one_example():
    disputed = verdict(YES, fast=NO)
    agreed = verdict(YES, "3", fast=YES)
    groups = [group(0, disputed, disputed, agreed, verdict(YES, "2", fast=NO)), group(1, disputed)]
    found = [(example["row"], example["answer"]) for example in disagreements(groups)]
    assert found == [(0, "1"), (0, "2"), (1, "1")]


def test_a_preset_that_often_disagrees_does_not_hide_one_that_seldom_does():
    groups = [group(row, verdict(YES, fast=NO, strict=YES)) for row in range(100)]
    groups.append(group(100, verdict(YES, fast=NO, strict=NO)))
    rows = [example["row"] for example in disagreements(groups)]
    assert rows == [*range(EXAMPLES_OF_A_PRESET), 100]


def test_examples_are_bounded_however_much_is_disputed():
    groups = [
        group(row, *(verdict(YES, str(n), **dict.fromkeys(PRESETS, NO)) for n in range(8)))
        for row in range(64)
    ]
    assert len(list(disagreements(groups))) == EXAMPLES_OF_A_PRESET
    mixed = [
        group(row, verdict(YES, str(row), **{**dict.fromkeys(PRESETS, YES), name: NO}))
        for row, name in enumerate(list(PRESETS) * 20)
    ]
    assert len(list(disagreements(mixed))) == EXAMPLES_OF_A_PRESET * len(PRESETS)
