"""Returns, GAE and token advantages against plain Python, one token at a time."""

import math
import random
import statistics
from dataclasses import replace

import numpy as np
import pytest

from learners.advantages import ADVANTAGES, kl_penalties
from learners.batching import Batch
from learners.returns import (
    BATCH_NORMALISED,
    GROUP_ESTIMATORS,
    Recipe,
    Rewards,
    discounted_returns,
    gae,
    token_advantages,
    token_rewards,
    whiten,
)
from understand_r1_zero.types import Trajectory

LENGTHS = [3, 1, 7, 0, 2, 5, 4]
GROUPS = [0, 0, 0, 1, 1, 1, 1]
UNKNOWN, MASKED = 1, 5
STEP_ENDS = {2: (1, 4, 6), 4: (0,), 6: (1, 3)}
OFFSETS = np.concatenate([[0], np.cumsum(LENGTHS)])


def draw(seed: int, *, has_steps: bool = True) -> list[Trajectory]:
    rng = random.Random(seed)
    trajectories = []
    for i, (length, group) in enumerate(zip(LENGTHS, GROUPS, strict=True)):
        ends = STEP_ENDS.get(i, ()) if has_steps else ()
        trajectories.append(
            Trajectory(
                prompt_token_ids=np.array([group + 1, 2]),
                response_token_ids=np.zeros(length, np.int32),
                sampler_logprobs=np.zeros(length, np.float32),
                reward=rng.gauss(0, 1),
                group=group,
                is_known=i != UNKNOWN,
                is_masked=i in (UNKNOWN, MASKED),
                step_ends=ends,
                step_rewards=tuple(rng.gauss(0, 1) for _ in ends),
                baseline_reward=0.1 * group,
            )
        )
    return trajectories


def split(tokens) -> list[list[float]]:
    return [part.tolist() for part in np.split(np.asarray(tokens), OFFSETS[1:-1])]


def plain_gae(rewards, values, gamma, lam) -> list[float]:
    """`A_t = sum_k (gamma lam)^k delta_{t+k}`, summed term by term."""
    values = [*values, 0.0]
    deltas = [r + gamma * values[t + 1] - values[t] for t, r in enumerate(rewards)]
    return [
        sum((gamma * lam) ** (s - t) * deltas[s] for s in range(t, len(deltas)))
        for t in range(len(deltas))
    ]


@pytest.mark.parametrize(("gamma", "lam"), [(1.0, 1.0), (0.9, 1.0), (0.95, 0.8), (1.0, 0.0)])
def test_gae_equals_the_sum_of_its_terms(gamma, lam):
    rng = np.random.default_rng(0)
    rewards, values = rng.normal(size=OFFSETS[-1]), rng.normal(size=OFFSETS[-1])
    advantages, returns = gae(rewards, values, OFFSETS, gamma, lam)
    for r, v, a in zip(split(rewards), split(values), split(advantages), strict=True):
        assert a == pytest.approx(plain_gae(r, v, gamma, lam), rel=1e-12)
    assert returns == pytest.approx(advantages + values)


def test_gae_between_trust_in_values_and_in_returns():
    rng = np.random.default_rng(1)
    rewards, values = rng.normal(size=OFFSETS[-1]), rng.normal(size=OFFSETS[-1])
    _, returns = gae(rewards, values, OFFSETS, 0.9, 1.0)
    assert returns == pytest.approx(discounted_returns(rewards, OFFSETS, 0.9))
    advantages, _ = gae(rewards, values, OFFSETS, 0.9, 0.0)
    following = [[*row[1:], 0.0] if row else [] for row in split(values)]
    one_step = rewards + 0.9 * np.array([v for row in following for v in row]) - values
    assert advantages == pytest.approx(one_step)


@pytest.mark.parametrize("gamma", [1.0, 0.9])
def test_returns_equal_the_sum_over_what_follows(gamma):
    rewards = np.random.default_rng(2).normal(size=OFFSETS[-1])
    found = split(discounted_returns(rewards, OFFSETS, gamma))
    for row, returns in zip(split(rewards), found, strict=True):
        expected = [
            sum(gamma ** (s - t) * row[s] for s in range(t, len(row))) for t in range(len(row))
        ]
        assert returns == pytest.approx(expected)


