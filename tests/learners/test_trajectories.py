"""Groups to trajectories: order, groups, and what is masked."""

from dataclasses import replace

import numpy as np
import pytest

from learners.trajectories import to_trajectories
from understand_r1_zero.args import AlgorithmArgs
from understand_r1_zero.types import Group, Problem, Response, Status, Verdict, VersionSpan


def response(reward, status, *, is_truncated=False, num_tokens=3):
    return Response(
        text="text",
        token_ids=np.arange(num_tokens, dtype=np.int32),
        sampler_logprobs=np.full(num_tokens, -0.5, dtype=np.float32),
        is_truncated=is_truncated,
        version_spans=(VersionSpan(0, num_tokens),),
        verdict=Verdict(reward, status),
    )


def group(*responses):
    problem = Problem("test", 0, "1 + 1", ("2",))
    return Group(0, problem, "prompt", np.arange(4, dtype=np.int32), responses, 0.0, 0.0)


def test_order_is_kept_and_groups_are_named_by_their_place():
    groups = [
        group(response(1.0, Status.CORRECT), response(0.25, Status.INCORRECT, num_tokens=5)),
        group(response(1.0, Status.CORRECT), response(1.0, Status.CORRECT)),
    ]
    trajectories = to_trajectories(groups, AlgorithmArgs())
    assert [(t.group, t.reward) for t in trajectories] == [(0, 1.0), (0, 0.25), (1, 1.0), (1, 1.0)]
    assert [len(t.response_token_ids) for t in trajectories] == [3, 5, 3, 3]
    assert not any(t.is_masked for t in trajectories)


def test_unknown_verdicts_are_neither_known_nor_taught():
    responses = response(1.0, Status.CORRECT), response(0.0, Status.UNKNOWN)
    trajectories = to_trajectories([group(*responses)], AlgorithmArgs())
    assert [(t.is_known, t.is_masked) for t in trajectories] == [(True, False), (False, True)]


@pytest.mark.parametrize("ignore_no_eos", [True, False])
def test_truncated_responses_are_masked_only_when_asked_and_stay_known(ignore_no_eos):
    trajectories = to_trajectories(
        [group(response(1.0, Status.CORRECT), response(0.0, Status.TRUNCATED, is_truncated=True))],
        AlgorithmArgs(ignore_no_eos=ignore_no_eos),
    )
    assert [t.is_known for t in trajectories] == [True, True]
    assert [t.is_masked for t in trajectories] == [False, ignore_no_eos]


def test_steps_and_the_greedy_response_come_along():
    stepped = replace(response(1.0, Status.CORRECT), step_ends=(0, 2))
    stepped = replace(stepped, verdict=replace(stepped.verdict, step_rewards=(0.5, -0.5)))
    asked = replace(group(stepped), greedy=response(0.75, Status.CORRECT))
    [trajectory] = to_trajectories([asked], AlgorithmArgs())
    assert (trajectory.step_ends, trajectory.step_rewards) == ((0, 2), (0.5, -0.5))
    assert trajectory.baseline_reward == 0.75
