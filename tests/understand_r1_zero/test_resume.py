"""Continuing a run: which checkpoint, whose flags, and what may not change."""

from collections.abc import Callable
from pathlib import Path

import pytest

from understand_r1_zero import checkpoint
from understand_r1_zero.args import Args
from understand_r1_zero.cli import describe, parse
from understand_r1_zero.recipes import read_recipe, to_toml

Refusal = Callable[..., str]


def write_run(path: Path, *flags: str, steps: tuple[str, ...] = ()) -> Path:
    """A run directory as training leaves it: its flags and its checkpoints."""
    path.mkdir(parents=True)
    (path / "config.toml").write_text(to_toml(parse([*flags, "--save_path", str(path)])))
    for step in steps:
        (path / "checkpoints" / step).mkdir(parents=True)
    return path


def test_resume_takes_the_runs_flags_and_lets_flags_override(tmp_path: Path):
    run = write_run(tmp_path / "run", "--top_k", "16", "--max_steps", "5", steps=("step_5",))
    args = parse(["--resume", str(run), "--max_steps", "10"])
    assert args.sampling.top_k == 16
    assert args.run.max_steps == 10
    assert args.run.save_path == str(run)
    assert args.run.resume == str(run / "checkpoints" / "step_5")


def test_resume_keeps_the_drawn_seed_when_the_command_line_is_repeated(tmp_path: Path):
    run = write_run(tmp_path / "run", "--rnd-seed", steps=("step_5",))
    seed = read_recipe(run / "config.toml", Args()).run.seed
    args = parse(["--rnd-seed", "--resume", str(run)])
    assert args.run.seed == seed
    assert not args.run.rnd_seed


def test_resume_does_not_read_the_recipe_again(tmp_path: Path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("top_k = 16")
    flags = ["--config", str(recipe), "--eval_steps", "7"]
    run = write_run(tmp_path / "run", *flags, steps=("step_5",))
    recipe.write_text("top_k = 32")
    args = parse(["--config", str(recipe), "--resume", str(run)])
    assert args.sampling.top_k == 16
    assert args.evaluation.eval_steps == 7
    assert any("--config is not read" in line for line in describe(args))


def test_resume_finds_the_newest_complete_checkpoint(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "runs" / "b", steps=("step_30",))
    newest = write_run(tmp_path / "runs" / "a", steps=("step_9", "step_10", "step_11.tmp", "x"))
    write_run(tmp_path / "runs" / "c")
    expected = newest / "checkpoints" / "step_10"
    expected.touch()
    for argv in (["latest"], ["latest", "--save_path", "runs"], ["runs/a"]):
        args = parse(["--resume", *argv])
        assert Path(args.run.resume).resolve() == expected
        assert Path(args.run.save_path).resolve() == newest


def test_resume_of_a_named_checkpoint(tmp_path: Path):
    run = write_run(tmp_path / "run", steps=("step_5", "step_10"))
    checkpoint = run / "checkpoints" / "step_5"
    assert parse(["--resume", str(checkpoint)]).run.save_path == str(run)
    assert parse(["--resume", str(run)]).run.resume == str(run / "checkpoints" / "step_10")


def test_a_run_goes_on_where_it_is(refusal: Refusal, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = write_run(tmp_path / "run", steps=("step_5",))
    assert parse(["--resume", str(run), "--save_path", "run"]).run.save_path == str(run)
    message = refusal("--resume", str(run), "--save_path", "other")
    assert "--save_path must be left out" in message and "\n" not in message


@pytest.mark.parametrize("steps", [(), ("step_5.tmp",), (".step_5",)])
def test_resume_never_picks_up_a_half_written_checkpoint(
    refusal: Refusal, tmp_path: Path, steps: tuple[str, ...]
):
    run = write_run(tmp_path / "run", steps=steps)
    message = refusal("--resume", str(run))
    assert "no complete checkpoint" in message and str(run) in message


@pytest.mark.parametrize(
    "change",
    [
        "--zero_stage 1",
        "--num_learners 2",
        "--pretrain other",
        "--seed 1",
        "--holdout 0.1 --algo sft --sft_data a.jsonl",
        "--prompt_data gsm8k.jsonl",
        "--bf16",
        "--fp16 --gpus 0",
    ],
)
def test_resume_refuses_what_the_checkpoint_cannot_follow(
    refusal: Refusal, tmp_path: Path, change: str
):
    run = write_run(tmp_path / "run", steps=("step_5",))
    message = refusal("--resume", str(run), *change.split())
    assert f"{change.split()[0]} must stay" in message and "\n" not in message


def test_the_learners_checkpoints_are_found_once_they_are_complete(
    refusal: Refusal, tmp_path: Path
):
    run = write_run(tmp_path / "run")
    partial = checkpoint.begin(run / "checkpoints", 3)
    assert "no complete checkpoint" in refusal("--resume", str(run))
    final = checkpoint.complete(partial)
    assert parse(["--resume", str(run)]).run.resume == str(final)
