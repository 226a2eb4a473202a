"""Flags that `--algo` does not read are refused before anything starts."""

from dataclasses import fields
from typing import get_args

import pytest

from understand_r1_zero import unread
from understand_r1_zero.args import AlgorithmArgs, Args
from understand_r1_zero.cli import parse

SFT = "--algo sft --sft_data a.jsonl"


@pytest.mark.parametrize(
    ("argv", "flag", "reader"),
    [
        (f"{SFT} --beta 0.1", "--beta 0.1", "ppo"),
        (f"{SFT} --num_ppo_epochs 2", "--num_ppo_epochs 2", "ppo or dpo"),
        (f"{SFT} --critic_type rloo", "--critic_type rloo", "ppo"),
        (f"{SFT} --filter_zero_variance", "--filter_zero_variance True", "ppo or dpo or rft"),
        (f"{SFT} --max_staleness 1", "--max_staleness 1", "ppo or dpo or rft"),
        ("--algo dpo --kl_penalty_coef 0.1", "--kl_penalty_coef 0.1", "ppo"),
        ("--algo rft --whiten_adv", "--whiten_adv True", "ppo"),
        ("--algo rft --sft_max_length 9", "--sft_max_length 9", "sft"),
        ("--loss_on_prompt", "--loss_on_prompt True", "sft or rft"),
        ("--preference_beta 0.2", "--preference_beta 0.2", "dpo"),
        ("--value_head tanh", "--value_head tanh", "value or dpo"),
        ("--algo dpo --value_loss bce", "--value_loss bce", "value"),
    ],
)
def test_refused(refusal, argv, flag, reader):
    message = refusal(*argv.split())
    assert f"{flag} changes nothing with --algo" in message
    assert message.endswith(f"use --algo {reader}")


@pytest.mark.parametrize(
    "argv",
    [
        "--algo dpo --num_ppo_epochs 2 --ignore_no_eos --filter_zero_variance",
        "--algo rft --sft_aggregation sequence --loss_on_prompt --max_refills 2",
        f"{SFT} --sft_aggregation sequence --sft_end_token x",
        "--algo value --value_data a.jsonl --value_joint --sft_aggregation sequence",
    ],
)
def test_read(argv):
    parse(argv.split())


def test_the_table_names_flags_that_there_are():
    for place in unread._READERS:
        owner, _, name = place.partition(".")
        assert name in {field.name for field in fields(getattr(Args(), owner))}
    assert unread._EVERYWHERE.keys() <= {field.name for field in fields(Args)}


def test_readers_are_values_of_the_flag():
    (algo,) = (field for field in fields(AlgorithmArgs) if field.name == "algo")
    known = set(get_args(algo.type))
    for readers in (*unread._READERS.values(), *unread._EVERYWHERE.values()):
        assert set(readers) <= known
