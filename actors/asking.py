"""One problem on its way through an actor."""

from dataclasses import dataclass, replace

import numpy as np

from understand_r1_zero.types import Problem, Sampling


@dataclass(frozen=True, slots=True)
class Asked:
    """A problem that is asked, since `at_s`; the flags are `Sampling`'s."""

    index: int
    problem: Problem
    prompt: str
    token_ids: np.ndarray
    at_s: float
    has_greedy: bool = False
    has_step_rewards: bool = False


def requests_of(sampling: Sampling) -> list[Sampling]:
    """What the engine is asked for one group: its members and, for ReMax, one greedy response."""
    if not sampling.has_greedy:
        return [sampling]
    return [sampling, replace(sampling, num_samples=1, temperature=0.0)]
