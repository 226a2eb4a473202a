import math

import pytest

from understand_r1_zero.args import RewardArgs
from understand_r1_zero.rewards import length_penalty, response_reward
from understand_r1_zero.types import Status

REWARDS = RewardArgs(
    correct_reward=3.0, incorrect_reward=-2.0, format_reward=0.25, non_stop_fixed_reward=-0.5
)
TABLE = {
    Status.CORRECT: 3.25,
    Status.INCORRECT: -1.75,
    Status.TIMEOUT: -1.75,
    Status.ERROR: -1.75,
    Status.UNPARSABLE: -2.0,
    Status.TRUNCATED: -0.5,
    Status.UNKNOWN: 0.0,
}


def test_every_status_has_its_reward():
    assert TABLE.keys() == set(Status)
    assert {status: response_reward(status, 10, 100, REWARDS) for status in Status} == TABLE


def test_the_defaults_are_oats_one_for_correct_and_zero_for_all_else():
    rewards = {status: response_reward(status, 100, 100, RewardArgs()) for status in Status}
    assert rewards == {status: float(status is Status.CORRECT) for status in Status}


def test_a_users_oracle_keeps_its_reward_unless_truncated_or_unknown():
    for status in Status:
        reward = response_reward(status, 10, 100, REWARDS, own_reward=0.125)
        own = status not in (Status.TRUNCATED, Status.UNKNOWN)
        assert reward == (0.125 if own else TABLE[status])


def test_a_users_reward_of_zero_is_a_reward():
    assert response_reward(Status.CORRECT, 10, 100, REWARDS, own_reward=0.0) == 0.0


@pytest.mark.parametrize(
    ("num_tokens", "penalty"),
    [
        (0, 0.0),
        (79, 0.0),
        (80, 0.0),
        (81, -0.05),
        (90, -0.5),
        (99, -0.95),
        (100, -1.0),
        (150, -1.0),
    ],
)
def test_the_penalty_falls_linearly_over_the_buffer(num_tokens: int, penalty: float):
    assert length_penalty(num_tokens, 100, 20) == pytest.approx(penalty, abs=1e-12)


def test_the_penalty_of_daposs_own_lengths():
    # 20480 tokens at most, of which the last 4096 are the buffer.
    assert length_penalty(16384, 20480, 4096) == 0.0
    assert length_penalty(16384 + 1024, 20480, 4096) == -0.25
    assert length_penalty(20480, 20480, 4096) == -1.0


def test_no_buffer_is_no_penalty():
    assert [length_penalty(n, 100, 0) for n in (0, 99, 100, 101)] == [0.0] * 4


def test_the_penalty_is_weighted_and_added_for_every_known_status():
    args = RewardArgs(3.0, -2.0, 0.25, -0.5, overlong_buffer_tokens=20, overlong_penalty=4.0)
    for status in Status:
        expected = TABLE[status] - (2.0 if status is not Status.UNKNOWN else 0.0)
        assert response_reward(status, 90, 100, args) == expected
    assert response_reward(Status.INCORRECT, 90, 100, args, own_reward=1.0) == -1.0


def test_an_unknown_verdict_is_zero_at_every_length_and_never_minus_zero():
    args = RewardArgs(overlong_buffer_tokens=20)
    rewards = [response_reward(Status.UNKNOWN, n, 100, args, own_reward=7.0) for n in (1, 90, 100)]
    short = response_reward(Status.INCORRECT, 1, 100, args)
    assert [math.copysign(1, reward) for reward in [*rewards, short]] == [1.0] * 4
    assert {*rewards, short} == {0.0}
