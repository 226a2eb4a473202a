"""Rewards of steps: what does not fit is refused with the flag to change, and what the oracle reads is taken."""

import pytest

from understand_r1_zero.cli import parse_training

VALUE, POLICY = "examples/tiny/value", "examples/tiny/stepper"
BY_VALUE = f"--oracle value --value_model {VALUE}"


@pytest.mark.parametrize(
    "flags",
    [
        BY_VALUE,
        f"{BY_VALUE} --critic_type ppo --step_reward gain --step_reward_coef 0.5 --step_codec step_k",
        f"{BY_VALUE} --method sbs --search_oracle math",
        f"--oracle prm=0.7,math=0.3 --value_model {VALUE}",
        f"--oracle prm --prm_kind generative --value_model {POLICY}",
        "--oracle monte_carlo --mc_completions 2 --oracle_tokens_per_step 1000 --step_temperature 0.7",
        "--oracle tree --tree_simulations 4 --graded_ends --oracle_timeout 5",
        "--oracle self_critic --critic_samples 2 --step_max_tokens 8",
        "--oracle remote --remote_url http://localhost:1/score --remote_timeout_s 3",
        "--oracle monte_carlo --step_codec xml --code_wall_s 2",
    ],
)
def test_what_fits_is_taken(flags):
    args = parse_training(flags.split())
    assert args.step_oracle == args.oracle.oracle != "math"


@pytest.mark.parametrize("flags", ["", "--oracle mine:Oracle", "--algo rft"])
def test_other_oracles_and_algorithms_reward_no_steps(flags):
    assert parse_training(flags.split()).step_oracle == ""


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--oracle value", ["--oracle value reads a model", "--value_model"]),
        ("--oracle prm=0.5,math=0.5", ["reads a model", "--value_model"]),
        ("--oracle remote", ["--remote_url", "got ''"]),
        ("--oracle math=1", ["--oracle math=1 has no oracle of steps", "use --oracle math"]),
        ("--oracle monte_carlo --algo dpo", ["--algo dpo", "--search_oracle"]),
        (f"{BY_VALUE} --deterministic", ["--deterministic cannot go with --oracle value"]),
        ("--step_reward gain", ["--step_reward gain changes nothing with --oracle math"]),
        ("--oracle_timeout 5", ["--oracle_timeout_s 5.0 changes nothing"]),
        (f"{BY_VALUE} --step_reward_coef 0", ["--step_reward_coef must be above 0", "got 0"]),
        (f"{BY_VALUE} --step_reward_coef inf", ["--step_reward_coef must be above 0 and finite"]),
        (f"{BY_VALUE} --oracle_timeout_s 0", ["--oracle_timeout_s must be above 0, got 0"]),
        (f"{BY_VALUE} --oracle_tokens_per_step 9", ["changes nothing with --oracle value"]),
        ("--oracle tree --oracle_tokens_per_step -1", ["must be at least 0, got -1"]),
        ("--oracle tree --step_temperature 0", ["--step_temperature must be above 0"]),
        ("--oracle monte_carlo --mc_completions 0", ["--mc_completions must be at least 1, got 0"]),
        (f"{BY_VALUE} --step_codec line", ["--step_codec must be one of", "nearest is lines"]),
        (f"{BY_VALUE} --mc_completions 2", ["--mc_completions 2", "--oracle value", "drop it"]),
        (f"{BY_VALUE} --step_temperature 0.5", ["changes nothing without a search"]),
        (f"{BY_VALUE} --code_wall_s 2", ["--code_wall_s 2.0 changes nothing"]),
        (f"{BY_VALUE} --width 2", ["--width 2 changes nothing"]),
        (f"--oracle monte_carlo --value_model {VALUE}", ["--value_model", "changes nothing"]),
    ],
)
def test_a_refusal_names_the_flag_and_what_to_do(capsys, flags, words):
    with pytest.raises(SystemExit) as stopped:
        parse_training(flags.split())
    said = capsys.readouterr()
    assert stopped.value.code == 2 and said.out == "" and said.err.count("\n") == 1
    for word in words:
        assert word in said.err
