"""Losses against plain Python over ragged responses, one token at a time."""

import math
import random

import pytest
import torch

from learners import losses

CLIPRANGE = 0.2
LENGTHS = [3, 1, 7, 2, 5]
IS_MASKED = [False, False, True, False, False]


def draw(seed: int) -> dict[str, list[list[float]]]:
    rng = random.Random(seed)
    old = [[-rng.expovariate(0.7) for _ in range(n)] for n in LENGTHS]
    noisy = [[[x + rng.gauss(0, 0.4) for x in row] for row in old] for _ in range(3)]
    return {"old": old, "new": noisy[0], "sampler": noisy[1], "ref": noisy[2]}


def plain_loss(
    data: dict[str, list[list[float]]],
    advantages: list[float],
    *,
    constant_length: int | None,
    tis_c: float,
    beta: float,
) -> tuple[float, list[list[float]]]:
    """The loss, and its derivative by each log-prob, by the formulas of oat.md section 2."""
    total, gradients = 0.0, []
    for i, length in enumerate(LENGTHS):
        mask = 0.0 if IS_MASKED[i] else 1.0
        scale = mask / (constant_length or length) / len(LENGTHS)
        row = []
        for t in range(length):
            new, old = data["new"][i][t], data["old"][i][t]
            ratio, advantage = math.exp(new - old), advantages[i]
            clipped = min(max(ratio, 1 - CLIPRANGE), 1 + CLIPRANGE)
            tis = min(math.exp(old - data["sampler"][i][t]), tis_c) if tis_c else 1.0
            difference = data["ref"][i][t] - new
            k3 = math.exp(difference) - 1 - difference
            total += scale * (max(-advantage * ratio, -advantage * clipped) * tis + beta * k3)
            is_open = -advantage * ratio >= -advantage * clipped
            slope = -advantage * ratio * tis if is_open else 0.0
            row.append(scale * (slope + beta * (1 - math.exp(difference))))
        gradients.append(row)
    return total, gradients


@pytest.mark.parametrize("constant_length", [None, 16])
@pytest.mark.parametrize("tis_c", [0.0, 1.1])
@pytest.mark.parametrize("beta", [0.0, 0.3])
def test_loss_and_gradient_equal_the_plain_loop(constant_length, tis_c, beta):
    data, advantages = draw(seed=1), [0.7, -1.3, 0.4, 0.0, -0.2]
    flat = {
        name: torch.tensor([x for row in rows for x in row], dtype=torch.float64)
        for name, rows in data.items()
    }
    lengths = torch.tensor(LENGTHS)
    response_of = torch.repeat_interleave(torch.arange(len(LENGTHS)), lengths)
    logprobs = flat["new"].requires_grad_()
    weights = losses.response_weights(lengths, torch.tensor(IS_MASKED), constant_length)

    ratio = (logprobs - flat["old"]).exp()
    surrogate = losses.clipped_surrogate(
        ratio, torch.tensor(advantages, dtype=torch.float64)[response_of], CLIPRANGE
    )
    tis = losses.truncated_importance_weights(flat["old"], flat["sampler"], tis_c)
    per_token = surrogate * tis + beta * losses.k3(logprobs, flat["ref"])
    loss = (weights[response_of] * per_token).sum()
    loss.backward()

    expected, gradients = plain_loss(
        data, advantages, constant_length=constant_length, tis_c=tis_c, beta=beta
    )
    assert loss.item() == pytest.approx(expected, rel=1e-6)
    assert logprobs.grad is not None
    assert logprobs.grad.tolist() == pytest.approx([g for row in gradients for g in row], rel=1e-6)


def test_is_clipped_is_where_the_gradient_is_gone():
    ratio = torch.tensor([0.5, 0.9, 1.0, 1.1, 1.5]).repeat(3).requires_grad_()
    advantages = torch.tensor([1.0, -1.0, 0.0]).repeat_interleave(5)
    losses.clipped_surrogate(ratio, advantages, CLIPRANGE).sum().backward()
    assert ratio.grad is not None
    is_gone = (ratio.grad == 0) & (advantages != 0)
    assert torch.equal(losses.is_clipped(ratio, advantages, CLIPRANGE), is_gone)
    assert is_gone.sum() == 2


def test_no_gradient_flows_through_importance_weights():
    old, sampler = torch.zeros(3, requires_grad=True), torch.tensor([-5.0, 0.0, 5.0])
    weights = losses.truncated_importance_weights(old, sampler, cap=2.0)
    assert not weights.requires_grad
    assert weights.tolist() == pytest.approx([2.0, 1.0, math.exp(-5.0)])


def test_k3_is_exact_near_zero_and_finite_far_away():
    logprobs = torch.tensor([-1.0, -1.0, -1.0, 0.0])
    ref_logprobs = logprobs + torch.tensor([0.0, 1e-4, -1e-4, -1e4])
    values = losses.k3(logprobs, ref_logprobs)
    assert values[0] == 0
    assert values[1:3].tolist() == pytest.approx([5e-9, 5e-9], rel=1e-2)
    assert values[3] == pytest.approx(39.0)


def test_a_masked_response_stays_in_the_denominator():
    lengths = torch.tensor([4, 4])
    both = losses.response_weights(lengths, torch.tensor([False, False]), 8)
    one = losses.response_weights(lengths, torch.tensor([False, True]), 8)
    assert both.tolist() == [1 / 16, 1 / 16]
    assert one.tolist() == [1 / 16, 0.0]
