"""Estimators against plain Python, one group at a time."""

import random
import statistics

import numpy as np
import pytest

from learners.advantages import ADVANTAGES, kl_penalties

BASELINED = ("drgrpo", "grpo", "rloo", "reinforce_pp_baseline")


def drgrpo(rewards):
    return [r - sum(rewards) / len(rewards) for r in rewards]


def grpo(rewards):
    if len(rewards) < 2:
        return [0.0] * len(rewards)
    return [a / (statistics.stdev(rewards) + 1e-8) for a in drgrpo(rewards)]


def rloo(rewards):
    if len(rewards) < 2:
        return [0.0] * len(rewards)
    others = [[r for j, r in enumerate(rewards) if j != i] for i in range(len(rewards))]
    return [r - sum(rest) / len(rest) for r, rest in zip(rewards, others, strict=True)]


PLAIN = {
    "drgrpo": drgrpo,
    "grpo": grpo,
    "rloo": rloo,
    "reinforce": list,
    "reinforce_pp": list,
    "reinforce_pp_baseline": drgrpo,
    "remax": list,
}


def draw(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ragged groups in any order, one of one member, one without a known member."""
    rng = random.Random(seed)
    groups = [9] * 5 + [2] * 3 + [4] + [0] * 2 + [7] * 8
    rng.shuffle(groups)
    rewards = np.array([rng.gauss(0, 1) for _ in groups])
    is_known = np.array([group != 0 and rng.random() < 0.8 for group in groups])
    return rewards, np.array(groups), is_known


def estimate(name, rewards):
    return ADVANTAGES[name](
        np.array(rewards), np.zeros(len(rewards), int), np.ones(len(rewards)) > 0
    )


def test_every_estimator_has_its_plain_loop():
    assert PLAIN.keys() == ADVANTAGES.keys()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", ADVANTAGES)
def test_an_estimator_equals_the_plain_loop(name, seed):
    rewards, groups, is_known = draw(seed)
    expected = [0.0] * len(groups)
    for group in set(groups.tolist()):
        members = [i for i in range(len(groups)) if groups[i] == group and is_known[i]]
        found = PLAIN[name]([rewards[i] for i in members])
        for i, advantage in zip(members, found, strict=True):
            expected[i] = advantage
    assert ADVANTAGES[name](rewards, groups, is_known) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", ADVANTAGES)
def test_the_order_of_responses_does_not_matter(name):
    rewards, groups, is_known = draw(0)
    order = np.random.default_rng(0).permutation(len(groups))
    shuffled = ADVANTAGES[name](rewards[order], groups[order], is_known[order])
    assert shuffled == pytest.approx(ADVANTAGES[name](rewards, groups, is_known)[order], abs=1e-12)


@pytest.mark.parametrize("name", BASELINED)
@pytest.mark.parametrize("rewards", [[1.0] * 8, [0.0], [0.3] * 3])
def test_equal_rewards_teach_nothing(name, rewards):
    assert estimate(name, rewards).tolist() == [0.0] * len(rewards)


@pytest.mark.parametrize("name", BASELINED)
def test_advantages_of_a_group_sum_to_zero(name):
    advantages = estimate(name, [0.0, 1.0, 1.0, 0.0, -0.5, 0.25])
    assert advantages.sum() == pytest.approx(0.0, abs=1e-12)
    assert np.abs(advantages).max() > 0.1


@pytest.mark.parametrize("name", ["drgrpo", "rloo"])
def test_kl_penalty_is_that_of_penalised_rewards(name):
    rewards = np.array([1.0, 0.0, 0.5, 0.0, 1.0])
    kl_sums = np.array([0.2, -0.1, 3.0, 0.7, 0.0])
    groups = np.array([4, 4, 0, 4, 0])
    everything = np.ones(5, bool)
    penalised = ADVANTAGES[name](rewards - 0.1 * kl_sums, groups, everything)
    found = ADVANTAGES[name](rewards, groups, everything) + kl_penalties(kl_sums, groups, 0.1, name)
    assert found == pytest.approx(penalised)


def test_the_kl_penalty_of_grpo_stays_in_nats():
    kl_sums, groups = np.array([0.2, -0.1, 3.0]), np.zeros(3, int)
    assert kl_penalties(kl_sums, groups, 0.1, "grpo") == pytest.approx(
        [-0.1 * x for x in drgrpo(kl_sums.tolist())]
    )
