"""The preference objective in this process: its two passes are the gradient of the whole loss."""

import dataclasses
from typing import Any, get_args

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from learners.batching import collate, plan
from learners.model import TokenLogprobs
from learners.pair_batch import PairBatch, is_in_spans
from learners.preference import judge, token_slopes
from learners.rows import Limits
from tests.learners.conftest import make_qwen2
from understand_r1_zero.args_preference import PreferenceArgs, PreferenceLoss
from understand_r1_zero.types import PreferencePair

pytestmark = pytest.mark.usefixtures("one_thread")

VOCABULARY = 64
SMOOTHING = 0.2


def make_pairs() -> list[PreferencePair]:
    """Ragged pairs of two prompts; some share a response, some count only spans."""
    rng = np.random.default_rng(0)

    def draw(length: int) -> np.ndarray:
        return rng.integers(0, VOCABULARY, length).astype(np.int32)

    first, second = draw(9), draw(4)
    a, b, c, d, e = (draw(length) for length in (5, 1, 8, 3, 6))
    return [
        PreferencePair(first, a, b, weight=1.5),
        PreferencePair(first, a, c, weight=0.5),
        PreferencePair(second, d, e, chosen_spans=((1, 3),), rejected_spans=((0, 1), (4, 6))),
        PreferencePair(second, e, d, label_smoothing=0.05),
        PreferencePair(second, a, e, rejected_spans=((5, 6),)),
    ]


def plain_logprob(model: Any, prompt: np.ndarray, response: np.ndarray, spans: Any) -> tuple:
    """Sum over the counted tokens, one at a time, and how many they are."""
    tokens = torch.from_numpy(np.concatenate([prompt, response])).long()
    logits = model(tokens[None]).logits[0]
    total, count = torch.zeros((), dtype=torch.float64), 0
    for t in range(len(response)):
        if spans is None or any(start <= t < end for start, end in spans):
            row = torch.log_softmax(logits[len(prompt) + t - 1], -1)
            total, count = total + row[int(response[t])], count + 1
    return total, count


def plain_step(model: Any, reference: Any, pairs: list, args: PreferenceArgs) -> torch.Tensor:
    """The weighted mean of the pairs' losses, for the names whose formulas stand here."""
    beta, loss = args.preference_beta, torch.zeros((), dtype=torch.float64)
    for pair in pairs:
        sides = (
            (pair.chosen_token_ids, pair.chosen_spans),
            (
                pair.rejected_token_ids,
                pair.rejected_spans,
            ),
        )
        (c, nc), (r, nr) = (plain_logprob(model, pair.prompt_token_ids, *s) for s in sides)
        with torch.no_grad():
            ref_c, ref_r = (plain_logprob(reference, pair.prompt_token_ids, *s)[0] for s in sides)
        h, eps = (c - ref_c) - (r - ref_r), pair.label_smoothing
        eps = args.label_smoothing if eps is None else eps
        mean_h = (c - ref_c) / nc - (r - ref_r) / nr
        agree, oppose = -F.logsigmoid(beta * h), -F.logsigmoid(-beta * h)
        lost = args.dpo_positive_lambda * torch.relu(ref_c - c)
        gap = beta * (c / nc - r / nr - args.gamma_beta_ratio)
        each = {
            "dpo": agree,
            "cdpo": (1 - eps) * agree + eps * oppose,
            "robust_dpo": ((1 - eps) * agree - eps * oppose) / (1 - 2 * eps),
            "dpop": -F.logsigmoid(beta * (h - lost)),
            "slic": torch.relu(1 - beta * h),
            "ipo": (mean_h - 1 / (2 * beta)) ** 2,
            "ln_dpo": -F.logsigmoid(beta * mean_h),
            "simpo": -F.logsigmoid(gap),
            "simpo_hinge": torch.relu(1 - gap),
        }[args.preference_loss]
        each = each - args.sft_weight * c / nc
        loss = loss + pair.weight * each / len(pairs)
    return loss


def score(model: Any, pair_batch: PairBatch, limits: Limits) -> np.ndarray:
    """Token log-probs of the whole batch, as `Policy.score` finds them."""
    logprobs = np.zeros(pair_batch.batch.num_tokens)
    everything = np.arange(len(pair_batch.batch.lengths))
    with torch.no_grad():
        for rows in plan(pair_batch.batch, everything, limits, 1)[0]:
            micro_batch = collate(pair_batch.batch, rows)
            logprobs[micro_batch.tokens] = forward(model, micro_batch).numpy()
    return logprobs


def forward(model: Any, micro_batch: Any) -> torch.Tensor:
    arrays = (
        micro_batch.input_ids,
        micro_batch.sources,
        micro_batch.targets,
        micro_batch.position_ids,
        micro_batch.segments,
    )
    scorer = TokenLogprobs(model, temperature=1.0)
    return scorer(*(None if a is None else torch.from_numpy(a) for a in arrays))[0]


