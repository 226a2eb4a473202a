import asyncio

import pytest

from oracles.outcome import OutcomeOracle, verdict_value
from understand_r1_zero.search.step_oracle import PROBABILITY
from understand_r1_zero.types import Status, Verdict


def scores(oracle, *asked):
    return asyncio.run(oracle.score(*asked))


def test_only_the_final_step_is_worth_something(problem, grade, steps, right, wrong):
    oracle = OutcomeOracle(grade)
    assert (oracle.scale.low, oracle.scale.high) == (-1.0, 1.0)
    unfinished = scores(oracle, problem, steps)
    assert (unfinished.values, unfinished.verdict) == ((0.0, 0.0, 0.0), None)
    found = scores(oracle, problem, right)
    assert found.values == (0.0, 0.0, 0.0, 1.0)
    assert found.verdict is not None and found.verdict.status is Status.CORRECT
    assert scores(oracle, problem, wrong).values == (0.0, 0.0, 0.0, -1.0)
    assert scores(oracle, problem, wrong, 2).values == (0.0, -1.0)
    assert scores(oracle, problem, wrong, 4).values == ()


def test_nothing_is_known_of_an_answer_without_a_readable_gold(unreadable, grade, right):
    found = scores(OutcomeOracle(grade), unreadable, right)
    assert found.values == (0.0, 0.0, 0.0, 0.0)
    assert found.verdict is not None and found.verdict.status is Status.UNKNOWN


@pytest.mark.parametrize("status", Status)
def test_the_value_of_every_status(status):
    value = {Status.CORRECT: 1.0, Status.UNKNOWN: 0.5}.get(status, 0.0)
    assert verdict_value(Verdict(0.0, status), PROBABILITY) == value
