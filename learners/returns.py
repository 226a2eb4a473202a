"""From what a batch earned to the advantage of every token. NumPy only; every rank computes all of it.

Values of tokens lie in flat arrays of T tokens, response by response; `offsets` (R+1,) are those of
`Batch`. Within a response, tokens are t = 1 .. n.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from learners.advantages import ADVANTAGES, kl_penalties
from learners.batching import Batch
from understand_r1_zero.types import Trajectory

GROUP_ESTIMATORS = ("drgrpo", "grpo", "rloo")
"""Their baseline is of whole responses, so the KL penalty is too; elsewhere it is a token's reward."""
BATCH_NORMALISED = ("reinforce_pp", "reinforce_pp_baseline")


@dataclass(frozen=True)
class Rewards:
    """What R responses earned, after `--reward_scale`, and S steps within them.

    `outcomes`, `baselines` float64 (R,), `groups` int (R,), `is_known` bool (R,); `step_rewards` float64
    (S,) are earned at the flat positions `step_tokens` int (S,) of the responses `step_responses` (S,).
    """

    outcomes: np.ndarray
    baselines: np.ndarray
    groups: np.ndarray
    is_known: np.ndarray
    step_rewards: np.ndarray
    step_tokens: np.ndarray
    step_responses: np.ndarray

    @staticmethod
    def of(trajectories: Sequence[Trajectory], offsets: np.ndarray, scale: float) -> "Rewards":
        """Gather the rewards of a batch whose responses begin at `offsets`."""
        steps = [
            (start + end, reward, response)
            for response, (start, t) in enumerate(zip(offsets[:-1], trajectories, strict=True))
            for end, reward in zip(t.step_ends, t.step_rewards, strict=True)
        ]
        return Rewards(
            outcomes=scale * np.array([t.reward for t in trajectories], np.float64),
            baselines=scale * np.array([t.baseline_reward for t in trajectories], np.float64),
            groups=np.array([t.group for t in trajectories], np.int64),
            is_known=np.array([t.is_known for t in trajectories], bool),
            step_rewards=scale * np.array([reward for _, reward, _ in steps], np.float64),
            step_tokens=np.array([token for token, _, _ in steps], np.int64),
            step_responses=np.array([response for _, _, response in steps], np.int64),
        )


def token_rewards(
    outcomes: np.ndarray, rewards: Rewards, step_rewards: np.ndarray, offsets: np.ndarray
) -> np.ndarray:
    """Place (R,) outcomes at last tokens and (S,) step rewards at step ends -> float64 (T,).

    Two at one token add up. A response without a token earns nothing.
    """
    placed = np.zeros(offsets[-1])
    has_tokens = np.diff(offsets) > 0
    placed[offsets[1:][has_tokens] - 1] = outcomes[has_tokens]
    np.add.at(placed, rewards.step_tokens, step_rewards)
    return placed


def discounted_returns(rewards: np.ndarray, offsets: np.ndarray, gamma: float) -> np.ndarray:
    """`G_t = r_t + gamma G_{t+1}` within each response, `G_{n+1} = 0`; (T,) -> float64 (T,)."""
    advantages, _ = gae(rewards, np.zeros(len(rewards)), offsets, gamma, lam=1.0)
    return advantages


def gae(
    rewards: np.ndarray, values: np.ndarray, offsets: np.ndarray, gamma: float, lam: float
) -> tuple[np.ndarray, np.ndarray]:
    """Generalised advantage estimation, (T,), (T,) -> float64 (T,) advantages and (T,) returns.

    `delta_t = r_t + gamma V_{t+1} - V_t` and `A_t = delta_t + gamma lam A_{t+1}`, where nothing follows
    the last token: `V_{n+1} = A_{n+1} = 0`. The returns `A_t + V_t` are what the critic is to predict.

    Args:
        rewards: (T,) of each token.
        values: (T,) of the state before each token was chosen.
        offsets: int (R+1,).
        gamma: discount a token.
        lam: 0 trusts the values, 1 the returns.

    Source: Schulman et al. 2016, arXiv:1506.02438, eq. 11 and 16.
    """
    advantages = np.zeros(len(rewards))
    lengths, ends = np.diff(offsets), offsets[1:]
    next_value, following = np.zeros(len(lengths)), np.zeros(len(lengths))
    for from_end in range(1, int(lengths.max(initial=0)) + 1):
        alive = np.flatnonzero(lengths >= from_end)
        at = ends[alive] - from_end
        delta = rewards[at] + gamma * next_value[alive] - values[at]
        advantages[at] = following[alive] = delta + gamma * lam * following[alive]
        next_value[alive] = values[at]
    return advantages, advantages + values


