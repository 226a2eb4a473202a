"""One problem and its grader, for oracles of steps."""

import pytest

from understand_r1_zero.search.step import Step
from understand_r1_zero.types import Problem, Status, Verdict


@pytest.fixture
def problem():
    return Problem("sums", 0, "1 + 2 + 3 =", ("6",))


@pytest.fixture
def unreadable():
    """A problem without a gold answer that can be read."""
    return Problem("sums", 1, "1 + 2 + 3 =", ())


@pytest.fixture
def grade():
    async def grade(problem, answer):
        if not problem.answers:
            return Verdict(0.0, Status.UNKNOWN, answer, "the gold answer is empty")
        is_right = answer in problem.answers
        return Verdict(float(is_right), Status.CORRECT if is_right else Status.INCORRECT, answer)

    return grade


@pytest.fixture
def steps():
    """A solution in three steps, not yet at its answer."""
    return [Step("1+2=3\n"), Step("3+3=6\n"), Step("Check: 6-3=3\n")]


@pytest.fixture
def right(steps):
    return [*steps, Step("So 6.\n", answer="6")]


@pytest.fixture
def wrong(steps):
    return [*steps, Step("So 7.\n", answer="7")]
