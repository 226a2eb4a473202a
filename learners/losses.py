"""Losses of response tokens, pure functions of tensors, to be minimised.

Tokens are flat: N is the number of response tokens in a micro-batch, and `responses` int64 (N,) tells
which of its R' responses, counted from 0, each belongs to; all tokens of a response are in one
micro-batch. All log-probs are natural logarithms, in float32: `logprobs` of the policy being trained,
`old_logprobs` before the update (the proximal policy), `sampler_logprobs` when sampled, `ref_logprobs` of
the reference. The ratio is r = exp(logprobs - old_logprobs), A the advantage of a token.

Keeping `old_logprobs` and `sampler_logprobs` apart is decoupled PPO (Hilton et al. 2022,
arXiv:2110.00641): clipping is relative to the proximal policy, the importance weights of
`importance_weights` correct for whatever policy sampled.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

MAX_LOG = 40.0
"""Log-ratios are clamped to this many nats before they are exponentiated in KL estimates."""


@dataclass(frozen=True, slots=True)
class Clip:
    """The ratio is kept in [1 - low, 1 + high]; `dual` bounds the loss of negative A, 0: it does not."""

    low: float
    high: float
    dual: float = 0.0


def clipped_surrogate(ratio: Tensor, advantages: Tensor, clip: Clip) -> Tensor:
    """PPO's loss of each token, (N,), (N,) -> (N,).

    `L = -min(r A, clip(r, 1 - low, 1 + high) A)`, and where A < 0 with a dual clip c > 1
    `min(L, -c A)`: however far the ratio grew, a bad token pulls no harder. A c below 1 + high takes
    gradients out that the clip leaves in.

    Source: Schulman et al. 2017, arXiv:1707.06347, eq. 7; two bounds: DAPO, arXiv:2503.14476, eq. 10;
    dual clip: Ye et al. 2020, arXiv:1912.09729, eq. 5.
    """
    clipped = ratio.clamp(1.0 - clip.low, 1.0 + clip.high)
    loss = torch.maximum(-advantages * ratio, -advantages * clipped)
    if clip.dual == 0:
        return loss
    return torch.where(advantages < 0, torch.minimum(loss, -clip.dual * advantages), loss)


def is_clipped(ratio: Tensor, advantages: Tensor, clip: Clip) -> Tensor:
    """Where a clip takes the gradient of `clipped_surrogate` out, (N,), (N,) -> bool (N,).

    `r > 1 + high` where A > 0, `r < 1 - low` where A < 0, and with a dual clip c also `r > c` there. A token
    without an advantage has no gradient to take.
    """
    above, below = ratio > 1.0 + clip.high, ratio < 1.0 - clip.low
    is_taken_out = (above & (advantages > 0)) | (below & (advantages < 0))
    if clip.dual == 0:
        return is_taken_out
    return is_taken_out | ((ratio > clip.dual) & (advantages < 0))


def sequence_ratio(logprobs: Tensor, old_logprobs: Tensor, responses: Tensor) -> Tensor:
    """GSPO's ratio at every token of a response, (N,), (N,), (N,) -> (N,).

    The value is `s_i = exp(1/n_i sum_t (logprobs_t - old_logprobs_t))`, the gradient by token t's log-prob
    `s_i`, as of `sg(s_i) pi_t / sg(pi_t)`. With one advantage a response and equal weights within it
    that is the gradient of GSPO; with one a token, or with importance weights of tokens, GSPO-token.

    Source: Zheng et al. 2025, arXiv:2507.18071, eq. 7, 14 and 17.
    """
    log_ratio = logprobs.detach() - old_logprobs
    ratio = response_sums(log_ratio, responses, mean=True).exp()
    return ratio * (logprobs - logprobs.detach()).exp()


def cispo(ratio: Tensor, logprobs: Tensor, advantages: Tensor, clip: Clip) -> Tensor:
    """CISPO's loss of each token, (N,), (N,), (N,) -> (N,): `-sg(min(r, 1 + high)) A logprobs`.

    The importance weight is clipped, not the gradient: every token goes on teaching. There is no lower
    bound, as in the paper's experiments.

    Source: MiniMax-M1, arXiv:2506.13585, eq. 4 and 5.
    """
    return -ratio.detach().clamp(max=1.0 + clip.high) * advantages * logprobs


def reinforce(logprobs: Tensor, advantages: Tensor) -> Tensor:
    """REINFORCE's loss of each token, (N,), (N,) -> (N,): `-A logprobs`; no ratio, no clip.

    Source: Williams 1992, "Simple statistical gradient-following algorithms for connectionist RL".
    """
    return -advantages * logprobs


def policy_loss(
    kind: str,
    logprobs: Tensor,
    old_logprobs: Tensor,
    advantages: Tensor,
    responses: Tensor,
    clip: Clip,
) -> tuple[Tensor, Tensor]:
    """The loss of each token by `--policy_loss`, (N,), and where its ratio was clipped, bool (N,).

    For `cispo` these are the tokens whose weight was cut, which keep their gradient; for `reinforce` none.

    Args:
        kind: `ppo`, `gspo`, `cispo` or `reinforce`.
        logprobs: (N,) nats, with gradient.
        old_logprobs: (N,) nats; `reinforce` does not read them.
        advantages: (N,).
        responses: int64 (N,), read by `gspo` alone.
        clip: the bounds; `cispo` has no lower one.
    """
    if kind == "reinforce":
        return reinforce(logprobs, advantages), torch.zeros_like(logprobs, dtype=torch.bool)
    if kind == "gspo":
        ratio = sequence_ratio(logprobs, old_logprobs, responses)
    else:
        ratio = (logprobs - old_logprobs).exp()
    if kind == "cispo":
        return cispo(ratio, logprobs, advantages, clip), ratio > 1.0 + clip.high
    return clipped_surrogate(ratio, advantages, clip), is_clipped(ratio, advantages, clip)


def importance_weights(
    old_logprobs: Tensor,
    sampler_logprobs: Tensor,
    responses: Tensor,
    cap: float,
    *,
    level: str = "token",
    mode: str = "truncate",
) -> Tensor:
    """Correction for tokens sampled by another policy than the learner's, (N,), (N,), (N,) -> (N,).

    `w_t = exp(old_t - sampler_t)`, or for `level` "sequence" `w_i = exp(sum_t (old_t - sampler_t))` of the
    response; `mode` "truncate" gives `min(w, c)`, "mask" w where `w <= c` and 0 elsewhere. A constant: no
    gradient flows through it. A `cap` c of 0 turns the correction off (all ones).

    Source: Yao et al. 2025, "Your efficient RL framework secretly brings you off-policy training"
    (token level, truncated); Liu et al. 2025, "When speed kills stability" (sequence level, masked).
    """
    if cap == 0:
        return torch.ones_like(old_logprobs)
    log_weights = (old_logprobs - sampler_logprobs).detach()
    if level == "sequence":
        log_weights = response_sums(log_weights, responses)
    weights = log_weights.exp()
    if mode == "mask":
        return torch.where(weights <= cap, weights, 0.0)
    return weights.clamp(max=cap)


def k1(logprobs: Tensor, ref_logprobs: Tensor) -> Tensor:
    """Estimate of KL(policy || reference) at each token in nats, (N,), (N,) -> (N,): `logprobs - ref`.

    Unbiased, but of either sign; as a loss its expected gradient is 0 on-policy, so it pulls nowhere.

    Source: Schulman 2020, "Approximating KL divergence" (joschu.net/blog/kl-approx.html).
    """
    return logprobs - ref_logprobs


def k2(logprobs: Tensor, ref_logprobs: Tensor) -> Tensor:
    """Biased estimate of the KL at each token in nats, >= 0, (N,), (N,) -> (N,): `(logprobs - ref)^2 / 2`.

    As a loss its gradient is, on-policy, an unbiased one of the KL.

    Source: Schulman 2020, as `k1`.
    """
    return 0.5 * (logprobs - ref_logprobs).square()


def k3(logprobs: Tensor, ref_logprobs: Tensor) -> Tensor:
    """Estimate of KL(policy || reference) at each token in nats, >= 0, (N,), (N,) -> (N,).

    `exp(d) - 1 - d` with `d = clamp(ref - logprobs, -40, 40)`; `expm1` keeps it exact near 0.

    Source: Schulman 2020, as `k1`.
    """
    difference = (ref_logprobs - logprobs).clamp(-MAX_LOG, MAX_LOG)
    return difference.expm1() - difference


def k3_is(logprobs: Tensor, ref_logprobs: Tensor, old_logprobs: Tensor) -> Tensor:
    """`r k3` with the token ratio r, through which gradient flows, (N,), (N,), (N,) -> (N,).

    Its value is an unbiased estimate of the KL for tokens of the old policy, and its gradient an
    unbiased one too, which that of k3 alone is not even on-policy.

    Source: DeepSeek-V3.2, arXiv:2512.02556, eq. 7.
    """
    ratio = (logprobs - old_logprobs).clamp(-MAX_LOG, MAX_LOG).exp()
    return ratio * k3(logprobs, ref_logprobs)


def kl(kind: str, logprobs: Tensor, ref_logprobs: Tensor, old_logprobs: Tensor) -> Tensor:
    """The estimate of `--kl_estimator` at each token, nats, (N,), (N,), (N,) -> (N,).

    `kind` is `k1`, `k2`, `k3` or `k3_is`, which alone reads `old_logprobs`.
    """
    if kind == "k3_is":
        return k3_is(logprobs, ref_logprobs, old_logprobs)
    return {"k1": k1, "k2": k2, "k3": k3}[kind](logprobs, ref_logprobs)


def response_weights(
    lengths: Tensor, is_masked: Tensor, aggregation: str, constant_length: int
) -> Tensor:
    """The weight of every token of a response in the loss of its optimizer step, (R,), (R,) -> (R,).

    The loss is `sum_i m_i w_i sum_t L_it` over ALL R responses of the step, with

        sequence   w_i = 1 / (R n_i)         the mean over a response's tokens (GRPO)
        constant   w_i = 1 / (R n)           a constant length: no length bias (Dr. GRPO)
        token      w_i = 1 / sum_j n_j       the mean over the step's tokens (DAPO)

    A masked response (m = 0) stays in the denominator, as in Oat.
    Because the weights are those of the whole step, the gradients of its micro-batches, on whatever
    ranks, just add up.

    Args:
        lengths: (R,) tokens of each response.
        is_masked: bool (R,).
        aggregation: `sequence`, `token` or `constant`.
        constant_length: n in tokens; `--generate_max_length`.

    Source: GRPO, Shao et al. 2024, arXiv:2402.03300, eq. 3; Dr. GRPO, Liu et al. 2025, arXiv:2503.20783,
    section 3.1 (the constant is Oat's); DAPO, arXiv:2503.14476, eq. 12.
    """
    if aggregation == "token":
        divisors = lengths.sum().clamp(min=1).expand(len(lengths))
    elif aggregation == "constant":
        divisors = torch.full_like(lengths, constant_length) * len(lengths)
    else:
        divisors = lengths.clamp(min=1) * len(lengths)
    return torch.where(is_masked, 0.0, 1.0 / divisors.float())


def response_sums(values: Tensor, responses: Tensor, *, mean: bool = False) -> Tensor:
    """Of every token's response: the sum, or mean, of `values` over its tokens, (N,), (N,) -> (N,).

    `S_t = sum_s v_s` over the tokens s of the response that t is in, with `mean` divided by their number.
    """
    count = int(responses.max()) + 1 if len(responses) else 0
    sums = values.new_zeros(count).index_add(0, responses, values)
    if mean:
        sums = sums / values.new_zeros(count).index_add(0, responses, torch.ones_like(values))
    return sums[responses]
