"""Runs rounds: stage after stage, each a command of its own over files. What is done stays done.

    SAVE_PATH/
      rounds.toml             the recipe, flags of the command line put in
      rounds.jsonl            one finished stage a line: what it made, how long it took, what it reached
      round_1/trees.toml      the flags of the stage "trees": a recipe of its command
      round_1/trees.jsonl     what it made; a directory for a stage that trains or evaluates

A round that was interrupted, wherever that was, goes on by the same command: finished stages are passed
over, the one that was under way goes on from its own file or checkpoint.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from understand_r1_zero.args import Args
from understand_r1_zero.checkpoint import latest_checkpoint
from understand_r1_zero.console import benchmarks_of, duration, table
from understand_r1_zero.data import RESERVED_NAME
from understand_r1_zero.interpreter.kernel import PR_SET_PDEATHSIG, prctl
from understand_r1_zero.interrupt import stop_on_signals
from understand_r1_zero.recipes import to_toml, toml_value, with_flags
from understand_r1_zero.run_directory import append_rows, read_rows, write_atomic
from understand_r1_zero.stages import (
    STAGES,
    Made,
    Stage,
    base_of,
    check_stages,
    inherited,
    own_flags,
    read_stages,
)
from understand_r1_zero.validate import validate
from understand_r1_zero.validate_collect import settle_collect
from understand_r1_zero.validate_search import check_training
from understand_r1_zero.values import VALUE_MODEL, trains_step_values

RECIPE, LEDGER = "rounds.toml", "rounds.jsonl"
INTERRUPTED = 130
_REPOSITORY = Path(__file__).resolve().parent.parent
_DIRECTORIES = ("train", "evaluate")
_POLL_S = 0.1


def find_rounds(resume: str) -> Path | None:
    """The recipe of the rounds in a directory that `--resume` names; None where it holds none."""
    path = Path(resume).expanduser() / RECIPE
    return path if resume and path.is_file() else None


def check_rounds(args: Args) -> None:
    """Refuse stages that cannot be, before any of them starts.

    Raises:
        ValueError: lines that each name the stage and what is wrong with it.
    """
    stages = _stages_of(args)
    check_stages(stages, args.run.rounds)
    made, errors = Made(), []
    for number, stage in _schedule(stages, args.run.rounds):
        try:
            flags = stage_args(stage, args, made, number)
            output = f"{{{stage.name}}}"
            _check_part(stage.run, flags, output)
        except ValueError as error:
            errors += [f"stage {stage.name} of round {number}: {e}" for e in str(error).split("\n")]
        else:
            # It is not there yet, and so nothing can be said of it.
            _note(made, stage, flags, output)
    if errors:
        raise ValueError("\n".join(errors))


def _check_part(part: str, flags: Args, output: str) -> None:
    """All that a part's command refuses."""
    flags = replace(flags, files=replace(flags.files, output=output if part != "train" else ""))
    if part == "collect":
        flags = settle_collect(flags)
    validate(flags)
    if part == "train":
        check_training(flags)
    elif part == "label":
        from understand_r1_zero.labels.checks import check_labels

        check_labels(flags)


def stage_args(stage: Stage, base: Args, made: Made, number: int) -> Args:
    """All flags of a stage, in a round, after what was made so far.

    Raises:
        ValueError: a flag of its own is not known, or has a value of the wrong type.
    """
    flags = own_flags(stage, base, made)
    return with_flags(inherited(base, stage, number), flags, f"stage {stage.name}")


def describe_rounds(args: Args) -> Iterator[str]:
    """Each stage of each round with its own flags, for `--dry_run`."""
    for number, stage in _schedule(_stages_of(args), args.run.rounds):
        flags = " ".join(f"--{name} {value}" for name, value in stage.flags.items())
        yield f"round {number}  {stage.name}: {stage.run} {flags}"