def test_rewards_lie_at_last_tokens_and_step_ends_and_add_up():
    trajectories = draw(0)
    rewards = Rewards.of(trajectories, OFFSETS, scale=2.0)
    placed = split(token_rewards(rewards.outcomes, rewards, rewards.step_rewards, OFFSETS))
    for t, row in zip(trajectories, placed, strict=True):
        expected = [0.0] * len(row)
        if row:
            expected[-1] += 2 * t.reward
        for end, reward in zip(t.step_ends, t.step_rewards, strict=True):
            expected[end] += 2 * reward
        assert row == pytest.approx(expected)


def test_whitening_gives_mean_0_and_std_1_where_it_counts():
    advantages = np.random.default_rng(3).normal(5, 3, size=40)
    counts = np.arange(40) % 3 > 0
    found = whiten(advantages, counts)
    assert statistics.fmean(found[counts].tolist()) == pytest.approx(0, abs=1e-9)
    assert statistics.pstdev(found[counts].tolist()) == pytest.approx(1, abs=1e-6)
    assert np.corrcoef(found, advantages)[0, 1] == pytest.approx(1)


@pytest.mark.parametrize("counts", [[True] * 3, [False] * 3])
def test_whitening_nothing_or_equal_values_gives_0(counts):
    assert whiten(np.full(3, 0.1 + 0.2), np.array(counts)).tolist() == [0.0] * 3


def plain_token_advantages(trajectories, k1, recipe) -> list[list[float]]:
    """Every token on its own, by the docstring of `token_advantages`."""
    critic, c, estimate = recipe.critic_type, recipe.kl_penalty_coef, ADVANTAGES[recipe.critic_type]
    groups = np.array([t.group for t in trajectories])
    is_known = np.array([t.is_known for t in trajectories])
    baselines = [t.baseline_reward if critic == "remax" else 0.0 for t in trajectories]
    gains = np.array([t.reward - b for t, b in zip(trajectories, baselines, strict=True)])
    outcomes = estimate(gains, groups, is_known)
    if critic in GROUP_ESTIMATORS:
        outcomes = outcomes + kl_penalties(np.array([sum(row) for row in k1]), groups, c, critic)
    owners = [i for i, t in enumerate(trajectories) for _ in t.step_ends]
    step_rewards = np.array([r for t in trajectories for r in t.step_rewards])
    steps = iter(estimate(step_rewards, groups[owners], is_known[owners]).tolist())
    rows = []
    for i, t in enumerate(trajectories):
        earned = [0.0 if critic in GROUP_ESTIMATORS else -c * k for k in k1[i]]
        for end in t.step_ends:
            earned[end] += next(steps)
        if earned:
            earned[-1] += outcomes[i]
        n = len(earned)
        rows.append(
            [sum(recipe.gamma ** (s - t) * earned[s] for s in range(t, n)) for t in range(n)]
        )
    if not (recipe.whiten_adv or critic in BATCH_NORMALISED):
        return rows
    counted = [a for t, row in zip(trajectories, rows, strict=True) for a in row if not t.is_masked]
    mean, std = statistics.fmean(counted), statistics.pstdev(counted)
    return [[(a - mean) / (std + 1e-8) for a in row] for row in rows]


