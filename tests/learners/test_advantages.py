import statistics

import numpy as np
import pytest

from learners.advantages import ADVANTAGES, drgrpo, grpo, kl_penalties

REWARDS = [0.0, 1.0, 1.0, 0.0, -0.5, 0.25]


def test_drgrpo_subtracts_the_mean():
    mean = sum(REWARDS) / len(REWARDS)
    assert drgrpo(np.array(REWARDS)) == pytest.approx([r - mean for r in REWARDS])


def test_grpo_divides_by_the_unbiased_std():
    mean, std = statistics.mean(REWARDS), statistics.stdev(REWARDS)
    expected = [(r - mean) / (std + 1e-8) for r in REWARDS]
    assert grpo(np.array(REWARDS)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", ADVANTAGES)
@pytest.mark.parametrize("rewards", [[1.0] * 8, [0.0], [0.3] * 3])
def test_equal_rewards_teach_nothing(name, rewards):
    assert ADVANTAGES[name](np.array(rewards)).tolist() == [0.0] * len(rewards)


@pytest.mark.parametrize("name", ADVANTAGES)
def test_advantages_of_a_group_sum_to_zero(name):
    assert ADVANTAGES[name](np.array(REWARDS)).sum() == pytest.approx(0.0, abs=1e-12)


def test_kl_penalty_is_that_of_penalised_rewards_under_drgrpo():
    rewards = np.array([1.0, 0.0, 0.5, 0.0, 1.0])
    kl_sums = np.array([0.2, -0.1, 3.0, 0.7, 0.0])
    groups = np.array([4, 4, 0, 4, 0])
    penalties = kl_penalties(kl_sums, groups, coefficient=0.1)
    for group in (0, 4):
        members = groups == group
        penalised = drgrpo(rewards[members] - 0.1 * kl_sums[members])
        assert drgrpo(rewards[members]) + penalties[members] == pytest.approx(penalised)
