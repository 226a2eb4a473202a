"""What an update reports, under Oat's keys: of the whole batch, not of its last micro-batch."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from learners.batching import Batch


def batch_metrics(
    batch: Batch,
    advantages: np.ndarray,
    old_logprobs: np.ndarray,
    entropies: np.ndarray,
    ref_logprobs: np.ndarray | None,
) -> dict[str, float]:
    """What the batch looked like before the update.

    `entropy`, `logprob_gap_mean` (`|sampler - old|`), `kl_sample_train_v1` (`sampler - old`) and `_v2`
    (`(sampler - old)^2 / 2`) are means over response tokens, in nats; `sampler_learner_prob_diff`
    compares probabilities; `kl3` is the k3 estimate of KL(old || ref) summed over a response's tokens,
    mean over responses, as in Oat. `adv_mean` is the mean over responses of the mean over their tokens.
    `sampler_drift_*` are those of `sampler_drift`.

    Args:
        batch: T response tokens of R responses.
        advantages: (T,) as used in the loss.
        old_logprobs: (T,).
        entropies: (T,) nats.
        ref_logprobs: (T,) or None.
    """
    gaps = batch.sampler_logprobs - old_logprobs
    probability_gaps = np.exp(batch.sampler_logprobs) - np.exp(old_logprobs)
    is_zero = batch.is_masked[batch.response_of] | (advantages == 0)
    of_responses = np.bincount(batch.response_of, advantages)[batch.lengths > 0]
    metrics = {
        "train/entropy": entropies.mean(dtype=np.float64),
        "train/logprob_gap_mean": np.abs(gaps).mean(dtype=np.float64),
        "train/kl_sample_train_v1": gaps.mean(dtype=np.float64),
        "train/kl_sample_train_v2": 0.5 * np.square(gaps).mean(dtype=np.float64),
        "train/sampler_learner_prob_diff_max": probability_gaps.max(),
        "train/sampler_learner_prob_diff_min": probability_gaps.min(),
        "train/adv_mean": (of_responses / batch.lengths[batch.lengths > 0]).mean(),
        "train/adv_min": advantages.min(),
        "train/adv_max": advantages.max(),
        "train/zero_pg_loss_count": is_zero.sum(),
        **sampler_drift(batch, old_logprobs),
    }
    if ref_logprobs is not None:
        differences = np.clip(ref_logprobs - old_logprobs, -40.0, 40.0)
        kl3 = np.expm1(differences) - differences
        metrics["train/kl3"] = kl3.sum(dtype=np.float64) / len(batch.lengths)
    return {key: float(value) for key, value in metrics.items()}


def sampler_drift(batch: Batch, old_logprobs: np.ndarray) -> dict[str, float]:
    """How far the sampler is from the learner before the update, without any correction.

    With `d_t = old_t - sampler_t` in nats and `w_t = exp(d_t)`: `k1` is the mean of `-d`, `k3` the mean of
    `w - 1 - d` (both estimate KL(sampler || old) a token, k3 is never negative), `max` the largest
    `|d|`, and `ess` the effective share of the tokens, `(sum w)^2 / (T sum w^2)`, between 1/T and 1;
    `ess_sequence` that of the responses, with `w_i = exp(sum_t d_t)`.

    Source: Schulman 2020, "Approximating KL divergence"; Kish 1965 for the effective sample size.
    """
    differences = np.clip(old_logprobs.astype(np.float64) - batch.sampler_logprobs, -40.0, 40.0)
    of_responses = np.bincount(batch.response_of, differences, len(batch.lengths))
    return {
        "train/sampler_drift_k1": -differences.mean(),
        "train/sampler_drift_k3": (np.expm1(differences) - differences).mean(),
        "train/sampler_drift_max": np.abs(differences).max(),
        "train/sampler_drift_ess": _effective_share(differences),
        "train/sampler_drift_ess_sequence": _effective_share(of_responses[batch.lengths > 0]),
    }


def _effective_share(log_weights: np.ndarray) -> float:
    """Kish's effective sample size over the sample size."""
    weights = np.exp(log_weights - log_weights.max())
    return float(weights.sum() ** 2 / (len(weights) * np.square(weights).sum()))


@dataclass
class StepSums:
    """What one optimizer step adds up over its micro-batches and ranks, on the device.

    `sums`: pg_loss, reg_loss (KL and entropy), ratio, clipped tokens, tokens; `maxima`: of `logprobs - old_logprobs`,
    and of its negative.
    """

    sums: Tensor
    maxima: Tensor

    @staticmethod
    def zeros(device: torch.device) -> "StepSums":
        """Nothing seen yet."""
        return StepSums(
            torch.zeros(5, dtype=torch.float64, device=device),
            torch.full((2,), -torch.inf, device=device),
        )

    @torch.no_grad()
    def add(
        self, pg_loss: Tensor, reg_loss: Tensor, differences: Tensor, is_clipped: Tensor
    ) -> None:
        """Add one micro-batch: its two losses, and (N,) values of its tokens."""
        if len(differences) == 0:
            return
        tokens = torch.full_like(pg_loss, len(differences))
        ratio = differences.exp().sum()
        self.sums += torch.stack([pg_loss, reg_loss, ratio, is_clipped.sum().float(), tokens])
        extremes = torch.stack([differences.max(), -differences.min()])
        self.maxima = torch.maximum(self.maxima, extremes)

    def metrics(self) -> dict[str, float]:
        """The optimizer step's metrics; without a token the ratio is 1 and the differences 0."""
        pg_loss, reg_loss, ratio, clipped, tokens = self.sums.tolist()
        highest, negative_lowest = self.maxima.tolist() if tokens else (0.0, 0.0)
        return {
            "train/pg_loss": pg_loss,
            "train/reg_loss": reg_loss,
            "train/ratio_mean": ratio / tokens if tokens else 1.0,
            "train/pg_clipfrac": clipped / tokens if tokens else 0.0,
            "train/logprobs_diff_max": highest,
            "train/logprobs_diff_min": -negative_lowest,
        }


def combine_steps(steps: list[dict[str, float]]) -> dict[str, float]:
    """One value of each metric for all optimizer steps of an update.

    Extremes and the gradient norm keep their extreme, as in Oat; the rest are means.
    """
    combined = {}
    for key in steps[0]:
        values = [step[key] for step in steps]
        if key.endswith("_min"):
            combined[key] = min(values)
        elif key.endswith(("_max", "grad_norm")):
            combined[key] = max(values)
        else:
            combined[key] = sum(values) / len(values)
    return combined
