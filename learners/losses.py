"""Losses of response tokens, pure functions of tensors, to be minimised.

Tokens are flat: N is the number of response tokens in a micro-batch, whatever responses they belong
to, and R the number of responses of an optimizer step over all micro-batches and ranks. All log-probs
are natural logarithms, in float32: `logprobs` of the policy being trained, `old_logprobs` before the
update, `sampler_logprobs` when sampled, `ref_logprobs` of the reference.
"""

import torch
from torch import Tensor


def clipped_surrogate(ratio: Tensor, advantages: Tensor, cliprange: float) -> Tensor:
    """PPO's loss of each token, (N,), (N,) -> (N,).

    `-min(r A, clip(r, 1 - eps, 1 + eps) A)` with `r = exp(logprobs - old_logprobs)`.

    Source: Schulman et al. 2017, arXiv:1707.06347, eq. 7.
    """
    clipped = ratio.clamp(1.0 - cliprange, 1.0 + cliprange)
    return torch.maximum(-advantages * ratio, -advantages * clipped)


def is_clipped(ratio: Tensor, advantages: Tensor, cliprange: float) -> Tensor:
    """Where the clip takes the gradient of `clipped_surrogate` out, bool (N,)."""
    above, below = ratio > 1.0 + cliprange, ratio < 1.0 - cliprange
    return (above & (advantages > 0)) | (below & (advantages < 0))


def truncated_importance_weights(
    old_logprobs: Tensor, sampler_logprobs: Tensor, cap: float
) -> Tensor:
    """Correction for tokens sampled by another policy than the learner's, (N,), (N,) -> (N,).

    `min(exp(old - sampler), c)`, a constant: no gradient flows through it. A `cap` of 0 turns the
    correction off (all ones).

    Source: Yao et al. 2025, "Your efficient RL framework secretly brings you off-policy training".
    """
    if cap == 0:
        return torch.ones_like(old_logprobs)
    return (old_logprobs - sampler_logprobs).exp().clamp(max=cap).detach()


def k3(logprobs: Tensor, ref_logprobs: Tensor) -> Tensor:
    """Estimate of KL(policy || reference) at each token in nats, >= 0, (N,), (N,) -> (N,).

    `exp(d) - 1 - d` with `d = clamp(ref - logprobs, -40, 40)`; `expm1` keeps it exact near 0.

    Source: Schulman 2020, "Approximating KL divergence" (joschu.net/blog/kl-approx.html).
    """
    difference = (ref_logprobs - logprobs).clamp(-40.0, 40.0)
    return difference.expm1() - difference


def response_weights(lengths: Tensor, is_masked: Tensor, constant_length: int | None) -> Tensor:
    """The weight of every token of a response in the loss of its optimizer step, (R,), (R,) -> (R,).

    The loss is `1/R sum_i m_i / n_i sum_t L_it` over ALL R responses of the step: a masked response
    (m = 0) stays in the denominator. `n_i` is `constant_length` (Dr. GRPO: no length bias) or, when
    None, the response's own length (GRPO). Because the weights are those of the whole step, the
    gradients of its micro-batches, on whatever ranks, just add up.

    Args:
        lengths: (R,) tokens of each response.
        is_masked: bool (R,).
        constant_length: tokens; `--generate_max_length`.

    Source: Liu et al. 2025, arXiv:2503.20783, section 3.1; the constant is Oat's.
    """
    divisors = (
        torch.full_like(lengths, constant_length) if constant_length else lengths.clamp(min=1)
    )
    return torch.where(is_masked, 0.0, 1.0 / (divisors * len(lengths)).float())