@pytest.mark.parametrize("critic_type", ADVANTAGES)
@pytest.mark.parametrize(
    ("coefficient", "gamma", "whiten_adv", "has_steps"),
    [(0.0, 1.0, False, False), (0.3, 1.0, False, True), (0.3, 0.9, True, True)],
)
def test_token_advantages_equal_the_plain_loop(
    critic_type, coefficient, gamma, whiten_adv, has_steps
):
    trajectories = draw(4, has_steps=has_steps)
    recipe = Recipe(critic_type, coefficient, gamma, whiten_adv)
    k1 = np.random.default_rng(5).normal(0.1, 0.5, size=OFFSETS[-1])
    batch = Batch.of(trajectories)
    found = token_advantages(batch, Rewards.of(trajectories, OFFSETS, 1.0), k1, recipe)
    expected = plain_token_advantages(trajectories, split(k1), recipe)
    assert found.dtype == np.float32
    for row, plain in zip(split(found), expected, strict=True):
        assert row == pytest.approx(plain, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("critic_type", ["drgrpo", "grpo", "rloo", "reinforce", "remax"])
def test_an_outcome_alone_is_the_advantage_of_every_token_to_the_last_bit(critic_type):
    trajectories = draw(6, has_steps=False)
    rewards = Rewards.of(trajectories, OFFSETS, 1.0)
    found = token_advantages(Batch.of(trajectories), rewards, None, Recipe(critic_type))
    outcomes = rewards.outcomes - (rewards.baselines if critic_type == "remax" else 0)
    expected = ADVANTAGES[critic_type](outcomes, rewards.groups, rewards.is_known)
    assert found.tolist() == np.repeat(expected, LENGTHS).astype(np.float32).tolist()


def test_the_reward_scale_does_not_move_what_is_normalised():
    trajectories = draw(7)
    batch = Batch.of(trajectories)
    one, ten = (Rewards.of(trajectories, OFFSETS, scale) for scale in (1.0, 10.0))
    for critic_type, factor in (("drgrpo", 10), ("reinforce", 10), ("reinforce_pp", 1)):
        recipe = Recipe(critic_type)
        scaled = token_advantages(batch, ten, None, recipe)
        assert scaled == pytest.approx(
            factor * token_advantages(batch, one, None, recipe), rel=1e-5
        )


def test_batch_normalised_advantages_do_not_depend_on_the_order_of_responses():
    trajectories = draw(8)
    order = [4, 0, 6, 2, 5, 1, 3]
    shuffled = [trajectories[i] for i in order]
    batch = Batch.of(shuffled)
    recipe = replace(Recipe("reinforce_pp"), gamma=0.9)
    found = token_advantages(batch, Rewards.of(shuffled, batch.offsets, 1.0), None, recipe)
    expected = split(
        token_advantages(
            Batch.of(trajectories), Rewards.of(trajectories, OFFSETS, 1.0), None, recipe
        )
    )
    for row, i in zip(batch.split(found), order, strict=True):
        assert row.tolist() == pytest.approx(expected[i], rel=1e-5)
    assert math.isfinite(float(found.sum()))


@pytest.mark.parametrize("critic_type", ADVANTAGES)
@pytest.mark.parametrize("ends", [{2: (1, 4, 6)}, {2: (6,)}, {2: (1, 6), 0: (2,)}, {3: ()}])
def test_responses_without_steps_have_their_outcomes_advantage_beside_those_with(critic_type, ends):
    """An oracle that had no time for some: their steps are missing, and nothing else."""
    trajectories = draw(9, has_steps=False)
    rng = random.Random(10)
    some = [
        replace(
            t, step_ends=ends.get(i, ()), step_rewards=tuple(rng.random() for _ in ends.get(i, ()))
        )
        for i, t in enumerate(trajectories)
    ]
    recipe, batch = Recipe(critic_type), Batch.of(some)
    found = split(token_advantages(batch, Rewards.of(some, OFFSETS, 1.0), None, recipe))
    expected = plain_token_advantages(some, split(np.zeros(OFFSETS[-1])), recipe)
    for row, plain in zip(found, expected, strict=True):
        assert np.isfinite(row).all() and row == pytest.approx(plain, rel=1e-5, abs=1e-6)
    if critic_type not in BATCH_NORMALISED:
        alone = split(token_advantages(batch, Rewards.of(trajectories, OFFSETS, 1.0), None, recipe))
        for i in set(range(len(some))) - set(ends):
            assert found[i] == alone[i]


def test_steps_are_compared_with_the_groups_other_steps_alone():
    """Group 0: three tokens with steps worth 1 and 0, seven tokens without any."""
    ends, earned = {0: (0, 2)}, {0: (1.0, 0.0)}
    trajectories = [
        replace(t, reward=1.0, step_ends=ends.get(i, ()), step_rewards=earned.get(i, ()))
        for i, t in enumerate(draw(11, has_steps=False))
    ]
    found = token_advantages(
        Batch.of(trajectories), Rewards.of(trajectories, OFFSETS, 1.0), None, Recipe("drgrpo")
    )
    assert split(found)[0] == [0.0, -0.5, -0.5]
    assert split(found)[2] == [0.0] * 7
