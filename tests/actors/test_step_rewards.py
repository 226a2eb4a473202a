"""Rewards of the steps of finished responses: by hand, and by oracles that fail, hang and cost."""

import asyncio
import time

import numpy as np
import pytest
from transformers import AutoTokenizer

from actors.oracle_budget import OracleBudget
from actors.policy_steps import _METER
from actors.step_rewards import FIRST_RESPONSES, OracleFailed, StepRewards, step_rewards
from oracles.remote import RemoteOracle
from tests.oracles.test_remote import HANG, server  # noqa: F401
from understand_r1_zero.args_step_rewards import StepRewardArgs
from understand_r1_zero.search.codecs.registry import load_codec
from understand_r1_zero.search.step_oracle import PROBABILITY, SIGNED, StepScores
from understand_r1_zero.types import (
    Group,
    Problem,
    Response,
    Status,
    Unvalued,
    Verdict,
    VersionSpan,
)

TOKENIZER = AutoTokenizer.from_pretrained("examples/tiny/stepper")
END = TOKENIZER.convert_tokens_to_ids("<|im_end|>")
PROBLEM = Problem("sums", 0, "1 + 2 + 3 =", ("6",))
TEXT = "1+2=3\n3+3=6\n\\boxed{6}"


def response(text=TEXT, is_truncated=False, status=Status.CORRECT):
    token_ids = np.array([*TOKENIZER(text, add_special_tokens=False).input_ids, END], np.int32)
    logprobs = np.zeros(len(token_ids), np.float32)
    span = VersionSpan(0, len(token_ids))
    return Response(text, token_ids, logprobs, is_truncated, (span,), Verdict(1.0, status))


def group_of(*responses):
    return Group(3, PROBLEM, "Q", np.zeros(2, np.int32), responses, 0.1, 0.1)


class Oracle:
    """Values steps 0.9, 0.8, ... after doing what it is told for each response in turn."""

    def __init__(self, *acts, scale=PROBABILITY, num_tokens=0):
        self.acts, self.scale, self.num_tokens, self.seeds = list(acts), scale, num_tokens, []

    async def score(self, problem, steps, first=0, seed=0):
        self.seeds.append(seed)
        if (meter := _METER.get()) is not None:
            meter.num_tokens += self.num_tokens
        act = self.acts.pop(0) if self.acts else None
        if isinstance(act, Exception):
            raise act
        if act == HANG:
            await asyncio.sleep(60)
        values = tuple(0.9 - 0.1 * place for place in range(len(steps[first:])))
        return StepScores(act if isinstance(act, tuple) else values)


def added(group, oracle, allowance=0, is_dead=lambda: False, **flags):
    async def run():
        rewards = StepRewards(
            name="mine",
            oracle=oracle,
            codec=load_codec("lines"),
            tokenizer=TOKENIZER,
            flags=StepRewardArgs(**flags),
            budget=OracleBudget(allowance),
            seed=1,
            is_dead=is_dead,
        )
        return await rewards.added(group)

    return asyncio.run(run())


def test_values_and_gains_by_hand():
    values = (0.5, 0.25, 1.0)
    assert step_rewards(values, "value", 0.5, 2.0) == (1.0, 0.5, 2.0)
    assert step_rewards(values, "gain", 0.5, 1.0) == (0.0, -0.25, 0.75)
    assert step_rewards(values, "gain", 0.0, 2.0) == (1.0, -0.5, 1.5)
    assert sum(step_rewards(values, "gain", 0.25, 2.0)) == 2 * (values[-1] - 0.25)
    assert step_rewards((), "gain", 0.5, 1.0) == ()


def test_steps_earn_their_values_at_their_last_tokens_and_the_outcome_stays():
    found = added(group_of(response()), Oracle(), step_reward_coef=0.5)
    [valued] = found.responses
    assert valued.verdict.step_rewards == pytest.approx((0.45, 0.4, 0.35))
    assert (valued.verdict.reward, valued.verdict.status) == (1.0, Status.CORRECT)
    ids = valued.token_ids
    decoded = [
        TOKENIZER.decode(ids[: end + 1], skip_special_tokens=True) for end in valued.step_ends
    ]
    assert decoded == ["1+2=3\n", "1+2=3\n3+3=6\n", TEXT]
    assert valued.step_ends[-1] == len(ids) - 1 and valued.unvalued is None
    assert found.oracle_s > 0 and found.oracle_tokens == 0


