"""From graded groups to what the learners need of each response."""

from collections.abc import Sequence

from understand_r1_zero.args import AlgorithmArgs
from understand_r1_zero.types import Group, Response, Status, Trajectory


def to_trajectories(groups: Sequence[Group], algorithm: AlgorithmArgs) -> list[Trajectory]:
    """One trajectory per response, in order; a group is named by its place in the batch.

    A response whose verdict is unknown says nothing about the policy: it is left out of its group's
    baseline and its gradient is taken out. So is a truncated one's under `--ignore_no_eos`, but its
    reward stays in the baseline, as in Oat.
    """
    return [
        _trajectory(group, place, response, algorithm.ignore_no_eos)
        for place, group in enumerate(groups)
        for response in group.responses
    ]


def _trajectory(group: Group, place: int, response: Response, ignore_no_eos: bool) -> Trajectory:
    verdict, step_ends = response.verdict, response.step_ends
    is_known = verdict.status is not Status.UNKNOWN
    step_rewards = verdict.step_rewards if step_ends else ()
    assert len(step_ends) == len(step_rewards), "a step has an end and a reward"
    return Trajectory(
        prompt_token_ids=group.prompt_token_ids,
        response_token_ids=response.token_ids,
        sampler_logprobs=response.sampler_logprobs,
        reward=verdict.reward,
        group=place,
        is_known=is_known,
        is_masked=not is_known or (ignore_no_eos and response.is_truncated),
        step_ends=step_ends,
        step_rewards=step_rewards,
        baseline_reward=group.greedy.verdict.reward if group.greedy else 0.0,
    )
