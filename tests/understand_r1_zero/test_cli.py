"""Command lines, recipes, resumption and refusals, as a user meets them."""

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understand_r1_zero.args import Args, LegacyArgs, SamplingArgs, TrackingArgs
from understand_r1_zero.cli import (
    LEGACY_REASONS,
    ROUNDED_LOGPROB_GAP,
    describe,
    parse,
)
from understand_r1_zero.recipes import read_recipe, to_toml

Refusal = Callable[..., str]
REPOSITORY = Path(__file__).resolve().parents[2]

# The command lines that sail-sg/understand-r1-zero published, variables expanded for 8 GPUs: what all
# its scripts share, then what each adds.
PUBLISHED_COMMON = """
    --critic_type drgrpo --gpus 8 --enable_prefix_caching --collocate --vllm_sleep
    --vllm_gpu_ratio 0.35 --gradient-checkpointing --flash-attn --bf16 --rnd-seed
    --learning_rate 0.000001 --lr_scheduler constant --num_ppo_epochs 1 --beta 0
    --oracle_type reward --oracle math --ref_offload --train_split train --prompt_max_length 1024
    --num_samples 8 --temperature 1 --top_p 1 --generate_max_length 3000 --save_steps -1
    --train_batch_size 128 --train_batch_size_per_device 1 --rollout_batch_size 128
    --rollout_batch_size_per_device 16 --pi_buffer_maxlen_per_device 128 --eval_batch_size 200
    --eval_steps 16 --eval_temperature 0 --eval_generate_max_length 3000
    --eval_data ./datasets/evaluation_suite --eval_input_key input --use-wb --wb_project oat-zero
"""
MATH_COLUMNS = "--input_key problem --output_key answer --max-train 9999999 --num_prompt_epoch 20"
PUBLISHED = {
    "readme": f"""{MATH_COLUMNS} --pretrain Qwen/Qwen2.5-Math-1.5B --prompt_template r1
        --zero-stage 2 --prompt_data ./datasets/train/math_12k
        --mini_train_batch_size_per_device 1 --wb-run-name qwen2.5-Math-1.5b-r1-zero""",
    "qwen2.5-math-1.5b": f"""{MATH_COLUMNS} --pretrain Qwen/Qwen2.5-Math-1.5B
        --prompt_template qwen_math --zero-stage 2 --prompt_data ./datasets/train/math_12k
        --wb-run-name qwen2.5-Math-1.5b-drgrpo-qwenmathtemplate""",
    "qwen2.5-math-7b": f"""{MATH_COLUMNS} --pretrain Qwen/Qwen2.5-Math-7B --prompt_template qwen_math
        --verifier_version math_verify --zero-stage 2
        --prompt_data ./datasets/train/math_lvl3to5_8k
        --wb-run-name qwen2.5-Math-7b-drgrpo-qwenmathtemplate""",
    "qwen2.5-7b": """--pretrain Qwen/Qwen2.5-7B --prompt_template r1 --zero-stage 2
        --prompt_data all@open-r1/Big-Math-RL-Verified-Processed --input_key prompt
        --output_key solution --max-train 999999 --num_prompt_epoch 999 --eval_output_key answer
        --wb-run-name qwen2.5_7b-big_math-drgrpo""",
    "llama3.2-3b-numinaqa": f"""{MATH_COLUMNS} --pretrain lkevinzc/Llama-3.2-3B-NuminaQA
        --prompt_template r1 --zero-stage 3 --prompt_data ./datasets/train/math_12k
        --kl_penalty_coef 0 --non_stop_fixed_reward 0 --sync_params_every 1 --max_step_adjustment 8
        --save_from 50 --max_save_num 999999 --max_save_mem 99999999
        --mini_train_batch_size_per_device 1 --wb-run-name llama3.2-3b-drgrpo-r1template""",
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_command_lines_parse_unchanged(name: str):
    args = parse((PUBLISHED_COMMON + PUBLISHED[name]).split())
    assert args.cluster.gpus == 8
    assert args.model.flash_attn and args.model.gradient_checkpointing
    assert args.model.pretrain in PUBLISHED[name]
    assert args.optim.learning_rate == 1e-6
    assert args.optim.train_batch_size_per_device == 1
    assert args.evaluation.eval_input_key == "input"
    assert args.tracking.use_wb
    assert args.run.rnd_seed


@pytest.mark.parametrize(
    ("recipe", "name"),
    [
        ("qwen2.5-math-1.5b", "readme"),
        ("qwen2.5-math-7b", "qwen2.5-math-7b"),
        ("llama3.2-3b", "llama3.2-3b-numinaqa"),
    ],
)
def test_recipes_train_with_the_published_hyperparameters(recipe: str, name: str):
    ours = parse(["--config", str(REPOSITORY / "examples" / "zero" / f"{recipe}.toml")])
    published = parse((PUBLISHED_COMMON + PUBLISHED[name]).split())
    data = replace(ours.data, prompt_data=f"./{ours.data.prompt_data}", max_train=9999999)
    if name == "llama3.2-3b-numinaqa":
        assert ours.checkpoint.save_from == published.checkpoint.save_from
    assert data == published.data
    assert ours.cluster == published.cluster
    assert ours.model == published.model
    assert ours.sampling == published.sampling
    assert replace(ours.optim, ref_offload=True) == published.optim
    assert ours.algorithm == published.algorithm
    assert ours.evaluation.eval_steps == published.evaluation.eval_steps
    if name == "qwen2.5-math-7b":
        assert ours.grading == published.grading


def test_oats_name_of_a_flag_is_ours(tmp_path: Path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('verifier_version = "math_verify"')
    for argv in (
        ["--verifier_version", "math_verify"],
        ["--verifier-version=math_verify"],
        ["--preset", "math_verify"],
        ["--config", str(recipe)],
    ):
        assert parse(argv).grading.preset == "math_verify"


def test_dashes_underscores_and_equals_signs_are_alike():
    expected = parse(["--max_tokens_per_micro_batch", "64", "--non_stop_fixed_reward", "-1"])
    for argv in (
        ["--max-tokens-per-micro-batch", "64", "--non-stop-fixed-reward", "-1"],
        ["--max-tokens_per-micro_batch=64", "--non_stop_fixed-reward=-1"],
    ):
        args = parse(argv)
        assert args.optim == expected.optim
        assert args.reward == expected.reward
    assert not parse(["--no-enable-prefix_caching"]).sampling.enable_prefix_caching


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["--num-sampels", "4"], "unknown flag --num-sampels; the nearest is --num_samples"),
        (["--zerostage=2"], "unknown flag --zerostage; the nearest is --zero_stage"),
        (["--no_gpus"], "unknown flag --no_gpus; the nearest is --gpus"),
        (["recipe.toml"], "unexpected 'recipe.toml'; a recipe is given by --config recipe.toml"),
        (["--config", "no.toml"], "--config no.toml cannot be read: No such file or directory"),
    ],
)
def test_a_wrong_flag_is_refused_in_one_line(refusal: Refusal, argv: list[str], line: str):
    assert refusal(*argv) == f"train_zero_math.py: {line}"


