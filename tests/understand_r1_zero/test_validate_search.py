"""Flags of searches that cannot go together are refused, with the flag to change, before anything starts."""

import json
import subprocess
import sys

import pytest

from understand_r1_zero.cli import parse, parse_training

VALUE, POLICY = "examples/tiny/value", "examples/tiny/stepper"
BY_VALUE = f"--method mcts --oracle value --value_model {VALUE}"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--step_max_tokens -1", ["--step_max_tokens must be at least 0, got -1"]),
        ("--step_temperature -0.5", ["--step_temperature must be at least 0, got -0.5"]),
        ("--step_temperature nan", ["--step_temperature must be at least 0, got nan"]),
        ("--max_code_errors 0", ["--max_code_errors must be at least 1, got 0"]),
        ("--code_memory_mb 8", ["--code_memory_mb must be at least 16, got 8"]),
        ("--code_wall_s 0", ["--code_wall_s must be above 0, got 0"]),
        ("--mc_completions 0", ["--mc_completions must be at least 1, got 0"]),
        ("--mc_round 0", ["--mc_round must be at least 1, got 0"]),
        ("--mc_threshold 1.5", ["--mc_threshold must be at most 1, got 1.5"]),
        ("--tree_simulations 0", ["--tree_simulations must be at least 1, got 0"]),
        ("--critic_samples 0", ["--critic_samples must be at least 1, got 0"]),
        ("--remote_batch_size 0", ["--remote_batch_size must be at least 1, got 0"]),
        ("--remote_timeout_s 0", ["--remote_timeout_s must be above 0, got 0"]),
        ("--step_top_p 0", ["--step_top_p must be above 0, got 0"]),
        ("--step_top_p 1.1", ["--step_top_p must be at most 1, got 1.1"]),
        ("--value_gpu_ratio 0", ["--value_gpu_ratio must be above 0, got 0"]),
        ("--method greedy --num_children 5", ["--num_children must be 1 with --method greedy"]),
        ("--width 0", ["--width must be at least 1, got 0"]),
        ("--search_samples 0", ["--search_samples must be at least 1, got 0"]),
        ("--search_tokens 0", ["--search_tokens must be above 0, got 0"]),
        ("--search_time_s -1", ["--search_time_s must be above 0, got -1"]),
        ("--c_puct -1", ["--c_puct must be at least 0, got -1"]),
        ("--alpha 2", ["--alpha must lie in [0, 1], got 2"]),
        ("--roll_kind greedy", ["--roll_kind greedy", "none, or --method rest_mcts"]),
        (
            "--step_codec line",
            ["--step_codec must be one of xml", "got 'line'", "nearest is lines"],
        ),
        ("--oracle valeu", ["--oracle must name math, value", "got 'valeu'", "nearest is value"]),
        ("--search_oracle valeu", ["got 'valeu'", "nearest is value"]),
        ("--oracle math=0", ["--oracle must give math a positive weight, got '0'"]),
        (
            "--oracle mine:Oracle",
            ["--oracle mine:Oracle scores responses", "--method mcts", "add --search_oracle math"],
        ),
        (
            "--step_temperature 0",
            ["--step_temperature must be above 0 with --method mcts", "--method greedy"],
        ),
        ("--deterministic", ["--deterministic cannot go with --method mcts", "drop one"]),
        ("--oracle value", ["--oracle value reads a model", "--value_model"]),
        ("--oracle prm", ["--oracle prm reads a model", "--value_model"]),
        ("--oracle prm=1,math=1", ["--oracle prm=1,math=1 reads a model", "--value_model"]),
        (f"--oracle value,prm --value_model {VALUE}", ["reads two models", "leave one oracle out"]),
        (f"--oracle tree,prm --value_model {VALUE}", ["reads two models", "leave one oracle out"]),
        ("--oracle remote", ["--oracle remote", "--remote_url", "got ''"]),
        ("--oracle remote --remote_url localhost:80", ["http://HOST:PORT", "got 'localhost:80'"]),
        (
            "--oracle monte_carlo --mc_mode hard --mc_threshold 0.5",
            ["--mc_threshold 0.5 is of --mc_mode soft, got hard"],
        ),
    ],
)
def test_a_refusal_names_the_flag_and_what_to_do(refusal, flags, words):
    message = refusal("--method", "mcts", *flags.split())
    assert message.count("\n") == 0
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("oracle", "config", "words"),
    [
        ("value", None, ["has no config.json to read"]),
        ("value", {"architectures": ["Qwen2ForCausalLM"]}, ["one label, got Qwen2ForCausalLM"]),
        ("tree", {"architectures": ["Qwen2ForCausalLM"]}, ["one label, got Qwen2ForCausalLM"]),
        ("value", {}, ["got no architecture"]),
        ("value", 2, ["a token-classification model with one label, got 2 labels"]),
        ("value", 3, ["got 3 labels", "--algo value"]),
        ("prm", 3, ["with one label or two, got 3 labels"]),
        ("prm", 0, ["with one label or two, got 0 labels"]),
    ],
)
def test_a_model_that_cannot_value_is_refused(refusal, tmp_path, oracle, config, words):
    if isinstance(config, int):
        labels = {str(number): f"LABEL_{number}" for number in range(config)}
        config = {"architectures": ["Qwen2ForTokenClassification"], "id2label": labels}
    if config is not None:
        (tmp_path / "config.json").write_text(json.dumps(config))
    message = refusal(*f"--method sbs --oracle {oracle} --value_model {tmp_path}".split())
    assert f"--value_model {tmp_path}" in message
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    "flags",
    [
        BY_VALUE,
        f"--method sbs --oracle prm --value_model {VALUE}",
        f"--method sbs --oracle prm --prm_kind generative --value_model {POLICY}",
        "--method sbs --oracle prm --prm_kind generative",
        "--method mcts --oracle tree=0.5,math=0.5",
        "--method best_of_n --oracle remote --remote_url https://example.org/values",
        "--method greedy --step_temperature 0",
        "--method maj --oracle mine:Oracle",
        "--method rstar --oracle mine:Oracle --search_oracle math",
        "--oracle value",
    ],
)
def test_what_fits_is_taken(flags):
    args = parse(flags.split())
    assert args.is_searched == ("--method" in flags)


