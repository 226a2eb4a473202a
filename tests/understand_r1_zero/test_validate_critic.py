"""Flags of the critic that cannot go together are refused, with the flag to change."""

import pytest

from understand_r1_zero.cli import parse


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--lam 0.9", ["--lam 0.9", "--critic_type ppo"]),
        ("--vf_coef 0.5 --critic_type grpo", ["--vf_coef 0.5", "--critic_type ppo"]),
        ("--critic_trunk shared", ["--critic_trunk shared", "--critic_type ppo"]),
        ("--critic_type ppo --lam 1.5", ["--lam must be at most 1, got 1.5"]),
        ("--critic_type ppo --lam -1", ["--lam must be at least 0, got -1"]),
        ("--critic_type ppo --vf_coef 0", ["--vf_coef must be above 0"]),
        ("--critic_type ppo --vf_coef inf", ["--vf_coef must be a finite number, got inf"]),
        (
            "--critic_type ppo --cliprange_value nan",
            ["--cliprange_value must be at least 0, got nan"],
        ),
        (
            "--critic_type ppo --critic_trunk shared --critic_warmup_steps 3",
            ["--critic_warmup_steps 3", "--critic_trunk separate"],
        ),
        (
            "--critic_type ppo --critic_trunk shared --critic_learning_rate 1e-5",
            ["--critic_learning_rate 1e-05", "--critic_trunk separate"],
        ),
        (
            "--critic_type ppo --critic_trunk shared --critic_pretrain examples/tiny/model",
            ["--critic_pretrain examples/tiny/model", "--critic_trunk separate"],
        ),
    ],
)
def test_a_refusal_names_the_flag_and_what_to_do(refusal, flags, words):
    message = refusal(*flags.split())
    for word in words:
        assert word in message


def test_a_critic_needs_no_group():
    flags = "--critic_type ppo --num_samples 1 --lam 0.95 --critic_warmup_steps 2 --vf_coef 0.1"
    assert parse(flags.split()).critic.lam == 0.95
