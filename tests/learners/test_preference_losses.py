"""Preference losses against plain Python, one pair and one token at a time."""

import dataclasses
import math
import random
from typing import Any, get_args

import pytest
import torch

from learners.preference_losses import PairScores, pair_losses, rewards
from understand_r1_zero.args_preference import READERS, PreferenceArgs, PreferenceLoss

LOSSES = get_args(PreferenceLoss)
LENGTHS = [(3, 5), (1, 1), (7, 2), (2, 9), (4, 4)]
SMOOTHING = [0.1, 0.0, 0.3, 0.45, 0.2]


def draw(seed: int) -> list[dict[str, list[float]]]:
    """Token log-probs of each pair's responses under policy and reference."""
    rng = random.Random(seed)
    pairs = []
    for chosen, rejected in LENGTHS:
        pair = {}
        for side, length in (("chosen", chosen), ("rejected", rejected)):
            pair[f"ref_{side}"] = [-rng.expovariate(0.7) for _ in range(length)]
            pair[side] = [x + rng.gauss(0, 0.6) for x in pair[f"ref_{side}"]]
        pairs.append(pair)
    return pairs


def softplus(x: float) -> float:
    return math.log1p(math.exp(-abs(x))) + max(x, 0.0)


def plain_loss(pair: dict[str, list[float]], args: PreferenceArgs, eps: float) -> float:
    """One pair's loss, written out for each name; `softplus(-x)` is `-log sigmoid(x)`."""
    beta, sums, means = args.preference_beta, {}, {}
    for name, tokens in pair.items():
        total = 0.0
        for logprob in tokens:
            total += logprob
        sums[name], means[name] = total, total / len(tokens)
    h = (sums["chosen"] - sums["ref_chosen"]) - (sums["rejected"] - sums["ref_rejected"])
    h_mean = (means["chosen"] - means["ref_chosen"]) - (means["rejected"] - means["ref_rejected"])
    longer = args.len_reg_alpha * (len(pair["chosen"]) - len(pair["rejected"]))
    x = beta * h + longer
    simpo = beta * (means["chosen"] - means["rejected"]) - beta * args.gamma_beta_ratio
    lost = max(0.0, sums["ref_chosen"] - sums["chosen"])
    loss = {
        "dpo": softplus(-x),
        "cdpo": (1 - eps) * softplus(-x) + eps * softplus(x),
        "robust_dpo": ((1 - eps) * softplus(-x) - eps * softplus(x)) / (1 - 2 * eps),
        "dpop": softplus(-(x - beta * args.dpo_positive_lambda * lost)),
        "slic": max(0.0, 1 - x),
        "ipo": (h_mean - 1 / (2 * beta)) ** 2,
        "ln_dpo": softplus(-beta * h_mean),
        "simpo": softplus(-simpo),
        "simpo_hinge": max(0.0, 1 - simpo),
    }[args.preference_loss]
    return loss - args.sft_weight * means["chosen"]


def scores_of(pairs: list[dict[str, list[float]]]) -> tuple[PairScores, torch.Tensor]:
    """Scores from one flat array of the policy's token log-probs, which carries the gradient."""
    flat = torch.tensor(
        [x for p in pairs for x in p["chosen"] + p["rejected"]], dtype=torch.float64
    )
    flat.requires_grad_()
    pieces = flat.split([n for lengths in LENGTHS for n in lengths])
    sums = torch.stack([piece.sum() for piece in pieces])
    references = [
        torch.tensor([sum(p[f"ref_{side}"]) for p in pairs], dtype=torch.float64) for side in SIDES
    ]
    lengths = torch.tensor(LENGTHS).double()
    return PairScores(sums[0::2], sums[1::2], *references, *lengths.unbind(1)), flat


SIDES = ("chosen", "rejected")


def make_args(name: Any, **values: Any) -> PreferenceArgs:
    beta = 2.0 if name.startswith("simpo") else 0.3
    args = PreferenceArgs(preference_loss=name, preference_beta=beta, dpo_positive_lambda=2.0)
    return dataclasses.replace(args, **values)


