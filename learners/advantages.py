"""Advantages of responses, from rewards alone. NumPy only: the driver computes them.

G is the number of responses to one problem.
"""

from collections.abc import Callable

import numpy as np


def drgrpo(rewards: np.ndarray) -> np.ndarray:
    """Dr. GRPO: `A_i = r_i - mean(r)`, (G,) -> (G,).

    The baseline includes the response itself, and nothing divides by the spread, so that easy and
    hard problems weigh alike.

    Source: Liu et al. 2025, arXiv:2503.20783, section 3.2.
    """
    return rewards - rewards.mean()


def grpo(rewards: np.ndarray) -> np.ndarray:
    """GRPO: `A_i = (r_i - mean(r)) / (std(r) + 1e-8)` with the unbiased std, (G,) -> (G,).

    A group of one has no spread and gets 0, where the formula is undefined.

    Source: Shao et al. 2024, arXiv:2402.03300, section 4.1.2; the unbiased std and the epsilon are
    Oat's.
    """
    if len(rewards) < 2:
        return np.zeros(len(rewards))
    return (rewards - rewards.mean()) / (rewards.std(ddof=1) + 1e-8)


ADVANTAGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {"drgrpo": drgrpo, "grpo": grpo}
"""By `--critic_type`: rewards of one group -> advantages."""


def kl_penalties(kl_sums: np.ndarray, groups: np.ndarray, coefficient: float) -> np.ndarray:
    """What `--kl_penalty_coef` adds to each response's advantage, (R,) -> (R,).

    The reward of response i loses `c K_i`, with `K_i = sum_t (old_t - ref_t)` its k1 estimate of
    KL(old || ref) in nats; its Monte-Carlo advantage then changes by `-c (K_i - mean_group(K))`.

    Args:
        kl_sums: (R,) nats.
        groups: int (R,), equal for responses to the same prompt.
        coefficient: c.

    Source: Oat (sail-sg/oat), where the penalty is summed into the return before the baseline is
    taken. We depart for `grpo`: Oat divides the penalty by the std of the group's rewards too,
    which blows it up where all rewards are equal; here it stays in nats.
    """
    _, index = np.unique(groups, return_inverse=True)
    means = np.bincount(index, kl_sums) / np.bincount(index)
    return -coefficient * (kl_sums - means[index])
