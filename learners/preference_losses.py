"""Losses of preference pairs: pure functions of sequence log-probs, to be minimised.

P is the number of pairs. A sequence log-prob is the natural logarithm of the probability of a whole
response given its prompt, summed over the tokens that count, of which a response has |y|. With the
policy's `log pi` and the reference's `log ref` of the chosen response c and the rejected one r,

    margin       h = (log pi(c) - log ref(c)) - (log pi(r) - log ref(r))               in nats
    mean margin  the same with each log-prob divided by its |y|                  in nats a token

Every function is elementwise, (P,) -> (P,), in the dtype of its arguments. Losses are in nats but for
IPO's, nats squared, and the hinges, which have no unit. docs/algorithms.md compares them with TRL's.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from understand_r1_zero.args_preference import MEAN_OVER_TOKENS, REFERENCE_FREE, PreferenceArgs


@dataclass(frozen=True)
class PairScores:
    """Sequence log-probs of P pairs, each (P,) in nats, and the counted tokens of each response.

    `chosen` and `rejected` are the policy's and carry the gradient; `ref_chosen` and `ref_rejected`
    the reference's, zero where the loss has none.
    """

    chosen: Tensor
    rejected: Tensor
    ref_chosen: Tensor
    ref_rejected: Tensor
    chosen_lengths: Tensor
    rejected_lengths: Tensor


def dpo(margins: Tensor, beta: float) -> Tensor:
    """DPO: `-log sigmoid(beta h)`, at margin 0 log 2.

    Args:
        margins: (P,) h, nats.
        beta: scale of the implicit reward.

    Source: Rafailov et al. 2023, arXiv:2305.18290, eq. 7. With the mean margin this is
    length-normalised DPO: Lambert et al. 2024 (Tulu 3), arXiv:2411.15124, section 5.1; Oat's LR_DPO.
    """
    return -F.logsigmoid(beta * margins)


def cdpo(margins: Tensor, beta: float, label_smoothing: Tensor) -> Tensor:
    """Conservative DPO: `-(1 - eps) log sigmoid(beta h) - eps log sigmoid(-beta h)`.

    The cross-entropy with labels that are wrong with probability `eps`: it is least where
    `sigmoid(beta h) = 1 - eps`, so that margins stay finite.

    Args:
        margins: (P,) nats.
        beta: scale of the implicit reward.
        label_smoothing: (P,), eps of each pair, in [0, 1/2).

    Source: Mitchell 2023, "A note on DPO with noisy preferences and relationship to IPO".
    Where eps comes from visit counts, Xie et al. 2024, arXiv:2405.00451.
    """
    agreeing, opposing = F.logsigmoid(beta * margins), F.logsigmoid(-beta * margins)
    return -(1 - label_smoothing) * agreeing - label_smoothing * opposing


def robust_dpo(margins: Tensor, beta: float, label_smoothing: Tensor) -> Tensor:
    """Robust DPO: `(-(1 - eps) log sigmoid(beta h) + eps log sigmoid(-beta h)) / (1 - 2 eps)`.

    Unbiased: over labels flipped with probability `eps` its mean is the DPO loss of the true labels.
    It has no lower bound: its slope by `beta h` tends to `-eps / (1 - 2 eps)`, never to 0. Arguments as
    `cdpo`'s.

    Source: Chowdhury et al. 2024, arXiv:2403.00409.
    """
    agreeing, opposing = F.logsigmoid(beta * margins), F.logsigmoid(-beta * margins)
    return (-(1 - label_smoothing) * agreeing + label_smoothing * opposing) / (
        1 - 2 * label_smoothing
    )


def ipo(mean_margins: Tensor, beta: float) -> Tensor:
    """IPO: `(h - 1 / (2 beta))^2`, nats squared.

    Args:
        mean_margins: (P,) h, nats a token.
        beta: the paper's tau.

    Source: Azar et al. 2023, arXiv:2310.12036, eq. 17. We depart as Oat and TRL do: h is the mean
    margin, where the equation has sums over tokens, so that length does not move the target. TRL
    reports that the authors' own results were had so.
    """
    return (mean_margins - 1 / (2 * beta)).square()


def slic(margins: Tensor, beta: float) -> Tensor:
    """SLiC, a hinge: `max(0, 1 - beta h)`; no gradient from `h >= 1 / beta` on.

    Args:
        margins: (P,) h, nats.
        beta: scale of the implicit reward.

    Source: Zhao et al. 2023, arXiv:2305.10425, with delta = 1 / beta and the loss times beta. We
    depart as Oat, TRL and Liu et al. 2023 (arXiv:2309.06657) do: the margin is that over the
    reference. The paper's other term, the likelihood of a reference text, is `--sft_weight`.
    """
    return torch.relu(1 - beta * margins)


def simpo(mean_gaps: Tensor, beta: float, gamma_beta_ratio: float) -> Tensor:
    """SimPO: `-log sigmoid(beta (m - gamma/beta))`, with m the gap of mean log-probs, no reference.

    Args:
        mean_gaps: (P,) `log pi(c) / |c| - log pi(r) / |r|`, nats a token.
        beta: scale of the implicit reward.
        gamma_beta_ratio: gamma / beta, nats a token: the gap that is asked for.

    Source: Meng et al. 2024, arXiv:2405.14734, eq. 6. TRL's `simpo_gamma` is gamma itself.
    """
    return -F.logsigmoid(beta * (mean_gaps - gamma_beta_ratio))


def simpo_hinge(mean_gaps: Tensor, beta: float, gamma_beta_ratio: float) -> Tensor:
    """SimPO with a hinge for the sigmoid: `max(0, 1 - beta (m - gamma/beta))`; arguments as `simpo`'s.

    Source: the hinge that SimPO's published trainer offers beside the sigmoid; not in the paper.
    """
    return torch.relu(1 - beta * (mean_gaps - gamma_beta_ratio))


def positive_penalty(chosen: Tensor, ref_chosen: Tensor) -> Tensor:
    """What the chosen response lost against the reference, `max(0, log ref(c) - log pi(c))`, nats.

    DPO-positive takes lambda times this off the margin, `-log sigmoid(beta (h - lambda p))`: DPO alone
    may lower the chosen response as long as it lowers the rejected one more.

    Args:
        chosen: (P,) log-probs under the policy, nats.
        ref_chosen: (P,) under the reference, nats.

    Source: Pal et al. 2024, arXiv:2402.13228.
    """
    return torch.relu(ref_chosen - chosen)


def length_bonus(chosen_lengths: Tensor, rejected_lengths: Tensor, alpha: float) -> Tensor:
    """`alpha (|c| - |r|)`: what R-DPO adds to `beta h`, so that length explains part of the label.

    A chosen response that is longer already has part of its margin, and is pushed up less.

    Args:
        chosen_lengths: (P,) counted tokens.
        rejected_lengths: (P,) counted tokens.
        alpha: a token's worth, in units of `beta h`.

    Source: Park et al. 2024, arXiv:2403.19159; Oat adds `alpha / beta` times it to h.
    """
    return alpha * (chosen_lengths - rejected_lengths)


def rewards(scores: PairScores, args: PreferenceArgs) -> tuple[Tensor, Tensor]:
    """Implicit rewards of the chosen and rejected responses, (P,) each, without gradient.

    `beta (log pi - log ref)`; divided by |y| where the loss averages over tokens, and without the
    reference where the loss has none. Their difference is beta times the margin of the loss, before
    DPO-positive's penalty, R-DPO's bonus and SimPO's gamma.

    Source: Rafailov et al. 2023, arXiv:2305.18290, section 4.
    """
    chosen, rejected = _rewards(scores, args.preference_loss)
    return args.preference_beta * chosen.detach(), args.preference_beta * rejected.detach()


def pair_losses(scores: PairScores, args: PreferenceArgs, label_smoothing: Tensor) -> Tensor:
    """`--preference_loss` of each pair, with `--len_reg_alpha` and `--sft_weight`, (P,).

    `sft_weight` adds `-w log pi(c) / |c|`, the chosen response's negative log-likelihood a token
    (Pang et al. 2024, arXiv:2404.19733, eq. 1).

    Args:
        scores: of P pairs.
        args: which loss, and its parameters.
        label_smoothing: (P,), read by cdpo and robust_dpo alone.
    """
    name, beta = args.preference_loss, args.preference_beta
    chosen, rejected = _rewards(scores, name)
    margins = chosen - rejected
    if name == "dpop":
        penalties = positive_penalty(scores.chosen, scores.ref_chosen)
        margins = margins - args.dpo_positive_lambda * penalties
    if args.len_reg_alpha:
        lengths = scores.chosen_lengths, scores.rejected_lengths
        margins = margins + length_bonus(*lengths, args.len_reg_alpha) / beta
    losses = _losses_of_margins(margins, args, label_smoothing)
    if args.sft_weight:
        losses = losses - args.sft_weight * scores.chosen / scores.chosen_lengths
    return losses


def _rewards(scores: PairScores, name: str) -> tuple[Tensor, Tensor]:
    chosen, rejected = scores.chosen, scores.rejected
    if name not in REFERENCE_FREE:
        chosen, rejected = chosen - scores.ref_chosen, rejected - scores.ref_rejected
    if name in MEAN_OVER_TOKENS:
        chosen, rejected = chosen / scores.chosen_lengths, rejected / scores.rejected_lengths
    return chosen, rejected


def _losses_of_margins(margins: Tensor, args: PreferenceArgs, label_smoothing: Tensor) -> Tensor:
    beta = args.preference_beta
    match args.preference_loss:
        case "dpo" | "dpop" | "ln_dpo":
            return dpo(margins, beta)
        case "cdpo":
            return cdpo(margins, beta, label_smoothing)
        case "robust_dpo":
            return robust_dpo(margins, beta, label_smoothing)
        case "slic":
            return slic(margins, beta)
        case "ipo":
            return ipo(margins, beta)
        case "simpo":
            return simpo(margins, beta, args.gamma_beta_ratio)
        case "simpo_hinge":
            return simpo_hinge(margins, beta, args.gamma_beta_ratio)
