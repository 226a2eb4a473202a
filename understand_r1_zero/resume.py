"""Which checkpoint a run continues from, and which flags may not change when it does."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from understand_r1_zero.args import Args
from understand_r1_zero.checkpoint import complete_checkpoints, latest_checkpoint
from understand_r1_zero.plan import process_counts
from understand_r1_zero.run_directory import RUNS

_FIXED = {
    "model.pretrain": "the weights come from the checkpoint",
    "model.bf16": "the optimizer's state is of that precision",
    "model.fp16": "the optimizer's state is of that precision",
    "optim.zero_stage": "the optimizer's state is cut by that stage",
    "optim.adam_offload": "the optimizer's state is laid out for it",
    "lora.lora_rank": "the checkpoint's adapters are of that rank",
    "lora.lora_alpha": "the checkpoint's adapters were trained under that scale",
    "lora.lora_targets": "the checkpoint's adapters are in those layers",
    "run.seed": "the order of the problems follows from it",
    "evaluation.holdout": "what is held out was not trained on",
    "data.prompt_data": "the position in the data would point elsewhere",
    "data.train_split": "the position in the data would point elsewhere",
    "data.max_train": "the position in the data would point elsewhere",
    "data.prompt_max_length": "the position in the data would point elsewhere",
    "data.prompt_template": "the position in the data would point elsewhere",
}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A complete checkpoint and the run directory it lies in."""

    run_directory: Path
    checkpoint: Path


def find_checkpoint(resume: str, save_path: str = "") -> Checkpoint:
    """The checkpoint `--resume` means.

    `latest` is the newest checkpoint of the run in `save_path`, or of the runs below it (below
    runs/ when empty); a run directory means its newest; a checkpoint directory means itself. A
    checkpoint is complete when it is called `step_N` (checkpoint.py). Raises ValueError when
    there is none, or when `save_path` is another run than the path's: a run goes on where it is.
    """
    if resume == "latest":
        root = Path(save_path or RUNS)
        found = _newest([root, *sorted(root.glob("*/"))])
        where = f"in {root} or the runs below it"
    else:
        found, where = _at(Path(resume).expanduser()), f"in {resume}"
    if found is None:
        raise ValueError(
            f"--resume {resume}: no complete checkpoint (checkpoints/step_N beside config.toml) "
            f"{where}; give a run directory, or start anew without --resume"
        )
    is_elsewhere = save_path and Path(save_path).resolve() != found.run_directory.resolve()
    if resume != "latest" and is_elsewhere:
        raise ValueError(
            f"--save_path must be left out or be {found.run_directory} with --resume {resume}, got "
            f"{save_path}; to begin a new run there, give the checkpoint as --pretrain"
        )
    return found


def refuse_changes(before: Args, after: Args) -> None:
    """Raise ValueError, one line a flag, for changes that the checkpoint's state cannot follow."""
    errors = []
    for place, reason in _FIXED.items():
        old, new = _value(before, place), _value(after, place)
        if old != new:
            name = place.partition(".")[2]
            errors.append(
                f"--{name} must stay {old} when a run is resumed, got {new}: {reason}; start a "
                "new run instead (--pretrain takes a checkpoint)"
            )
    old, new = process_counts(before)[1], process_counts(after)[1]
    if old != new:
        errors.append(
            f"--num_learners must stay {old} when a run is resumed, got {new} (from --gpus, "
            "--collocate and --num_learners): the optimizer's state is cut into that many parts; "
            "start a new run instead (--pretrain takes a checkpoint)"
        )
    if errors:
        raise ValueError("\n".join(errors))


def _at(path: Path) -> Checkpoint | None:
    """The checkpoint at a path, or the newest of the run there."""
    run = path.parent.parent
    if _is_run(run) and path in complete_checkpoints(path.parent):
        return Checkpoint(run, path)
    return _newest([path])


def _newest(run_directories: Sequence[Path]) -> Checkpoint | None:
    """The last step of the run whose newest checkpoint was written last."""
    last_steps = [
        Checkpoint(run, latest)
        for run in run_directories
        if _is_run(run) and (latest := latest_checkpoint(run))
    ]
    return max(last_steps, key=lambda found: found.checkpoint.stat().st_mtime_ns, default=None)


def _is_run(path: Path) -> bool:
    return (path / "config.toml").is_file()


def _value(args: Args, place: str) -> Any:
    owner, _, name = place.partition(".")
    return getattr(getattr(args, owner), name)
