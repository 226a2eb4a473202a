"""A value head beside the policy on preference pairs: its part of the loss, and how it is differentiated."""

from dataclasses import dataclass

import numpy as np
import torch

from learners import value_losses
from learners.pair_batch import PairBatch
from learners.policy import Scoring
from understand_r1_zero.args import Args


def pair_scoring(args: Args) -> Scoring:
    """What the policy must give where preference learning trains a value head beside it."""
    is_bias_seen = args.preference.pair_value_weight > 0 or args.value.value_head == "tanh"
    return Scoring(args.sampling.temperature, has_values=True, is_bias_seen=is_bias_seen)


@dataclass(frozen=True)
class ValueJudgement:
    """What the value terms of one optimizer step make of its pairs.

    `loss` is their weighted sum, `slopes` float64 (R,) its derivative by the head's bare output where the
    value of each response is read.
    """

    loss: float
    slopes: np.ndarray
    metrics: dict[str, float]


def judge_values(
    pair_batch: PairBatch, outputs: np.ndarray, chosen: np.ndarray, args: Args
) -> ValueJudgement:
    """The value terms of an optimizer step, their derivatives by the outputs, and their metrics.

    With V the activation of `--value_head` on an output and y the target of a response, over the n
    pairs of the step

    `w_v 1/(2n) sum_i ((V_c - y_c)^2 + (V_r - y_r)^2) + w_m 1/n sum_i max(0, m - (V_c - V_r))`

    with `--pair_value_weight`, `--pair_margin_weight` and `--pair_value_margin`. The weights of pairs are
    not in it: they say how much a preference counts. A response in several pairs counts in each.
    Metrics are both means without their weights (that of the squares where targets are known) and the
    share of pairs whose chosen response is worth more.

    Args:
        pair_batch: P pairs over R responses.
        outputs: (T,) bare outputs of the head at the tokens of the batch.
        chosen: int (n,), the pairs of the step.
        args: the weights and the activation.

    Source: see `value_losses.squared_error` and `value_losses.value_margin`.
    """
    weights = args.preference
    ends = torch.from_numpy(outputs[pair_batch.value_tokens].astype(np.float64)).requires_grad_()
    activated = ends.tanh() if args.value.value_head == "tanh" else ends
    values = activated[torch.from_numpy(pair_batch.responses[chosen])]
    of_chosen, of_rejected = values.unbind(1)
    margins = value_losses.value_margin(of_chosen, of_rejected, weights.pair_value_margin)
    loss = weights.pair_margin_weight * margins.mean()
    metrics = {
        "value_margin_loss": margins.detach().mean().item(),
        "value_accuracy": (of_chosen > of_rejected).double().mean().item(),
    }
    if pair_batch.values is not None:
        targets = torch.from_numpy(pair_batch.values[chosen])
        errors = value_losses.squared_error(values, targets)
        loss = loss + weights.pair_value_weight * errors.mean()
        metrics["value_loss"] = errors.detach().mean().item()
    (slopes,) = torch.autograd.grad(loss, ends)
    return ValueJudgement(loss.item(), slopes.numpy(), metrics)


def output_slopes(pair_batch: PairBatch, slopes: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """The derivative of the step's loss by the head's output at each given token, (R,), (N,) -> (N,)."""
    of_tokens = np.zeros(pair_batch.batch.num_tokens)
    of_tokens[pair_batch.value_tokens] = slopes
    return of_tokens[tokens]