def run_rounds(args: Args) -> int:
    """Run every stage of every round that is not done yet; returns the exit status.

    Raises:
        ValueError: the directory holds rounds whose finished stages had other flags.
        RuntimeError: a stage ended with another status than 0.
    """
    directory, stages = Path(args.run.save_path), _stages_of(args)
    directory.mkdir(parents=True, exist_ok=True)
    if any(directory.iterdir()) and not (directory / RECIPE).is_file():
        raise ValueError(f"--save_path {directory} holds files of another run; choose another one")
    ledger, made = directory / LEDGER, Made()
    done = {(row["round"], row["stage"]): row for row in read_rows(ledger)}
    write_atomic(directory / RECIPE, to_toml(args, Args()) + _stages_toml(stages))
    with stop_on_signals() as should_stop:
        for number, stage in _schedule(stages, args.run.rounds):
            flags = stage_args(stage, args, made, number)
            recipe = to_toml(flags, base_of(stage.run))
            work = _Work.of(directory, number, stage)
            row = done.get((number, stage.name))
            if row is None:
                print(
                    f"\nround {number} of {args.run.rounds}, {stage.name}: {stage.run}", flush=True
                )
                row = work.run(recipe, should_stop)
                if row is None:
                    print(f"stopped; go on: python train_zero_math.py --resume {directory}")
                    return INTERRUPTED
                append_rows(ledger, [row])
            elif work.recipe.read_text(encoding="utf-8") != recipe:
                raise ValueError(
                    f"stage {stage.name} of round {number} is done, with other flags ({work.recipe}); "
                    "give it these again, or choose another --save_path"
                )
            _note(made, stage, flags, row["output"])
    for line in summary_lines(read_rows(ledger)):
        print(line)
    return 0


@dataclass(frozen=True)
class _Work:
    """One stage in one round: its recipe, its output, and the command that makes it."""

    number: int
    stage: Stage
    recipe: Path
    output: Path
    logs: Path

    @staticmethod
    def of(directory: Path, number: int, stage: Stage) -> "_Work":
        home = directory / f"round_{number}"
        is_directory = stage.run in _DIRECTORIES
        suffix = "" if is_directory else ".json" if stage.run == "verify" else ".jsonl"
        output = home / f"{stage.name}{suffix}"
        return _Work(number, stage, home / f"{stage.name}.toml", output, home / stage.name)

    def run(self, recipe: str, should_stop: threading.Event) -> dict[str, Any] | None:
        """The ledger's row of the finished stage; None where it was asked to stop."""
        self.recipe.parent.mkdir(exist_ok=True)
        write_atomic(self.recipe, recipe)
        started_s = time.monotonic()
        status = run_command(self.command(), should_stop)
        if should_stop.is_set():
            return None
        if status:
            raise RuntimeError(
                f"stage {self.stage.name} of round {self.number} ended with status {status}; mend "
                f"it, and go on: python train_zero_math.py --resume {self.recipe.parent.parent}"
            )
        made = latest_checkpoint(self.output) if self.stage.run == "train" else self.output
        return {
            "round": self.number,
            "stage": self.stage.name,
            "run": self.stage.run,
            "output": str(made),
            "seconds": round(time.monotonic() - started_s, 1),
            "reached": reached(self.stage.run, self.output),
        }

    def command(self) -> list[str]:
        """The program and its flags; a stage that was under way goes on where it can."""
        train = str(_REPOSITORY / "train_zero_math.py")
        if self.stage.run == "train" and latest_checkpoint(self.output):
            return [train, "--resume", str(self.output)]
        if self.stage.run in _DIRECTORIES:
            shutil.rmtree(self.output, ignore_errors=True)
        flags = ["--config", str(self.recipe), "--save_path", str(self.logs)]
        if self.stage.run == "train":
            return [train, *flags]
        if self.stage.run != "evaluate":
            flags += ["--output", str(self.output)]
        return ["-m", "understand_r1_zero", self.stage.run, *flags]


