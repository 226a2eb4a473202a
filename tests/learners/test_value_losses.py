"""Value losses, and the means of supervised ones, against plain Python, one step end at a time."""

import math
import random

import pytest
import torch

from learners import value_losses
from learners.supervised_losses import mean_weights

COUNTS = [3, 1, 0, 7, 2, 5]


def draw(seed, number=18):
    rng = random.Random(seed)
    outputs = torch.tensor([rng.gauss(0, 2) for _ in range(number)], dtype=torch.float64)
    return rng, outputs.requires_grad_()


def gradient(loss, outputs):
    return torch.autograd.grad(loss, outputs)[0].tolist()


@pytest.mark.parametrize("seed", range(3))
def test_squared_error(seed):
    rng, outputs = draw(seed)
    targets = [rng.choice([-1.0, 0.3, 1.0]) for _ in outputs]
    losses = value_losses.squared_error(outputs.tanh(), torch.tensor(targets, dtype=torch.float64))
    values = [math.tanh(o) for o in outputs.tolist()]
    pairs = list(zip(values, targets, strict=True))
    assert losses.tolist() == pytest.approx([(v - y) ** 2 for v, y in pairs])
    expected = [2 * (v - y) * (1 - v**2) for v, y in pairs]
    assert gradient(losses.sum(), outputs) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(3))
def test_binary_cross_entropy(seed):
    rng, outputs = draw(seed)
    labels = [rng.choice([0.0, 1.0, rng.random()]) for _ in outputs]
    losses = value_losses.binary_cross_entropy(outputs, torch.tensor(labels, dtype=torch.float64))
    chances = [1 / (1 + math.exp(-o)) for o in outputs.tolist()]
    pairs = list(zip(chances, labels, strict=True))
    expected = [-(y * math.log(p) + (1 - y) * math.log(1 - p)) for p, y in pairs]
    assert losses.tolist() == pytest.approx(expected)
    assert gradient(losses.sum(), outputs) == pytest.approx([p - y for p, y in pairs])


def test_binary_cross_entropy_is_finite_and_least_at_a_soft_label():
    far = torch.tensor([-1e4, 1e4])
    assert value_losses.binary_cross_entropy(far, torch.tensor([1.0, 0.0])).tolist() == [1e4, 1e4]
    label = torch.tensor([0.3])
    at_label = value_losses.binary_cross_entropy(torch.log(label / (1 - label)), label)
    assert at_label.item() == pytest.approx(-(0.3 * math.log(0.3) + 0.7 * math.log(0.7)))


def plain_ranking(values, is_right, groups, num_groups):
    """The loss of each group and the derivative of their sum by each value."""
    losses, slopes = [0.0] * num_groups, [0.0] * len(values)
    for group in range(num_groups):
        right = [i for i, g in enumerate(groups) if g == group and is_right[i]]
        wrong = [i for i, g in enumerate(groups) if g == group and not is_right[i]]
        for i in right:
            for j in wrong:
                chance = 1 / (1 + math.exp(values[j] - values[i]))
                losses[group] -= math.log(chance) / (len(right) * len(wrong))
                slopes[i] -= (1 - chance) / (len(right) * len(wrong))
                slopes[j] += (1 - chance) / (len(right) * len(wrong))
    return losses, slopes


@pytest.mark.parametrize("seed", range(5))
def test_pairwise_ranking(seed):
    rng, values = draw(seed)
    groups = [rng.randrange(5) for _ in values]
    is_right = [group != 1 and (group == 2 or rng.random() < 0.4) for group in groups]
    losses = value_losses.pairwise_ranking(values, torch.tensor(is_right), torch.tensor(groups))
    expected, slopes = plain_ranking(values.tolist(), is_right, groups, max(groups) + 1)
    assert losses.tolist() == pytest.approx(expected)
    assert losses[1:3].tolist() == [0.0, 0.0]
    assert gradient(losses.sum(), values) == pytest.approx(slopes)


def test_ranking_is_two_pairs_wide_in_rstar():
    values = torch.tensor([1.0, 0.5, -0.2, 0.1])
    is_right = torch.tensor([True, True, False, False])
    loss = value_losses.pairwise_ranking(values, is_right, torch.zeros(4, dtype=torch.long))
    margins = [1.0 + 0.2, 1.0 - 0.1, 0.5 + 0.2, 0.5 - 0.1]
    assert loss.item() == pytest.approx(sum(math.log1p(math.exp(-m)) for m in margins) / 4)


def test_ranking_of_nothing():
    nothing = torch.zeros(0, requires_grad=True)
    no_groups = torch.zeros(0, dtype=torch.long)
    loss = value_losses.pairwise_ranking(nothing, torch.zeros(0, dtype=torch.bool), no_groups)
    assert loss.sum().item() == 0


def test_the_margin_of_values_is_a_hinge():
    chosen = torch.tensor([0.9, 0.3, -0.5], dtype=torch.float64, requires_grad=True)
    rejected = torch.tensor([0.1, 0.1, 0.4], dtype=torch.float64, requires_grad=True)
    losses = value_losses.value_margin(chosen, rejected, 0.5)
    assert losses.tolist() == pytest.approx([0.0, 0.3, 1.4])
    assert gradient(losses.sum(), chosen) == [0.0, -1.0, -1.0]
    losses = value_losses.value_margin(chosen, rejected, 0.5)
    assert gradient(losses.sum(), rejected) == [0.0, 1.0, 1.0]


def test_the_joint_loss():
    policy, value = torch.tensor(2.0, requires_grad=True), torch.tensor(3.0, requires_grad=True)
    loss = value_losses.joint_loss(policy, value, 0.1)
    assert loss.item() == pytest.approx(2.3)
    assert torch.autograd.grad(loss, (policy, value)) == (1.0, pytest.approx(0.1))


@pytest.mark.parametrize("is_by_sequence", [False, True])
def test_mean_weights(is_by_sequence):
    weights = mean_weights(torch.tensor(COUNTS), is_by_sequence)
    rng = random.Random(0)
    rows = [[rng.random() for _ in range(count)] for count in COUNTS]
    if is_by_sequence:
        means = [sum(row) / len(row) for row in rows if row]
        expected = sum(means) / len(means)
    else:
        expected = sum(map(sum, rows)) / sum(COUNTS)
    found = sum(weight * sum(row) for weight, row in zip(weights.tolist(), rows, strict=True))
    assert found == pytest.approx(expected)
    assert weights[2] == 0


@pytest.mark.parametrize("is_by_sequence", [False, True])
def test_nothing_has_no_weight(is_by_sequence):
    assert mean_weights(torch.tensor([0, 0]), is_by_sequence).tolist() == [0.0, 0.0]
