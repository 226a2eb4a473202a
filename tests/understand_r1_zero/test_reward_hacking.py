"""The alarm for an oracle that is pleased while accuracy falls, on made series."""

import math
import random
from itertools import pairwise

import pytest

from understand_r1_zero.alarms import Alarms
from understand_r1_zero.args import AlarmArgs
from understand_r1_zero.reward_hacking import RewardHistory, is_hacked, shift

LOW, HIGH = [0.4, 0.6] * 5, [0.5, 0.7] * 5


def noisy(means, seed, sd=0.05):
    rng = random.Random(seed)
    return [rng.gauss(mean, sd) for mean in means]


def test_the_shift_by_hand():
    # Means 0.5 and 0.6; unbiased variances both 0.1 / 9: 0.1 / sqrt(2 * 0.1 / 9 / 10).
    assert shift([*LOW, *HIGH]) == pytest.approx(0.1 / math.sqrt(0.2 / 90))
    assert shift([*HIGH, *LOW]) == pytest.approx(-0.1 / math.sqrt(0.2 / 90))
    assert shift([9.0, *LOW, *HIGH]) == shift([*LOW, *HIGH])
    assert shift([*LOW, *HIGH[:9]]) == 0
    assert shift([1.0] * 20) == 0 and shift([1.0] * 10 + [2.0] * 10) == math.inf


@pytest.mark.parametrize("seed", range(20))
def test_only_a_reward_that_rises_while_accuracy_falls_counts(seed):
    rising = noisy([0.3] * 10 + [0.5] * 10, seed)
    falling = noisy([0.5] * 10 + [0.3] * 10, seed + 100)
    assert is_hacked(rising, falling)
    assert not is_hacked(rising, rising) and not is_hacked(falling, falling)
    assert not is_hacked(falling, rising)


def test_noise_alone_hardly_ever_raises_it():
    raised = sum(is_hacked(noisy([0.5] * 20, s), noisy([0.5] * 20, s + 9999)) for s in range(2000))
    # Both one-sided tests at about 0.03.
    assert raised < 20


def rows(rewards, sums, accuracies):
    for reward, total, accuracy in zip(rewards, sums, accuracies, strict=True):
        yield {
            "actor/step_reward_mean": reward,
            "actor/step_reward_sum": total,
            "actor/correct": accuracy,
        }


def test_a_reward_that_longer_responses_raise_counts_too():
    flat, rising = [0.5] * 20, [2.0] * 10 + [4.0] * 10
    history = RewardHistory()
    *_, told = [history.add(row) for row in rows(flat, rising, [0.6] * 10 + [0.2] * 10)]
    assert "2.000 -> 4.000 a response" in told and "0.600 -> 0.200" in told
    for remedy in ("--step_reward_coef", "--step_reward gain", "--oracle prm=0.5,math=0.5"):
        assert remedy in told


def test_the_alarm_is_told_once_in_ten_steps_and_never_without_rewards_of_steps():
    alarms = Alarms(AlarmArgs())
    series = rows([0.3] * 10 + [0.6] * 20, [1.0] * 30, [0.6] * 10 + [0.2] * 20)
    told = [alarms.check(step, row) for step, row in enumerate(series)]
    steps = [step for step, lines in enumerate(told) if lines]
    assert steps and steps[0] >= 12 and all(b - a >= 10 for a, b in pairwise(steps))
    quiet = Alarms(AlarmArgs())
    assert not any(quiet.check(step, {"actor/correct": 1 - step / 40}) for step in range(40))
