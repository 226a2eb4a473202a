"""Everything a run tells: its console, metrics.jsonl, samples, evaluations, wandb and plots."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from understand_r1_zero.alarms import Alarms
from understand_r1_zero.args import Args
from understand_r1_zero.console import Console, summary_lines
from understand_r1_zero.evaluate import Evaluation
from understand_r1_zero.grader_report import GraderReport
from understand_r1_zero.metrics import Timer
from understand_r1_zero.plots import draw_plots
from understand_r1_zero.run_directory import RunDirectory
from understand_r1_zero.scoring import evaluation_metrics
from understand_r1_zero.tracking import Tracker
from understand_r1_zero.types import Group


class Recorder:
    """Writes each step once to every place; a context manager that closes them.

    `console` prints, `timer` holds the seconds of each phase since the last row. A resumed run goes
    on after `first_step`.
    """

    def __init__(self, args: Args, run: RunDirectory, num_steps: int, first_step: int) -> None:
        self.console = Console(num_steps, first_step)
        self.timer = Timer()
        self._args = args
        self._run = run
        self._started_s = time.perf_counter()
        self._alarms = Alarms(args.alarm)
        self._grader = GraderReport(args, run, self.console.warn)
        self._tracker = Tracker(args.tracking, run, asdict(args), self.console.warn)

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(self, error_type: type[BaseException] | None, *_: object) -> None:
        self.console.close()
        self._tracker.finish(exit_code=0 if error_type is None else 1)

    def evaluation(self, step: int, evaluations: Mapping[str, Evaluation]) -> dict[str, float]:
        """Print and store an evaluation; returns its metrics for the step's row."""
        scores = {name: evaluation.score for name, evaluation in evaluations.items()}
        self.console.evaluation(step, scores)
        return evaluation_metrics(scores) | self._grader.store_evaluations(step, evaluations)

    def row(self, step: int, metrics: Mapping[str, float]) -> None:
        """Store one step's metrics, with the seconds since this process began."""
        elapsed_s = time.perf_counter() - self._started_s
        metrics = {**metrics, "misc/global_step": float(step), "misc/elapse": elapsed_s}
        self._run.append_metrics(step, metrics)
        self._tracker.log(step, metrics)

    def step(self, step: int, groups: Sequence[Group], metrics: Mapping[str, float]) -> None:
        """Store and print a trained step, with a warning for each thing that looks wrong."""
        if groups:
            self._run.write_samples(step, groups, self._grader.conventions)
        self.row(step, metrics)
        self.console.step(step, metrics)
        told = [warning for group in groups for warning in group.warnings]
        for warning in (*told, *self._alarms.check(step, metrics)):
            self.console.warn(warning)
        self._grader.add(step, groups)

    def summary(self, model: Path | None) -> None:
        """Draw the plots; print what the run amounts to and what can be done with it."""
        draw_plots(self._run.path)
        self.console.close()
        paths = {"run": str(self._run.path), "plots": str(self._run.plots)}
        if self._tracker.location:
            paths["wandb"] = self._tracker.location
        commands = {}
        if model is not None:
            paths["model"] = str(model)
            commands["resume"] = (
                f"python train_zero_math.py --resume {self._run.path} --max_steps N"
            )
            commands["evaluate"] = (
                f"python -m understand_r1_zero evaluate --config {self._run.config} "
                f"--pretrain {model}"
            )
        for line in summary_lines(self._run.read_metrics(), paths, commands):
            self.console.note(line)