def two_passes(
    model: Any, reference: Any, chosen: list[int], args: PreferenceArgs, limits: Limits
) -> float:
    """A step of `Preference` on the chosen pairs: its loss; the gradients are left in the model."""
    pairs = make_pairs()
    pair_batch = PairBatch.of(pairs, args.label_smoothing)
    references = pair_batch.sequence_logprobs(score(reference, pair_batch, limits))
    judgement = judge(
        pair_batch,
        pair_batch.sequence_logprobs(score(model, pair_batch, limits)),
        references[pair_batch.responses],
        np.array(chosen),
        args,
    )
    trained = np.flatnonzero(judgement.slopes)
    for rows in plan(pair_batch.batch, trained, limits, 1)[0]:
        micro_batch = collate(pair_batch.batch, rows)
        slopes = token_slopes(pair_batch, judgement.slopes, micro_batch.tokens)
        logprobs = forward(model, micro_batch)
        (torch.from_numpy(slopes).to(logprobs) * logprobs).sum().backward()
    return judgement.metrics["train/loss_mean"]


def gradients(model: Any) -> torch.Tensor:
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


LIMITS = {
    "one micro-batch": Limits(10_000, 100),
    "a response each": Limits(1, 1),
    "shared prompts": Limits(10_000, 100, linear_cost=1e9),
}


@pytest.mark.parametrize(
    ("chosen", "limits"),
    [
        *(([0, 1, 2, 3, 4], limits) for limits in LIMITS.values()),
        ([4, 1, 2], LIMITS["shared prompts"]),
    ],
    ids=[*LIMITS, "some pairs in another order"],
)
@pytest.mark.parametrize("name", get_args(PreferenceLoss))
def test_two_passes_are_the_gradient_of_the_whole_loss(name, chosen, limits):
    args = PreferenceArgs(preference_loss=name, label_smoothing=SMOOTHING, sft_weight=0.1)
    pairs, reference = make_pairs(), make_qwen2(seed=1).double()
    model, whole = (make_qwen2(seed=2).double() for _ in range(2))
    loss = two_passes(model, reference, chosen, args, limits)
    expected = plain_step(whole, reference, [pairs[i] for i in chosen], args)
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    found, wanted = gradients(model), gradients(whole)
    assert wanted.norm() > 1e-3
    assert (found - wanted).norm() < 1e-5 * wanted.norm()


def test_only_counted_tokens_have_a_slope():
    pairs = make_pairs()
    pair_batch = PairBatch.of(pairs, SMOOTHING)
    tokens = np.arange(pair_batch.batch.num_tokens)
    slopes = token_slopes(pair_batch, np.ones(len(pair_batch.counted_lengths)), tokens)
    assert np.array_equal(slopes != 0, pair_batch.is_counted)
    assert not pair_batch.is_counted.all()


def test_a_response_in_several_pairs_is_scored_once():
    pair_batch = PairBatch.of(make_pairs(), SMOOTHING)
    first, second = pair_batch.responses[:2, 0]
    assert first == second
    # The same tokens under other spans, or behind another prompt, are other responses.
    assert len(pair_batch.batch.lengths) == 3 + 2 + 2 + 2
    assert pair_batch.label_smoothing.tolist() == [0.2, 0.2, 0.2, 0.05, 0.2]


def test_metrics_are_means_over_the_pairs_of_the_step():
    pairs = [dataclasses.replace(pair, weight=1.0) for pair in make_pairs()]
    pair_batch = PairBatch.of(pairs, SMOOTHING)
    logprobs = -np.arange(len(pair_batch.counted_lengths), dtype=float)
    references, chosen = np.zeros((len(pairs), 2)), np.array([1, 2, 3])
    metrics = judge(pair_batch, logprobs, references, chosen, PreferenceArgs()).metrics
    rewards = 0.1 * logprobs[pair_batch.responses[chosen]]
    margins = rewards[:, 0] - rewards[:, 1]
    assert metrics["train/chosen_reward"] == pytest.approx(rewards[:, 0].mean())
    assert metrics["train/rejected_reward"] == pytest.approx(rewards[:, 1].mean())
    assert metrics["train/reward_margin"] == pytest.approx(margins.mean())
    assert metrics["train/acc_mean"] == pytest.approx((margins > 0).mean())
    assert metrics["train/loss_mean"] == pytest.approx(np.log1p(np.exp(-margins)).mean())
    assert 0 < metrics["train/acc_mean"] <= 1


def test_spans_outside_the_response_are_a_fault_of_the_program():
    assert is_in_spans(4, None).all()
    assert is_in_spans(4, ((1, 2), (3, 4))).tolist() == [False, True, False, True]
    for spans in (((0, 5),), ((2, 2),), ((-1, 2),)):
        with pytest.raises(AssertionError):
            is_in_spans(4, spans)
