"""An oracle's reward that rises while accuracy falls: the policy has learned to please the oracle."""

import math
import statistics
from collections import deque
from collections.abc import Mapping, Sequence

WINDOW_STEPS = 10
"""Steps whose mean is compared with that of as many before."""
STANDARD_ERRORS = 2.0
"""How far two means must be apart to be different."""
REWARDS = ("actor/step_reward_mean", "actor/step_reward_sum")
"""What an oracle pays: a step on average, and a response, which more steps may raise too."""
ACCURACY = "actor/correct"


def shift(series: Sequence[float]) -> float:
    """By how many standard errors the mean of the last `WINDOW_STEPS` exceeds that of those before them.

    `(m_2 - m_1) / sqrt(s_1^2 / n + s_2^2 / n)`, Welch's statistic of two windows of n steps each with unbiased
    variances; infinite where neither varies and the means differ, 0 where nothing does, or too few steps are
    there. Steps are taken for independent; a trend within a window makes the statistic smaller.
    """
    if len(series) < 2 * WINDOW_STEPS:
        return 0.0
    before, after = series[-2 * WINDOW_STEPS : -WINDOW_STEPS], series[-WINDOW_STEPS:]
    difference = statistics.fmean(after) - statistics.fmean(before)
    variance = statistics.variance(before) + statistics.variance(after)
    if variance == 0:
        return math.copysign(math.inf, difference) if difference else 0.0
    return difference / math.sqrt(variance / WINDOW_STEPS)


def is_hacked(rewards: Sequence[float], accuracies: Sequence[float]) -> bool:
    """Whether rewards have risen and accuracies fallen, each by more than `STANDARD_ERRORS`."""
    return shift(rewards) > STANDARD_ERRORS and shift(accuracies) < -STANDARD_ERRORS


def _means(series: Sequence[float]) -> str:
    parts = series[:WINDOW_STEPS], series[WINDOW_STEPS:]
    return " -> ".join(f"{statistics.fmean(part):.3f}" for part in parts)


class RewardHistory:
    """What oracles paid in the last steps, and how many responses were right."""

    def __init__(self) -> None:
        self._rows: deque[tuple[float, ...]] = deque(maxlen=2 * WINDOW_STEPS)

    def add(self, metrics: Mapping[str, float]) -> str:
        """Remember a step; returns the warning that it gives cause for, or nothing.

        A step without rewards of steps is left out.
        """
        if any(key not in metrics for key in (*REWARDS, ACCURACY)):
            return ""
        self._rows.append(tuple(metrics[key] for key in (*REWARDS, ACCURACY)))
        *rewards, accuracies = zip(*self._rows, strict=True)
        if not any(is_hacked(paid, accuracies) for paid in rewards):
            return ""
        a_step, a_response, correct = map(_means, (*rewards, accuracies))
        return (
            f"the oracle pays more ({a_step} a step, {a_response} a response) while fewer are correct "
            f"({correct}; means of {WINDOW_STEPS} steps and of those before); the policy may have "
            "learned to please the oracle: lower --step_reward_coef, use --step_reward gain, or mix the oracle "
            "(--oracle prm=0.5,math=0.5)"
        )
