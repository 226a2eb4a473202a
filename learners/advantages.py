"""Advantages of responses, from rewards alone: the estimators behind `--critic_type`. NumPy only.

Every estimator has one shape: rewards (R,), groups int (R,), equal for responses to one problem, and
is_known bool (R,) -> advantages float64 (R,). What is not known is left out of every baseline and gets 0.
The mean and std of a group are over its known rewards. Advantages are in the unit of the rewards, but
for GRPO's, which count standard deviations. `learners/returns.py` takes them to tokens;
docs/algorithms.md compares them with TRL's.
"""

from collections.abc import Callable

import numpy as np

Estimator = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def drgrpo(rewards: np.ndarray, groups: np.ndarray, is_known: np.ndarray) -> np.ndarray:
    """Dr. GRPO: `A_i = r_i - mean(r)`.

    The baseline includes the response itself, and nothing divides by the spread, so that easy and
    hard problems weigh alike.

    Source: Liu et al. 2025, arXiv:2503.20783, section 3.2.
    """
    return _by_group(lambda r: r - r.mean(), rewards, groups, is_known)


def grpo(rewards: np.ndarray, groups: np.ndarray, is_known: np.ndarray) -> np.ndarray:
    """GRPO: `A_i = (r_i - mean(r)) / (std(r) + 1e-8)` with the unbiased std.

    A group of one has no spread and gets 0, where the formula is undefined.

    Source: Shao et al. 2024, arXiv:2402.03300, section 4.1.2, which says nothing of either: the
    unbiased std and the epsilon are Oat's (TRL's epsilon is 1e-4).
    """

    def normalised(r: np.ndarray) -> np.ndarray:
        return np.zeros(1) if len(r) < 2 else (r - r.mean()) / (r.std(ddof=1) + 1e-8)

    return _by_group(normalised, rewards, groups, is_known)


def rloo(rewards: np.ndarray, groups: np.ndarray, is_known: np.ndarray) -> np.ndarray:
    """RLOO: `A_i = r_i - mean_{j != i}(r_j) = G / (G - 1) (r_i - mean(r))` in a group of G.

    The baseline does not depend on the response, so that the gradient is unbiased. A group of one
    has no other response and gets 0, where the formula is undefined.

    Source: Ahmadian et al. 2024, arXiv:2402.14740, eq. 8; Kool et al. 2019.
    """

    def left_out(r: np.ndarray) -> np.ndarray:
        return (r - r.mean()) * len(r) / max(len(r) - 1, 1)

    return _by_group(left_out, rewards, groups, is_known)


def reinforce(rewards: np.ndarray, groups: np.ndarray, is_known: np.ndarray) -> np.ndarray:
    """REINFORCE: `A_i = r_i`, no baseline; `groups` do not matter.

    Source: Williams 1992, "Simple statistical gradient-following algorithms for connectionist RL".
    """
    return np.where(is_known, rewards, 0.0).astype(np.float64)


def reinforce_pp(rewards: np.ndarray, groups: np.ndarray, is_known: np.ndarray) -> np.ndarray:
    """REINFORCE++: `A_i = r_i` before the batch is normalised.

    The paper's `A_t = r - beta sum_{s >= t} KL_s`, then `(A - mean) / std` over the tokens of the batch:
    `returns.token_advantages` adds the KL and whitens.

    Source: Hu et al. 2025, arXiv:2501.03262, section 3.
    """
    return reinforce(rewards, groups, is_known)


def reinforce_pp_baseline(
    rewards: np.ndarray, groups: np.ndarray, is_known: np.ndarray
) -> np.ndarray:
    """REINFORCE++-baseline: `A_i = r_i - mean(r)` before the batch is normalised.

    `returns.token_advantages` whitens, over the tokens of the batch and not of the group as GRPO does.
    The paper puts its KL in the loss (`--beta`, `--kl_estimator k2`).

    Source: Hu et al. 2025, arXiv:2501.03262, section 3.
    """
    return drgrpo(rewards, groups, is_known)


def remax(gains: np.ndarray, groups: np.ndarray, is_known: np.ndarray) -> np.ndarray:
    """ReMax: `A_i = r_i - r_greedy`; `gains` are these differences, since each problem has its own.

    Source: Li et al. 2024, arXiv:2310.10505, algorithm 1.
    """
    return reinforce(gains, groups, is_known)


ADVANTAGES: dict[str, Estimator] = {
    "drgrpo": drgrpo,
    "grpo": grpo,
    "rloo": rloo,
    "reinforce": reinforce,
    "reinforce_pp": reinforce_pp,
    "reinforce_pp_baseline": reinforce_pp_baseline,
    "remax": remax,
}
"""By `--critic_type`."""


def kl_penalties(
    kl_sums: np.ndarray, groups: np.ndarray, coefficient: float, critic_type: str = "drgrpo"
) -> np.ndarray:
    """What `--kl_penalty_coef` adds to each response's advantage in a group estimator, (R,) -> (R,).

    The reward of response i loses `c K_i`, with `K_i = sum_t (old_t - ref_t)` its k1 estimate of
    KL(old || ref) in nats; its Monte-Carlo advantage then changes by `-c (K_i - mean_group(K))`, with
    `rloo` by `-c (K_i - mean_{j != i}(K_j))`. Unknown responses have a KL and count.

    Args:
        kl_sums: (R,) nats.
        groups: int (R,), equal for responses to the same problem.
        coefficient: c.
        critic_type: `drgrpo`, `grpo` or `rloo`.

    Source: Oat (sail-sg/oat), where the penalty is summed into the return before the baseline is
    taken. We depart for `grpo`: Oat divides the penalty by the std of the group's rewards too,
    which blows it up where all rewards are equal; here it stays in nats.
    """
    estimator = rloo if critic_type == "rloo" else drgrpo
    return -coefficient * estimator(kl_sums, groups, np.ones(len(groups), bool))


def _by_group(
    estimate: Callable[[np.ndarray], np.ndarray],
    rewards: np.ndarray,
    groups: np.ndarray,
    is_known: np.ndarray,
) -> np.ndarray:
    """Apply `estimate` to the known rewards of each group; 0 elsewhere."""
    advantages = np.zeros(len(rewards))
    known = np.flatnonzero(is_known)
    _, index = np.unique(groups[known], return_inverse=True)
    order = known[np.argsort(index, kind="stable")]
    for members in np.split(order, np.cumsum(np.bincount(index))[:-1]):
        if len(members):
            advantages[members] = estimate(rewards[members])
    return advantages
