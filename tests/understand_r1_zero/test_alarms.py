import re
from dataclasses import fields

import numpy as np
import pytest

from understand_r1_zero.alarms import (
    Alarms,
    TokenGap,
    alarms,
    check_first_update,
    check_logprob_gap,
    worst_tokens,
)
from understand_r1_zero.args import AlarmArgs, Args
from understand_r1_zero.types import Response, Status, Verdict, VersionSpan

ARGS = AlarmArgs()
HEALTHY = {
    "actor/num_groups": 64.0,
    "actor/num_data": 512.0,
    "actor/no_eos_count": 10.0,
    "actor/sampling_max_tokens": 64.0,
    "actor/unparsable": 0.1,
    "actor/timeout": 0.0,
    "actor/error": 0.0,
    "actor/unknown": 0.0,
    "actor/staleness_mean": 0.0,
    "train/zero_variance_count": 20.0,
    "train/all_zero_rewards_count": 12.0,
    "train/all_one_rewards_count": 8.0,
    "train/logprob_gap_mean": 1e-5,
}


def test_a_healthy_step_and_an_empty_one_raise_no_alarm():
    assert alarms(HEALTHY, ARGS) == {}
    assert alarms({}, ARGS) == {}


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        (
            {"train/zero_variance_count": 64.0, "train/all_zero_rewards_count": 64.0},
            "zero_variance",
            ["no response was correct", "--prompt_data", "--num_samples"],
        ),
        (
            {"train/zero_variance_count": 64.0, "train/all_one_rewards_count": 64.0},
            "zero_variance",
            ["every response was correct", "--prompt_data"],
        ),
        (
            {"train/zero_variance_count": 64.0},
            "zero_variance",
            ["--num_samples", "--temperature", "--correct_reward"],
        ),
        (
            {"actor/no_eos_count": 256.0},
            "truncated",
            ["50%", "64 tokens", "--generate_max_length", "--warn_truncated 0.3"],
        ),
        (
            {"actor/unparsable": 0.6},
            "unparsable",
            ["60%", "--prompt_template", "--warn_unparsable 0.5"],
        ),
        (
            {"actor/timeout": 0.04, "actor/error": 0.02},
            "grader",
            ["4%", "2%", "--grader_timeout_s"],
        ),
        ({"actor/unknown": 0.1}, "unknown", ["10%", "unknown_golds.jsonl", "--output_key"]),
        ({"train/logprob_gap_mean": 0.03}, "logprob_gap", ["0.030 nats", "--bf16", "--tis_c"]),
        (
            {"train/logprob_gap_mean": 0.03, "actor/staleness_mean": 1.0},
            "logprob_gap",
            ["--max_staleness"],
        ),
        ({"actor/stale_dropped_count": 20.0}, "stale", ["20 groups", "--max_staleness"]),
    ],
)
def test_each_fault_is_one_line_with_its_flag(
    change: dict[str, float], kind: str, words: list[str]
):
    found = alarms(HEALTHY | change, ARGS)
    assert found.keys() == {kind}
    assert "\n" not in found[kind]
    for word in words:
        assert word in found[kind]


def test_single_unreadable_golds_and_a_step_of_nothing_else_are_not_told_twice():
    assert alarms(HEALTHY | {"actor/unknown": 0.05}, ARGS) == {}
    all_unknown = HEALTHY | {"actor/unknown": 1.0, "train/zero_variance_count": 64.0}
    assert alarms(all_unknown, ARGS).keys() == {"unknown"}


def test_the_remedies_are_flags():
    faults = {
        "actor/no_eos_count": 512.0,
        "actor/unparsable": 1.0,
        "actor/timeout": 1.0,
        "actor/unknown": 0.5,
        "actor/stale_dropped_count": 64.0,
        "train/zero_variance_count": 64.0,
        "train/logprob_gap_mean": 1.0,
    }
    known = {flag.name for owner in fields(Args()) for flag in fields(getattr(Args(), owner.name))}
    lines = alarms(HEALTHY | faults, ARGS)
    assert len(lines) == 7
    for flag in re.findall(r"--(\w+)", " ".join(lines.values())):
        assert flag in known


def test_thresholds_are_the_flags():
    metrics = HEALTHY | {"actor/no_eos_count": 256.0, "actor/unparsable": 0.6}
    assert alarms(metrics, AlarmArgs(warn_truncated=0.5, warn_unparsable=0.6)) == {}
    bf16 = HEALTHY | {"train/logprob_gap_mean": 0.03}
    assert alarms(bf16, AlarmArgs(max_logprob_gap=0.05)) == {}


def test_an_alarm_is_repeated_only_every_so_many_steps():
    watch = Alarms(ARGS, repeat_every=3)
    bad = HEALTHY | {"actor/unparsable": 0.9}
    assert [len(watch.check(step, bad)) for step in range(1, 8)] == [1, 0, 0, 1, 0, 0, 1]
    both = bad | {"actor/no_eos_count": 512.0}
    assert len(watch.check(8, both)) == 1


def response(logprobs: list[float]) -> Response:
    return Response(
        text="",
        token_ids=np.arange(10, 10 + len(logprobs), dtype=np.int32),
        sampler_logprobs=np.array(logprobs, dtype=np.float32),
        is_truncated=False,
        version_spans=(VersionSpan(0, len(logprobs)),),
        verdict=Verdict(0.0, Status.INCORRECT),
    )


def test_worst_tokens_are_found_across_responses():
    responses = [response([-1.0, -2.0]), response([-1.0, -1.0, -1.0])]
    learner = [np.array([-1.0, -2.5]), np.array([-1.1, np.nan, -1.0])]
    worst = worst_tokens(responses, learner, decode=lambda token: f"<{token}>", num_tokens=3)
    assert [(token.text, token.position) for token in worst] == [
        ("<11>", 1),
        ("<11>", 1),
        ("<10>", 0),
    ]
    assert np.isnan(worst[0].learner_logprob)
    assert worst[1] == TokenGap("<11>", 1, -2.0, -2.5) and worst[1].gap == 0.5


def test_the_gate_passes_small_gaps_and_can_be_turned_off():
    check_logprob_gap(1e-5, [], limit=1e-4)
    check_logprob_gap(10.0, [], limit=0.0)


@pytest.mark.parametrize("gap", [0.02, float("nan")])
def test_the_gate_shows_the_worst_tokens_and_what_to_check(gap: float):
    worst = [TokenGap(" 12", 7, -0.25, -1.5), TokenGap("\n", 0, -0.1, -0.2)]
    with pytest.raises(RuntimeError) as caught:
        check_logprob_gap(gap, worst, limit=1e-4)
    message = str(caught.value)
    for part in (
        "' 12'",
        "position     7",
        "-0.2500",
        "-1.5000",
        r"'\n'",
        "--max_logprob_gap 0.0001",
    ):
        assert part in message
    assert "--pretrain" in message and "--bf16" in message


def test_the_first_update_must_be_on_policy():
    good = {"train/ratio_mean": 1.00001, "train/pg_clipfrac": 0.0, "train/kl3": 0.0}
    check_first_update(good, 1e-4)
    check_first_update({}, 1e-4)
    bad = good | {"train/ratio_mean": 1.01, "train/kl3": float("nan")}
    check_first_update(bad, 0.0)
    with pytest.raises(RuntimeError, match=r"train/ratio_mean is .* expected 1; train/kl3 is nan"):
        check_first_update(bad, 1e-4)