def run_command(argv: Sequence[str], should_stop: threading.Event) -> int:
    """Run one of our programs to its end and return its status; asked to stop, it is told so once.

    It ends with this process, however that goes. Ctrl-C reaches it through us alone, since a second one
    would end it at once.
    """
    path = os.pathsep.join(filter(None, (str(_REPOSITORY), os.environ.get("PYTHONPATH"))))
    child = subprocess.Popen(
        [sys.executable, *argv],
        env=os.environ | {"PYTHONPATH": path},
        start_new_session=True,
        preexec_fn=_end_with_parent,
    )
    try:
        while child.poll() is None and not should_stop.wait(_POLL_S):
            pass
        if child.poll() is None:
            child.send_signal(signal.SIGINT)
        return child.wait()
    finally:
        if child.poll() is None:
            child.send_signal(signal.SIGINT)
            child.wait()


def _end_with_parent() -> None:
    prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def reached(part: str, output: Path) -> dict[str, Any]:
    """Accuracy, with its interval, by benchmark: `before` and `after` training, or once, of an evaluation."""
    if part == "train":
        rows = [row for row in read_rows(output / "metrics.jsonl") if _accuracies(row)]
        return {"before": _accuracies(rows[0]), "after": _accuracies(rows[-1])} if rows else {}
    if part == "evaluate":
        return {"after": _evaluated(output)}
    return {}


def _accuracies(row: Mapping[str, Any]) -> dict[str, list[float]]:
    keys = {name: f"eval/{name}/accuracy" for name in benchmarks_of(row) if name != RESERVED_NAME}
    return {
        name: [row[key], row.get(f"{key}_low", row[key]), row.get(f"{key}_high", row[key])]
        for name, key in keys.items()
    }


def _evaluated(output: Path) -> dict[str, list[float]]:
    found = {}
    for file in sorted((output / "eval_results").glob("*.json")):
        record = json.loads(file.read_text(encoding="utf-8"))
        score = record["score"]
        names = ("accuracy", "accuracy_low", "accuracy_high")
        found[record["benchmark"]] = [score[name] for name in names]
    return found


def summary_lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line a finished stage: its time, and accuracy before and after where it was evaluated."""
    shown = [["round", "stage", "", "time", "benchmark", "before", "after", "95% interval"]]
    for row in rows:
        head = [str(row["round"]), row["stage"], row["run"], duration(row["seconds"])]
        before, after = row["reached"].get("before", {}), row["reached"].get("after", {})
        for name, (mean, low, high) in after.items():
            old = f"{before[name][0]:.3f}" if name in before else ""
            shown.append([*head, name, old, f"{mean:.3f}", f"{low:.3f}-{high:.3f}"])
            head = [""] * 4
        if not after:
            shown.append([*head, "", "", "", ""])
    return ["", *table(shown)]


def _stages_of(args: Args) -> list[Stage]:
    stages = read_stages(Path(args.run.config).expanduser()) if args.run.config else []
    if not stages:
        raise ValueError(
            f"--rounds {args.run.rounds} needs a recipe with [[{STAGES}]], got --config "
            f"{args.run.config or '(none)'}; see docs/rounds.md"
        )
    return stages


def _schedule(stages: Sequence[Stage], num_rounds: int) -> Iterator[tuple[int, Stage]]:
    """Every stage of every round, in order."""
    for number in range(1, num_rounds + 1):
        yield from ((number, stage) for stage in stages if stage.is_in(number))


def _note(made: Made, stage: Stage, flags: Args, output: str) -> None:
    """Remember what a stage has made, and which models are now the newest."""
    made.outputs[stage.name] = output
    if stage.run != "train":
        return
    value_alone = flags.algorithm.algo == "value" and not flags.value.value_joint
    if value_alone:
        made.value_model = output
        return
    made.policy = output
    if trains_step_values(flags):
        made.value_model = str(Path(output) / VALUE_MODEL)


def _stages_toml(stages: Sequence[Stage]) -> str:
    tables = [
        "\n".join(
            (f"[[{STAGES}]]", *(f"{key} = {toml_value(value)}" for key, value in s.table.items()))
        )
        for s in stages
    ]
    return "\n" + "\n\n".join(tables) + "\n"