def test_gains_begin_in_the_middle_of_the_oracles_scale():
    for scale, first in ((PROBABILITY, 0.4), (SIGNED, 0.9)):
        [valued] = added(group_of(response()), Oracle(scale=scale), step_reward="gain").responses
        assert valued.verdict.step_rewards == pytest.approx((first, -0.1, -0.1))


def test_what_was_cut_is_unknown_or_has_no_text_is_not_shown_to_the_oracle():
    oracle = Oracle()
    responses = (response(is_truncated=True), response(status=Status.UNKNOWN), response(text=""))
    found = added(group_of(*responses), oracle)
    assert [each.unvalued for each in found.responses] == [
        Unvalued.TRUNCATED,
        Unvalued.UNKNOWN,
        Unvalued.NO_STEPS,
    ]
    assert oracle.seeds == [] and all(not each.verdict.step_rewards for each in found.responses)


@pytest.mark.parametrize("act", [ValueError("no"), (0.5,), (0.1, float("nan"), 0.2)])
def test_an_oracle_that_fails_for_one_response_costs_that_one_alone_and_is_told_once(act):
    found = added(group_of(response(), response(), response()), Oracle(None, act, act))
    assert [each.unvalued for each in found.responses] == [None, Unvalued.ERROR, Unvalued.ERROR]
    assert found.responses[1] == found.responses[1] and found.responses[1].step_ends == ()
    [warning] = found.warnings
    assert "--oracle mine failed for a response" in warning and "ValueError" in warning


def test_an_oracle_that_hangs_is_given_up_in_time():
    started_s = time.monotonic()
    found = added(group_of(response(), response()), Oracle(HANG), oracle_timeout_s=0.2)
    assert time.monotonic() - started_s < 10
    assert [each.unvalued for each in found.responses] == [Unvalued.TIMEOUT, None]
    assert "--oracle_timeout_s 0.2" in found.warnings[0]


def test_a_server_that_never_answers_holds_nobody_up(server):  # noqa: F811
    server.script = [HANG]
    oracle = RemoteOracle(server.url, timeout_s=60.0)
    started_s = time.monotonic()
    found = added(group_of(response(), response()), oracle, oracle_timeout_s=0.3)
    assert time.monotonic() - started_s < 10
    assert {each.unvalued for each in found.responses} == {Unvalued.TIMEOUT}


def test_an_oracle_that_never_works_ends_the_run():
    acts = [RuntimeError("broken")] * FIRST_RESPONSES
    responses = [response()] * (FIRST_RESPONSES - 1)
    assert len(added(group_of(*responses), Oracle(*acts)).warnings) == 1
    with pytest.raises(
        OracleFailed, match="each of its first 50 responses; the last: RuntimeError"
    ):
        added(group_of(*responses, response()), Oracle(*acts))
    late = added(group_of(*responses, response(), response()), Oracle(None, *acts))
    assert late.responses[0].unvalued is None


def test_a_dead_engine_is_not_the_oracles_failure():
    with pytest.raises(RuntimeError, match="gone"):
        added(group_of(response()), Oracle(RuntimeError("gone")), is_dead=lambda: True)


def test_spent_tokens_are_counted_and_no_more_is_asked():
    found = added(group_of(*[response()] * 6), Oracle(num_tokens=30), allowance=90)
    assert [each.unvalued for each in found.responses] == [None] * 3 + [Unvalued.BUDGET] * 3
    assert found.oracle_tokens == 90
    # What was sampled before a failure was sampled too.
    failed = added(group_of(response()), Oracle(ValueError("no"), num_tokens=30))
    assert failed.oracle_tokens == 30


def test_each_response_has_a_seed_of_its_own_the_same_in_every_run():
    first, second = Oracle(), Oracle()
    for oracle in (first, second):
        added(group_of(response(), response()), oracle)
    assert first.seeds == second.seeds and len(set(first.seeds)) == 2
