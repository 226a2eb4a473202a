"""PPO's critic: GAE and the value loss against plain Python."""

import random
import statistics

import numpy as np
import pytest
import torch

from learners import value_losses
from learners.batching import Batch
from learners.critic import Targets
from learners.returns import Recipe, Rewards, critic_advantages
from learners.value_model import value_head
from tests.learners.conftest import make_qwen2
from tests.learners.critic_process import batches
from tests.learners.plain_critic import GAMMA, LAM, plain_earned, plain_gae
from understand_r1_zero.types import Trajectory


@pytest.mark.parametrize("whiten_adv", [False, True])
@pytest.mark.parametrize("coefficient", [0.0, 0.3])
def test_critic_advantages_equal_the_plain_loop(coefficient, whiten_adv):
    trajectories = batches(1)[0]
    batch = Batch.of(trajectories)
    rng = np.random.default_rng(0)
    values, k1 = rng.normal(size=batch.num_tokens), rng.normal(size=batch.num_tokens)
    recipe = Recipe("ppo", coefficient, GAMMA, whiten_adv, LAM)
    rewards = Rewards.of(trajectories, batch.offsets, 1.0)
    found = critic_advantages(batch, rewards, k1 if coefficient else None, values, recipe)
    rows = [
        plain_gae(plain_earned(t, k, coefficient), v.tolist())
        for t, k, v in zip(trajectories, batch.split(k1), batch.split(values), strict=True)
    ]
    returns = [
        [a + v for a, v in zip(row, of_response, strict=True)]
        for row, of_response in zip(rows, batch.split(values), strict=True)
    ]
    if whiten_adv:
        counted = [
            a for t, row in zip(trajectories, rows, strict=True) for a in row if not t.is_masked
        ]
        mean, std = statistics.fmean(counted), statistics.pstdev(counted)
        rows = [[(a - mean) / (std + 1e-8) for a in row] for row in rows]
    for i, t in enumerate(trajectories):
        expected = [0.0] * len(rows[i]) if t.is_masked else rows[i]
        assert batch.split(found[0])[i] == pytest.approx(expected, rel=1e-5, abs=1e-6)
        assert batch.split(found[1])[i] == pytest.approx(returns[i], rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("cliprange", [0.0, 0.2])
@pytest.mark.parametrize("seed", range(3))
def test_clipped_squared_error(seed, cliprange):
    rng = random.Random(seed)
    old, returns = ([rng.gauss(0, 1) for _ in range(40)] for _ in range(2))
    values = [v + rng.gauss(0, 0.3) for v in old]
    tensor = torch.tensor(values, dtype=torch.float64, requires_grad=True)
    others = (torch.tensor(each, dtype=torch.float64) for each in (old, returns))
    losses, is_clipped = value_losses.clipped_squared_error(tensor, *others, cliprange)
    slopes = torch.autograd.grad(losses.sum(), tensor)[0].tolist()
    assert not cliprange or 0 < is_clipped.sum() < 40
    for i, (v, o, r) in enumerate(zip(values, old, returns, strict=True)):
        loss, slope, clipped = 0.5 * (v - r) ** 2, v - r, False
        if cliprange:
            inside = min(max(v, o - cliprange), o + cliprange)
            if 0.5 * (inside - r) ** 2 > loss:
                loss, slope, clipped = 0.5 * (inside - r) ** 2, 0.0, True
        assert losses[i].item() == pytest.approx(loss)
        assert slopes[i] == pytest.approx(slope)
        assert is_clipped[i].item() == clipped


def targets_of(values, returns, is_masked=False):
    trajectory = Trajectory(
        prompt_token_ids=np.array([1]),
        response_token_ids=np.zeros(4, np.int32),
        sampler_logprobs=np.zeros(4, np.float32),
        reward=0.0,
        group=0,
        is_masked=is_masked,
    )
    arrays = (np.array(each, np.float32) for each in (values, returns))
    return Targets(Batch.of([trajectory]), *arrays)


def test_explained_variance_is_one_where_values_are_right_and_none_for_a_constant():
    key = "train/value_explained_variance"
    returns = [1.0, 2.0, 3.0, 6.0]
    assert targets_of(returns, returns).metrics()[key] == 1.0
    assert targets_of([3.0] * 4, returns).metrics()[key] == 0.0
    assert targets_of([1.0, 2.0, 3.0, 4.0], returns).metrics()[key] == pytest.approx(1 - 3 / 14)
    assert targets_of(returns, [1.0] * 4).metrics()[key] == 0.0
    assert targets_of(returns, returns, is_masked=True).metrics() == {}


def test_a_critics_new_head_is_zero_until_it_has_learned():
    head = value_head(make_qwen2(), "", seed=0, is_critic=True)
    assert not head.weight.any()
    assert not head.bias.any()