def whiten(advantages: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """`(A - mean) / (std + 1e-8)` with both over the tokens where `counts`, (T,) -> (T,).

    The std is that of the population. Tokens that do not count are shifted and scaled alike.
    """
    counted = advantages[counts]
    if not len(counted) or np.ptp(counted) == 0:
        return np.zeros(len(advantages))
    return (advantages - counted.mean()) / (counted.std() + 1e-8)


@dataclass(frozen=True, slots=True)
class Recipe:
    """`--critic_type`, `--kl_penalty_coef`, `--gamma`, `--whiten_adv` and `--lam`."""

    critic_type: str
    kl_penalty_coef: float = 0.0
    gamma: float = 1.0
    whiten_adv: bool = False
    lam: float = 1.0


def token_advantages(
    batch: Batch, rewards: Rewards, k1: np.ndarray | None, recipe: Recipe
) -> np.ndarray:
    """The advantage of every token, float32 (T,): `A_t = sum_{s >= t} gamma^(s - t) a_s`.

    `a_n` of the last token holds the estimator's advantage of the response. Steps have theirs at their
    ends, by the same estimator over all steps of the group (DeepSeekMath, arXiv:2402.03300, section
    4.1.3); ReMax's have no baseline, since no greedy response has the same steps. A KL in the reward
    is `-c k1_t` at every token, but with a group estimator `kl_penalties` of the response. Last, the
    batch is whitened over the tokens that have a gradient, where `recipe` or the estimator says so.

    Args:
        batch: T tokens of R responses.
        rewards: of these responses.
        k1: (T,) `old - ref` in nats; None without a KL in the reward.
        recipe: the flags.

    Source: those of the estimators (`advantages.py`); the KL in the reward: Ziegler et al. 2019,
    arXiv:1909.08593, eq. 2, of whole responses as `kl_penalties` says.
    """
    critic = recipe.critic_type
    estimate, outcomes, steps = ADVANTAGES[critic], rewards.outcomes, rewards.step_responses
    if critic == "remax":
        outcomes = outcomes - rewards.baselines
    outcome = estimate(outcomes, rewards.groups, rewards.is_known)
    step = estimate(rewards.step_rewards, rewards.groups[steps], rewards.is_known[steps])
    if k1 is not None and critic in GROUP_ESTIMATORS:
        kl_sums = np.bincount(batch.response_of, k1, len(outcome))
        outcome = outcome + kl_penalties(kl_sums, rewards.groups, recipe.kl_penalty_coef, critic)
    placed = token_rewards(outcome, rewards, step, batch.offsets)
    if k1 is not None and critic not in GROUP_ESTIMATORS:
        placed = placed - recipe.kl_penalty_coef * k1
    advantages = discounted_returns(placed, batch.offsets, recipe.gamma)
    if recipe.whiten_adv or critic in BATCH_NORMALISED:
        advantages = whiten(advantages, ~batch.is_masked[batch.response_of])
    return advantages.astype(np.float32)


def critic_advantages(
    batch: Batch, rewards: Rewards, k1: np.ndarray | None, values: np.ndarray, recipe: Recipe
) -> tuple[np.ndarray, np.ndarray]:
    """PPO's advantage and return of every token, float32 (T,) each, by `gae`.

    A response's reward is earned at its last token, a step's at its end, and a KL in the reward costs
    `c k1_t` at every token. Where `recipe` says so the advantages, not the returns, are whitened over
    the tokens that have a gradient. Masked responses have the advantage 0.

    Args:
        batch: T tokens of R responses.
        rewards: of these responses.
        k1: (T,) `old - ref` in nats; None without a KL in the reward.
        values: (T,) of the state before each token, by the critic before the update.
        recipe: the flags.

    Source: Schulman et al. 2017, arXiv:1707.06347, section 5; the KL in the reward: Ziegler et al. 2019,
    arXiv:1909.08593, eq. 2.
    """
    earned = token_rewards(rewards.outcomes, rewards, rewards.step_rewards, batch.offsets)
    if k1 is not None:
        earned = earned - recipe.kl_penalty_coef * k1
    advantages, returns = gae(earned, values, batch.offsets, recipe.gamma, recipe.lam)
    counts = ~batch.is_masked[batch.response_of]
    if recipe.whiten_adv:
        advantages = whiten(advantages, counts)
    advantages = np.where(counts, advantages, 0.0)
    return advantages.astype(np.float32), returns.astype(np.float32)