@pytest.mark.parametrize(
    ("argv", "parts"),
    [
        (["--num_samples", "many"], ["--num-samples", "many"]),
        (["--zero_stage", "7"], ["--zero-stage", "'7'", "'0', '1', '2', '3'"]),
        (["--gpus"], ["--gpus", "Missing value"]),
    ],
)
def test_a_wrong_value_is_refused_in_one_line(refusal: Refusal, argv: list[str], parts: list[str]):
    message = refusal(*argv)
    assert message.startswith("train_zero_math.py: ") and "\n" not in message
    assert all(part in message for part in parts)


def test_flags_override_the_recipe_and_the_recipe_overrides_the_defaults(tmp_path: Path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('top-k = 4\nlearning_rate = 1\nbf16 = true\nprompt_template = "no"\n')
    args = parse(["--config", str(recipe), "--top_k", "16", "--no-bf16"])
    assert args.sampling.top_k == 16
    assert args.optim.learning_rate == 1.0 and isinstance(args.optim.learning_rate, float)
    assert args.data.prompt_template == "no"
    assert not args.model.bf16
    assert args.sampling.rollout_batch_size == SamplingArgs().rollout_batch_size
    assert args.run.config == str(recipe)


@pytest.mark.parametrize(
    ("toml", "reason"),
    [
        ("num_sampels = 4", "unknown key num_sampels; the nearest is num_samples"),
        ('num_samples = "4"', "num_samples must be an integer, got '4'"),
        ("num_samples = 4.5", "num_samples must be an integer, got 4.5"),
        ("num_samples = true", "num_samples must be an integer, got True"),
        ("bf16 = 1", "bf16 must be true or false, got 1"),
        ("beta = true", "beta must be a number, got True"),
        ("prompt_data = 3", "prompt_data must be a string, got 3"),
        ("eval_batch_size = 1.0", "eval_batch_size must be an integer, got 1.0"),
        ("zero_stage = 7", "zero_stage must be one of 0, 1, 2, 3, got 7"),
        (
            'backup = "median"',
            "backup must be one of mean, visit_weighted, terminal_only, none, got 'median'",
        ),
        ("zero_stage = true", "zero_stage must be one of 0, 1, 2, 3, got True"),
        ("[sampling]\nnum_samples = 4", "[sampling] is a table; recipes are flat, a flag a line"),
        ('config = "other.toml"', "config belongs on the command line, not in a recipe"),
    ],
)
def test_a_wrong_recipe_is_refused_in_one_line(
    refusal: Refusal, tmp_path: Path, toml: str, reason: str
):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(toml)
    assert refusal("--config", str(recipe)) == f"train_zero_math.py: {recipe}: {reason}"


def test_a_recipe_that_is_no_toml_is_refused(refusal: Refusal, tmp_path: Path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("num_samples: 4")
    assert f"--config {recipe} is no TOML" in refusal("--config", str(recipe))


@pytest.mark.parametrize("name", PUBLISHED)
def test_config_toml_reproduces_the_flags(tmp_path: Path, name: str):
    args = parse((PUBLISHED_COMMON + PUBLISHED[name]).split())
    recipe = tmp_path / "config.toml"
    recipe.write_text(to_toml(args))
    again = parse(["--config", str(recipe), "--save_path", args.run.save_path])
    expected = replace(args.run, config=str(recipe), rnd_seed=False)
    assert again == replace(args, run=expected)


@given(
    name=st.text(st.characters(codec="utf-8")),
    gap=st.floats(min_value=0, allow_infinity=False),
    steps=st.integers(1, 2**63 - 1),
)
def test_config_toml_keeps_any_value(tmp_path_factory, name: str, gap: float, steps: int):
    args = replace(
        Args(),
        tracking=TrackingArgs(wb_run_name=name),
        alarm=replace(Args().alarm, max_logprob_gap=gap),
        run=replace(Args().run, max_steps=steps),
    )
    recipe = tmp_path_factory.mktemp("recipe") / "config.toml"
    recipe.write_text(to_toml(args), encoding="utf-8")
    assert read_recipe(recipe, Args()) == args


def test_each_used_legacy_flag_is_told_once():
    args = parse(["--eval_batch_size", "200", "--pi_buffer_maxlen_per_device", "128"])
    lines = describe(args)
    assert "--eval_batch_size changes nothing here: evaluation streams like training" in lines
    assert [line.split()[0] for line in lines] == [
        "--pi_buffer_maxlen_per_device",
        "--eval_batch_size",
    ]
    assert describe(parse([])) == []


def test_reward_flags_that_a_users_oracle_overrides_are_told():
    flags = ["--format_reward", "0.5", "--non_stop_fixed_reward", "-1"]
    assert describe(parse(flags)) == []
    (line,) = describe(parse([*flags, "--oracle", "mine:Oracle"]))
    assert (
        line == "--format_reward changes nothing here: --oracle mine:Oracle gives its own rewards"
    )


def test_what_searches_do_not_read_is_said():
    flags = "--method sbs --search_oracle monte_carlo --eval_n 4 --eval_temperature 0.5".split()
    lines = describe(parse(flags))
    assert [line.split()[0] for line in lines] == ["--eval_n", "--eval_temperature"]
    assert all("--method sbs searches" in line for line in lines)


def test_every_legacy_flag_has_its_reason():
    assert set(LEGACY_REASONS) == {field.name for field in fields(LegacyArgs)}


def test_a_drawn_seed_is_recorded_and_not_drawn_again(tmp_path: Path):
    args, other = parse(["--rnd-seed"]), parse(["--rnd-seed"])
    assert args.run.seed != other.run.seed
    assert f"--rnd_seed drew --seed {args.run.seed}" in describe(args)
    recipe = tmp_path / "config.toml"
    recipe.write_text(to_toml(args))
    assert parse(["--config", str(recipe)]).run.seed == args.run.seed


def test_the_bundled_model_is_found_from_anywhere(monkeypatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    assert parse([]).model.pretrain == str(REPOSITORY / "examples" / "tiny" / "model")
    assert parse(["--pretrain", "mine"]).model.pretrain == "mine"


def test_one_precision_follows_from_two_flags():
    assert parse([]).model.dtype == "float32"
    assert parse(["--bf16"]).model.dtype == "bfloat16"
    assert parse(["--fp16", "--gpus", "2"]).model.dtype == "float16"


def test_a_reference_offloaded_where_there_is_none_is_told(tmp_path: Path):
    offloaded = ["--gpus", "2", "--ref_offload"]
    (line,) = describe(parse(offloaded))
    assert line.startswith("--ref_offload changes nothing here")
    assert describe(parse([*offloaded, "--beta", "0.1"])) == []
    assert describe(parse([*offloaded, "--algo", "dpo"])) == []


def test_the_logprob_gate_follows_the_precision_unless_it_is_given(tmp_path: Path):
    assert parse([]).alarm.max_logprob_gap == Args().alarm.max_logprob_gap
    assert parse(["--bf16"]).alarm.max_logprob_gap == ROUNDED_LOGPROB_GAP
    assert parse(["--fp16", "--gpus", "2"]).alarm.max_logprob_gap == ROUNDED_LOGPROB_GAP
    assert parse(["--bf16", "--max_logprob_gap", "1e-4"]).alarm.max_logprob_gap == 1e-4
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("bf16 = true")
    assert parse(["--config", str(recipe)]).alarm.max_logprob_gap == ROUNDED_LOGPROB_GAP


def run_python(*argv: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *argv], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )


def test_help_may_be_cut_short():
    program = f"{sys.executable} {REPOSITORY / 'train_zero_math.py'}"
    command = f"set -o pipefail; {program} --help | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: ")


def test_help_is_fast_and_names_every_flag_with_its_default():
    started = time.monotonic()
    shown = run_python("-c", "from understand_r1_zero.cli import parse; parse(['--help'])")
    assert time.monotonic() - started < 2.0
    assert shown.returncode == 0
    text = " ".join(shown.stdout.replace("│", " ").split())
    defaults = Args()
    for owner in fields(Args):
        assert f"{owner.name.replace('_', '-')} options" in text
        for field in fields(getattr(defaults, owner.name)):
            flag = field.name.replace("_", "-")
            assert f"--{flag} " in text or f"--{flag}," in text
    assert text.count("(default:") == sum(
        len(fields(getattr(defaults, owner.name))) for owner in fields(Args)
    )


def test_the_command_line_loads_no_heavy_library():
    script = (
        "import sys; from understand_r1_zero.cli import parse; parse([]);"
        "from understand_r1_zero.dry_run import dry_run;"
        "print([m for m in ('torch', 'transformers', 'vllm', 'deepspeed', 'ray', 'datasets')"
        " if m in sys.modules])"
    )
    shown = run_python("-c", script)
    assert shown.stdout == "[]\n", shown.stderr
