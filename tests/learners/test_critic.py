"""PPO's critic: GAE and the value loss against plain Python, then both kinds of it on the real engine."""

import math
import random
import statistics
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM, AutoModelForTokenClassification, AutoTokenizer

from learners import value_losses
from learners.batching import Batch
from learners.critic import Targets
from learners.returns import Recipe, Rewards, critic_advantages
from learners.value_model import HEAD, save_value_model, value_head
from tests.learners.agreement import assert_same_metrics, assert_same_weights
from tests.learners.conftest import make_qwen2, run_ranks
from tests.learners.critic_process import FLAGS, batches
from understand_r1_zero.types import Trajectory

PROGRAM = Path(__file__).with_name("critic_process.py")
GAMMA, LAM, TEMPERATURE, LEARNING_RATE = 0.95, 0.9, 0.8, 1e-2
KINDS = tuple(FLAGS)


def plain_gae(earned, values):
    """Backwards, one token at a time."""
    advantages, following, next_value = [], 0.0, 0.0
    for reward, value in zip(reversed(earned), reversed(values), strict=True):
        following = reward + GAMMA * next_value - value + GAMMA * LAM * following
        next_value = value
        advantages.append(following)
    return advantages[::-1]


def plain_earned(trajectory, k1, coefficient):
    earned = [-coefficient * k for k in k1]
    earned[-1] += trajectory.reward
    for end, reward in zip(trajectory.step_ends, trajectory.step_rewards, strict=True):
        earned[end] += reward
    return earned


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
    head = value_head(make_qwen2(), "", seed=0, is_zero=True)
    assert not head.weight.any()
    assert not head.bias.any()


@pytest.fixture(scope="module")
def place(laboratory):
    """The laboratory's model, and a critic that has opinions."""
    directory = laboratory / "critic"
    directory.mkdir()
    (directory / "model").symlink_to(laboratory / "model")
    model = make_qwen2()
    head = value_head(model, "", seed=0)
    nn.init.normal_(head.weight, std=0.5)
    nn.init.constant_(head.bias, 0.3)
    tensors = dict(model.state_dict()) | {f"{HEAD}.{n}": t for n, t in head.state_dict().items()}
    (directory / "value_model").mkdir()
    save_value_model(directory / "value_model", model, tensors, "none")
    AutoTokenizer.from_pretrained(laboratory / "model").save_pretrained(directory / "value_model")
    return directory


@pytest.fixture(scope="module")
def alone(place):
    return run_ranks(place, world_size=1, program=PROGRAM)[0]


@pytest.fixture(scope="module")
def pair(place):
    return run_ranks(place, world_size=2, program=PROGRAM)


def plain_update(place, kind):
    """The first update's losses and gradient norms, by a loop over responses without our code."""
    path = place / "value_model"
    critic = AutoModelForTokenClassification.from_pretrained(path, dtype=torch.float32).eval()
    policy = AutoModelForCausalLM.from_pretrained(
        place / "model" if kind == "separate" else path, dtype=torch.float32
    )
    data = batches(1)[0]
    num_tokens = sum(len(t.response_token_ids) for t in data)
    num_counted = sum(len(t.response_token_ids) for t in data if not t.is_masked)
    value_loss, pg_loss = torch.zeros(()), torch.zeros(())
    for t in data:
        if t.is_masked:
            continue
        prompt, response = (
            torch.from_numpy(ids).long() for ids in (t.prompt_token_ids, t.response_token_ids)
        )
        ids = torch.cat([prompt, response])[None]
        values = critic(ids).logits[0, len(prompt) - 1 : -1, 0]
        logits = policy(ids).logits[0, len(prompt) - 1 : -1] / TEMPERATURE
        advantages = plain_gae(plain_earned(t, [0.0] * len(response), 0.0), values.tolist())
        for i, a in enumerate(advantages):
            value_loss = value_loss + 0.5 * (values[i] - (a + values[i].item())) ** 2 / num_counted
            logprob = logits[i].log_softmax(-1)[response[i]]
            weight = min(math.exp(logprob.item() - t.sampler_logprobs[i]), 2.0)
            pg_loss = pg_loss - a * weight * (logprob - logprob.detach()).exp() / num_tokens
    norms = {}
    if kind == "separate":
        value_loss.backward()
        pg_loss.backward()
        norms["train/critic_grad_norm"] = norm_of(critic.parameters())
        norms["train/policy_grad_norm"] = norm_of(policy.parameters())
    else:
        # One trunk: what both losses say of a weight adds up.
        (pg_loss + FLAGS[kind]["vf_coef"] * value_loss).backward()
        slopes = {name.removeprefix("model."): p.grad for name, p in policy.named_parameters()}
        for name, p in critic.named_parameters():
            found = slopes.get(name.removeprefix("model."))
            slopes[name.removeprefix("model.")] = p.grad if found is None else p.grad + found
        norms["train/policy_grad_norm"] = float(
            torch.nn.utils.get_total_norm([slope for slope in slopes.values() if slope is not None])
        )
    return {"train/critic_loss": value_loss.item(), "train/pg_loss": pg_loss.item(), **norms}


def norm_of(parameters):
    return float(torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None]))


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_update_equals_a_plain_loop(place, alone, kind):
    metrics = alone["first_update"][kind]["metrics"][0]
    for key, value in plain_update(place, kind).items():
        assert metrics[key] == pytest.approx(value, rel=1e-4), key


def assert_same_learning(found, expected):
    assert_same_metrics(found, expected)
    assert_same_weights(found, expected, LEARNING_RATE)
    critics = ({"weights": each["critic"]} for each in (found, expected))
    assert_same_weights(*critics, LEARNING_RATE)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stage", [1, 2, 3])
def test_every_zero_stage_learns_the_same(alone, kind, stage):
    assert_same_learning(alone["stages"][kind, stage], alone["stages"][kind, 0])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_two_ranks_learn_what_one_does(alone, pair, kind, stage):
    assert_same_learning(pair[0]["stages"][kind, stage], alone["stages"][kind, stage])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("split", ["many", "packed", "shuffled"])
def test_rows_micro_batches_and_order_do_not_matter(alone, kind, split):
    assert_same_learning(alone["splits"][kind, split], alone["splits"][kind, "one"])


def test_the_critic_learns_alone_while_it_warms_up(alone):
    found = alone["warm_up"]
    before, alone_, both = found["before"], found["alone"], found["both"]
    for name, tensor in before.items():
        assert np.array_equal(alone_["weights"][name], tensor), name
    losses = [m["train/critic_loss"] for m in alone_["metrics"]]
    assert all(m["train/critic_grad_norm"] > 0 for m in alone_["metrics"]), losses
    assert any(not np.array_equal(both["weights"][name], tensor) for name, tensor in before.items())
    assert alone_["first_step"]["train/ratio_mean"] == 1.0
    assert both["metrics"][0]["train/policy_grad_norm"] > 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_resumed_critic_goes_on_bit_by_bit(alone, pair, kind):
    for found in (alone, *pair):
        straight, resumed = found["resume"][kind]
        assert resumed["metrics"] == straight["metrics"]
        for name, tensor in straight["critic"].items():
            assert np.array_equal(resumed["critic"][name], tensor), name