@pytest.mark.parametrize("oracle", ["math", "mine:Oracle"])
def test_oracles_of_responses_train_beside_searches(oracle):
    args = parse_training(f"{BY_VALUE} --search_oracle value --oracle {oracle}".split())
    assert (args.oracle.oracle, args.searches_by) == (oracle, "value")


def test_the_program_refuses_before_anything_starts(repository, tmp_path):
    flags = f"{BY_VALUE} --oracle math=1 --save_path {tmp_path / 'run'}".split()
    ended = subprocess.run(
        [sys.executable, "train_zero_math.py", *flags],
        cwd=repository,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 2 and ended.stdout == ""
    assert ended.stderr.startswith("train_zero_math.py: --oracle math=1 has no oracle of steps")
    assert ended.stderr.count("\n") == 1 and not (tmp_path / "run").exists()


@pytest.mark.parametrize("flags", ["--width 3", "--step_codec xml", "--value_model somewhere"])
def test_flags_of_searches_want_a_search(flags, capsys):
    with pytest.raises(SystemExit):
        parse(flags.split())
    assert (
        f"{flags} changes nothing without a search; name one by --method" in capsys.readouterr().err
    )


@pytest.mark.parametrize("flags", ["--qaf questions.json", "--from trees.jsonl"])
def test_training_reads_no_files_of_the_command_search(flags, capsys):
    with pytest.raises(SystemExit):
        parse_training(flags.split())
    assert f"{flags.split()[1]} is of the command search" in capsys.readouterr().err
