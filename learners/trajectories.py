"""From graded groups to what the learners need of each response."""

from collections.abc import Sequence

import numpy as np

from learners.advantages import ADVANTAGES
from understand_r1_zero.args import AlgorithmArgs
from understand_r1_zero.types import Group, Status, Trajectory


def to_trajectories(groups: Sequence[Group], algorithm: AlgorithmArgs) -> list[Trajectory]:
    """One trajectory per response, in order, with its advantage within its group.

    A response whose verdict is unknown says nothing about the policy: it is left out of its group's
    baseline and its gradient is taken out. So is a truncated one's under `--ignore_no_eos`, but its
    reward stays in the baseline, as in Oat.
    """
    advantages_of = ADVANTAGES[algorithm.critic_type]
    trajectories = []
    for group in groups:
        is_known = np.array([r.verdict.status is not Status.UNKNOWN for r in group.responses])
        advantages = np.zeros(len(group.responses))
        if is_known.any():
            advantages[is_known] = advantages_of(group.rewards[is_known])
        for response, advantage, known in zip(group.responses, advantages, is_known, strict=True):
            trajectories.append(
                Trajectory(
                    prompt_token_ids=group.prompt_token_ids,
                    response_token_ids=response.token_ids,
                    sampler_logprobs=response.sampler_logprobs,
                    advantage=float(advantage),
                    is_masked=not known or (algorithm.ignore_no_eos and response.is_truncated),
                )
            )
    return trajectories
