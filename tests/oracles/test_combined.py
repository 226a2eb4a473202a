import asyncio
import math

import pytest

from oracles.combined import CombinedOracle
from oracles.outcome import OutcomeOracle
from understand_r1_zero.search.step_oracle import PROBABILITY, SIGNED, Scale, StepScores
from understand_r1_zero.types import Status, Verdict


class Table:
    def __init__(self, values, scale=PROBABILITY, verdict=None, barrier=None):
        self.values, self.scale = values, scale
        self.verdict, self.barrier = verdict, barrier
        self.asked = []

    async def score(self, problem, steps, first=0, seed=0):
        self.asked.append((first, seed))
        if self.barrier:
            async with asyncio.timeout(10):
                await self.barrier.wait()
        return StepScores(tuple(self.values[first : len(steps)]), self.verdict, 100)


def test_the_weighted_mean_by_hand(problem, grade, right, wrong):
    prm = Table([0.5, 0.75, 1.0, 0.8])
    oracle = CombinedOracle([(prm, 0.7), (OutcomeOracle(grade), 0.3)])
    found = asyncio.run(oracle.score(problem, right, 1, 9))
    # 0.8 in [0, 1] is 0.6 in [-1, 1].
    assert found.values == pytest.approx([0.7 * 0.5, 0.7 * 1.0, 0.7 * 0.6 + 0.3])
    assert found.verdict is not None and found.verdict.status is Status.CORRECT
    assert found.num_tokens == 100
    assert prm.asked == [(1, 9)]
    assert asyncio.run(oracle.score(problem, wrong)).values[-1] == pytest.approx(0.42 - 0.3)


def test_weights_need_not_add_up_to_one_and_scales_may_be_any(problem, steps):
    parts = [(Table([0.0, 5.0, 10.0], Scale(0, 10)), 3.0), (Table([1.0, 0.0, -1.0], SIGNED), 1.0)]
    found = asyncio.run(CombinedOracle(parts, PROBABILITY).score(problem, steps))
    assert found.values == pytest.approx([0.25, 0.5, 0.75])
    assert (found.verdict, found.num_tokens) == (None, 200)


def test_the_first_verdict_counts(problem, steps):
    verdicts = [None, Verdict(0.0, Status.UNKNOWN), Verdict(1.0, Status.CORRECT)]
    parts = [(Table([0.5] * 3, verdict=verdict), 1.0) for verdict in verdicts]
    assert asyncio.run(CombinedOracle(parts).score(problem, steps)).verdict == verdicts[1]


def test_all_are_asked_at_once(problem, steps):
    async def ask():
        barrier = asyncio.Barrier(2)
        parts = [(Table([1.0] * 3, barrier=barrier), 1.0) for _ in range(2)]
        return await CombinedOracle(parts).score(problem, steps)

    assert asyncio.run(ask()).values == pytest.approx([1.0] * 3)


@pytest.mark.parametrize("weight", [0.0, -0.5, math.nan, math.inf])
def test_weights_that_are_not_positive_are_refused(weight):
    with pytest.raises(ValueError, match=f"weight of Table must be positive, got {weight}; leave"):
        CombinedOracle([(Table([]), 1.0), (Table([]), weight)])
    with pytest.raises(ValueError, match="at least one oracle"):
        CombinedOracle([])
