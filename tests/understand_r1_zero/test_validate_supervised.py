"""Refusals of supervised and value flags."""

import pytest

from understand_r1_zero.cli import parse


@pytest.mark.parametrize(
    ("argv", "parts"),
    [
        ("--sft_holdout 1", ["--sft_holdout", "below 1", "got 1"]),
        ("--sft_holdout -0.1", ["--sft_holdout must be at least 0"]),
        ("--sft_max_length -1", ["--sft_max_length must be at least 0"]),
        ("--rft_max_per_problem -1", ["--rft_max_per_problem must be at least 0"]),
        ("--value_beta -1", ["--value_beta must be at least 0"]),
        ("--value_loss bce --value_head tanh", ["--value_head tanh", "--value_head linear"]),
        ("--value_joint --value_loss ranking", ["--value_joint", "ranking", "drop one"]),
    ],
)
def test_refused(refusal, argv, parts):
    message = refusal(*argv.split())
    for part in parts:
        assert part in message


def test_allowed():
    value = "--algo value --value_data a.jsonl --value_joint --value_head tanh"
    assert parse(value.split()).value.value_joint
    assert parse("--algo sft --sft_data a.jsonl --sft_holdout 0.1".split()).supervised.sft_holdout
    kept = parse("--algo rft --rft_max_per_problem 0".split())
    assert kept.supervised.rft_max_per_problem == 0
