"""Groups to trajectories: order, advantages, and what is masked."""

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


def test_advantages_are_taken_within_each_group_and_order_is_kept():
    groups = [
        group(response(1.0, Status.CORRECT), response(0.0, Status.INCORRECT, num_tokens=5)),
        group(response(1.0, Status.CORRECT), response(1.0, Status.CORRECT)),
    ]
    trajectories = to_trajectories(groups, AlgorithmArgs(critic_type="drgrpo"))
    assert [t.advantage for t in trajectories] == [0.5, -0.5, 0.0, 0.0]
    assert [len(t.response_token_ids) for t in trajectories] == [3, 5, 3, 3]
    assert not any(t.is_masked for t in trajectories)


def test_unknown_verdicts_neither_teach_nor_shift_the_baseline():
    trajectories = to_trajectories(
        [
            group(
                response(1.0, Status.CORRECT),
                response(0.0, Status.UNKNOWN),
                response(0.0, Status.INCORRECT),
            )
        ],
        AlgorithmArgs(critic_type="drgrpo"),
    )
    assert [t.advantage for t in trajectories] == [0.5, 0.0, -0.5]
    assert [t.is_masked for t in trajectories] == [False, True, False]


@pytest.mark.parametrize("ignore_no_eos", [True, False])
def test_truncated_responses_are_masked_only_when_asked_and_count_in_the_baseline(ignore_no_eos):
    trajectories = to_trajectories(
        [group(response(1.0, Status.CORRECT), response(0.0, Status.TRUNCATED, is_truncated=True))],
        AlgorithmArgs(critic_type="drgrpo", ignore_no_eos=ignore_no_eos),
    )
    assert [t.advantage for t in trajectories] == [0.5, -0.5]
    assert [t.is_masked for t in trajectories] == [False, ignore_no_eos]
