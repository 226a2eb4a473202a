"""Refusals of supervised and value flags."""

import pytest

from understand_r1_zero.cli import parse


@pytest.mark.parametrize(
    ("argv", "parts"),
    [
        ("--holdout 1", ["--holdout", "below 1", "got 1"]),
        ("--sft_holdout -0.1", ["--holdout must be at least 0"]),
        ("--holdout 0.1", ["--holdout 0.1 needs examples of a file", "drop it"]),
        ("--holdout 0.1 --algo dpo", ["--holdout 0.1 needs examples of a file"]),
        (
            "--holdout 0.1 --algo sft --sft_data a.jsonl --eval_steps -1",
            ["--holdout 0.1 is evaluated every --eval_steps, got -1"],
        ),
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
    held_out = parse("--algo sft --sft_data a.jsonl --sft_holdout 0.1".split())
    assert held_out.evaluation.holdout == 0.1
    kept = parse("--algo rft --rft_max_per_problem 0".split())
    assert kept.supervised.rft_max_per_problem == 0