@pytest.mark.parametrize(
    ("name", "extras"),
    [(name, extras) for name in LOSSES for extras in ({}, {"sft_weight": 0.3})]
    + [(name, {"len_reg_alpha": 0.05}) for name in READERS["len_reg_alpha"]],
)
def test_losses_and_gradients_equal_the_plain_loop(name, extras):
    pairs, args = draw(seed=3), make_args(name, **extras)
    scores, flat = scores_of(pairs)
    losses = pair_losses(scores, args, torch.tensor(SMOOTHING, dtype=torch.float64))
    expected = [plain_loss(p, args, eps) for p, eps in zip(pairs, SMOOTHING, strict=True)]
    assert losses.tolist() == pytest.approx(expected, rel=1e-6)
    losses.sum().backward()
    assert flat.grad is not None
    differences, step = [], 1e-6
    for pair, eps in zip(pairs, SMOOTHING, strict=True):
        for side in SIDES:
            for t in range(len(pair[side])):
                values = []
                for sign in (1, -1):
                    moved = {name: list(tokens) for name, tokens in pair.items()}
                    moved[side][t] += sign * step
                    values.append(plain_loss(moved, args, eps))
                differences.append((values[0] - values[1]) / (2 * step))
    assert flat.grad.tolist() == pytest.approx(differences, rel=1e-4, abs=1e-7)
    assert flat.grad.abs().max() > 1e-3


def test_cdpo_stops_where_the_label_is_as_likely_as_it_says():
    eps, beta = torch.tensor([0.2]).double(), 0.5
    margin = (math.log(0.8 / 0.2) / beta * torch.ones(1)).double().requires_grad_()
    zero = torch.zeros(1).double()
    scores = PairScores(margin, zero, zero, zero, zero + 1, zero + 1)
    pair_losses(scores, make_args("cdpo", preference_beta=beta), eps).sum().backward()
    assert margin.grad is not None
    assert margin.grad.item() == pytest.approx(0.0, abs=1e-7)


@pytest.mark.parametrize("name", ["cdpo", "robust_dpo"])
def test_without_smoothing_noisy_labels_are_plain_dpo(name):
    scores, _ = scores_of(draw(seed=1))
    zero = torch.zeros(len(LENGTHS)).double()
    plain = pair_losses(scores, make_args("dpo"), zero)
    assert torch.equal(pair_losses(scores, make_args(name), zero), plain)


def test_robust_dpo_is_unbiased_over_flipped_labels():
    """The mean over labels, flipped with probability eps, is the loss of the true labels."""
    scores, _ = scores_of(draw(seed=2))
    flipped = PairScores(
        scores.rejected,
        scores.chosen,
        scores.ref_rejected,
        scores.ref_chosen,
        scores.rejected_lengths,
        scores.chosen_lengths,
    )
    eps = torch.full((len(LENGTHS),), 0.3).double()
    args = make_args("robust_dpo")
    mean = 0.7 * pair_losses(scores, args, eps) + 0.3 * pair_losses(flipped, args, eps)
    assert mean.tolist() == pytest.approx(pair_losses(scores, make_args("dpo"), eps).tolist())


def test_dpop_is_dpo_while_the_chosen_response_is_not_below_the_reference():
    pairs = draw(seed=4)
    for pair in pairs:
        pair["chosen"] = [x + 0.5 for x in pair["ref_chosen"]]
    scores, _ = scores_of(pairs)
    eps = torch.zeros(len(LENGTHS)).double()
    plain = pair_losses(scores, make_args("dpo"), eps)
    assert torch.equal(pair_losses(scores, make_args("dpop"), eps), plain)


@pytest.mark.parametrize("name", LOSSES)
def test_rewards_are_what_the_loss_compares(name):
    pairs, args = draw(seed=5), make_args(name)
    scores, _ = scores_of(pairs)
    for side, found in zip(SIDES, rewards(scores, args), strict=True):
        expected = []
        for pair in pairs:
            tokens, references = pair[side], pair[f"ref_{side}"]
            reward = sum(tokens)
            if not name.startswith("simpo"):
                reward -= sum(references)
            if name in ("ipo", "ln_dpo", "simpo", "simpo_hinge"):
                reward /= len(tokens)
            expected.append(args.preference_beta * reward)
        assert found.tolist() == pytest.approx(expected, rel=1e-6)
        assert not found.requires_grad


@pytest.mark.parametrize("name", LOSSES)
def test_losses_stay_finite_far_away(name):
    far = torch.tensor([1e4, -1e4]).double().requires_grad_()
    zero = torch.zeros(2).double()
    scores = PairScores(far, zero, zero, zero, zero + 1, zero + 1)
    losses = pair_losses(scores, make_args(name), zero + 0.1)
    losses.sum().backward()
    assert far.grad is not None
    assert losses.isfinite().all() and far.grad.isfinite().all()
