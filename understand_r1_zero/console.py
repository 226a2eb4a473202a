"""What the user sees: a progress bar, one line a step, evaluation tables, warnings, a summary."""

import math
import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from tqdm import tqdm

from understand_r1_zero.scoring import BenchmarkScore, average

LOSSES = ("train/pg_loss", "train/loss_mean", "train/value_loss", "train/sft_loss")
"""Of the objectives, the one that is trained first: with `--value_joint` there are two."""
_REFRESH_S = 0.1
_YELLOW, _PLAIN = "\033[33m", "\033[0m"


class Console:
    """Prints a run. On a terminal a bar stays below the lines; elsewhere lines carry the ETA.

    Steps are counted to `total_steps`; a resumed run starts at `first_step`. Everything goes to
    `stream` (standard output), so that bar and lines never mix.
    """

    def __init__(self, total_steps: int, first_step: int = 0, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._total_steps = total_steps
        self._first_step = first_step
        self._is_terminal = self._stream.isatty()
        self._has_color = self._is_terminal and not os.environ.get("NO_COLOR")
        self._start_s = time.monotonic()
        self._refreshed_s = 0.0
        self._bar = tqdm(
            total=total_steps,
            initial=first_step,
            file=self._stream,
            disable=not self._is_terminal,
            dynamic_ncols=True,
            leave=False,
            bar_format="{percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt} steps, "
            "{elapsed} passed, {remaining} left{postfix}",
        )

    def note(self, text: str) -> None:
        """Print a line."""
        self._bar.write(text, file=self._stream)
        self._stream.flush()

    def warn(self, text: str) -> None:
        """Print one line that stands out; line breaks in `text` become blanks."""
        line = f"warning: {' '.join(text.split())}"
        self.note(f"{_YELLOW}{line}{_PLAIN}" if self._has_color else line)

    def progress(self, phase: str, done: int, total: int) -> None:
        """Show beside the bar how far the current phase is; nothing without a terminal."""
        now_s = time.monotonic()
        if now_s - self._refreshed_s >= _REFRESH_S or done == total:
            self._refreshed_s = now_s
            self._bar.set_postfix_str(f"{phase} {done}/{total}" if done < total else "")

    def begin(self) -> None:
        """Start the clock of the ETA here, after start-up and the first evaluation."""
        self._start_s = time.monotonic()
        self._bar.unpause()

    def step(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Print a finished step's line and advance the bar to it."""
        # A terminal that does not know its width says 0.
        width = os.get_terminal_size(self._stream.fileno()).columns if self._is_terminal else 0
        line = step_line(step, self._total_steps, metrics, width or None)
        if not self._is_terminal:
            line += f" | eta {duration(self._eta_s(step))}"
        self.note(line)
        self._bar.update(step - self._bar.n)

    def evaluation(self, step: int, scores: Mapping[str, BenchmarkScore]) -> None:
        """Print an evaluation's table."""
        self.note("\n".join(evaluation_lines(f"evaluation, step {step}", scores)))

    def held_out(self, step: int, metrics: Mapping[str, float]) -> None:
        """Print what held-out examples cost the policy."""
        shown = ", ".join(f"{key.removeprefix('eval/')} {figure(metrics[key])}" for key in metrics)
        self.note(f"held out, step {step}: {shown}")

    def close(self) -> None:
        """Remove the bar; lines can still be printed."""
        self._bar.close()

    def _eta_s(self, step: int) -> float:
        num_done = max(step - self._first_step, 1)
        return (time.monotonic() - self._start_s) / num_done * (self._total_steps - step)


def step_line(
    step: int, total_steps: int, metrics: Mapping[str, Any], width: int | None = None
) -> str:
    """One step in one line, without the least important fields where it exceeds `width` columns.

    `kl` is the KL to the reference model (`train/kl3`, nats a response) where there is one; `gap`
    the mean `|sampler - learner|` log-prob (nats a token) otherwise. A metric that is missing is left out.
    """
    loss = next((key for key in LOSSES if key in metrics), LOSSES[0])
    has_reference = metrics.get("train/kl3") is not None
    # (rank of importance, name, key, formatter): the highest ranks go first when space is short.
    fields = [
        (1, "reward", "actor/rewards", "{:.3f}".format),
        (6, "acc", "actor/correct", "{:.3f}".format),
        (2, "len", "actor/response_tok_len", "{:.0f} tok".format),
        (3, "loss", loss, "{:+.4f}".format),
        (5, "kl", "train/kl3", small)
        if has_reference
        else (5, "gap", "train/logprob_gap_mean", small),
        (4, "collect", "time/collect_s", duration),
        (4, "update", "time/update_s", duration),
        (7, "publish", "time/publish_s", duration),
    ]
    head = f"step {step:>{len(str(total_steps))}}/{total_steps}"
    shown = [
        (rank, f"{name} {text(value)}")
        for rank, name, key, text in fields
        if (value := metrics.get(key)) is not None
    ]
    while True:
        line = " | ".join([head, *(text for _, text in shown)])
        if width is None or len(line) <= width or not shown:
            return line
        shown.remove(max(shown, key=lambda field: field[0]))


def evaluation_lines(title: str, scores: Mapping[str, BenchmarkScore]) -> list[str]:
    """A table: a benchmark a line, and their unweighted average when there are several."""
    header = [title, "problems", "accuracy", "95% interval"]
    num_samples = max((score.num_samples for score in scores.values()), default=1)
    best = [f"pass@{num_samples}", f"maj@{num_samples}"] if num_samples > 1 else []
    rest = ["response_tok_len", "truncated", "unparsable"]
    rows = [[*header, *best, "tokens", "truncated", "no answer"]]
    for benchmark, score in scores.items():
        accuracy = score.accuracy
        means = {name: estimate.mean for name, estimate in score.estimates.items()}
        interval = f"{accuracy.low:.3f}-{accuracy.high:.3f}"
        start = [f"  {benchmark}", str(score.num_problems), f"{accuracy.mean:.3f}", interval]
        rows.append(start + [_cell(name, means.get(name)) for name in [*best, *rest]])
    if len(scores) > 1:
        means = average(scores)
        start = ["  average", "", _cell("accuracy", means["accuracy"]), ""]
        rows.append(start + [_cell(name, means.get(name)) for name in [*best, *rest]])
    return table(rows)


def summary_lines(
    rows: Sequence[Mapping[str, Any]], paths: Mapping[str, str], commands: Mapping[str, str]
) -> list[str]:
    """The end of a run, told from the rows of its metrics.jsonl, so that a resumed run is whole.

    Accuracy before and after for each benchmark, the time of each phase, then `paths` and
    `commands` by name.
    """
    evaluations = [row for row in rows if any(key.startswith("eval/") for key in row)]
    lines = []
    if evaluations:
        ends = evaluations[0], evaluations[-1]
        for part in (_accuracy_lines(*ends), _held_out_lines(*ends)):
            lines += ["", *part] if part else []
    lines += ["", *_time_lines(rows)]
    width = max(map(len, [*paths, *commands]), default=0)
    for entries in (paths, commands):
        lines += ["", *(f"{name:<{width}}  {text}" for name, text in entries.items())]
    return lines


def small(value: float) -> str:
    """Four decimals, or one digit and its exponent for what they would show as zero."""
    return f"{value:.0e}" if 0 < abs(value) < 1e-4 else f"{value:.4f}"


def figure(value: float) -> str:
    """Three decimals, or the integer that it is: a loss, an accuracy, a count."""
    return f"{value:.0f}" if value.is_integer() and abs(value) > 1 else f"{value:.3f}"


def duration(seconds: float) -> str:
    """`0.04s`, `12.3s`, `2m 05s` or `3h 07m`."""
    if not math.isfinite(seconds):
        return "?"
    if seconds < 100:
        return f"{seconds:.2f}s" if seconds < 0.1 else f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 100:
        return f"{minutes}m {rest:02}s"
    return f"{minutes // 60}h {minutes % 60:02}m"


def benchmarks_of(row: Mapping[str, Any]) -> list[str]:
    """The benchmarks whose accuracy a row of metrics has, their average among them."""
    prefix, suffix = "eval/", "/accuracy"
    return [
        key.removeprefix(prefix).removesuffix(suffix)
        for key in row
        if key.startswith(prefix) and key.endswith(suffix)
    ]


def _accuracy_lines(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    benchmarks = benchmarks_of(after)
    if not benchmarks:
        return []
    # The average repeats a single benchmark.
    benchmarks = benchmarks[:1] if len(benchmarks) == 2 else benchmarks
    rows = [["accuracy", f"step {before['step']}", "95% interval", ""]]
    rows[0] += [f"step {after['step']}", "95% interval"]
    for benchmark in benchmarks:
        old, new = (_accuracy_cells(row, f"eval/{benchmark}/accuracy") for row in (before, after))
        rows.append([f"  {benchmark}", *old, "->", *new])
    return table(rows)


def _held_out_lines(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Metrics of held-out examples, which have no benchmark in their name."""
    keys = [key for key in after if key.startswith("eval/") and key.count("/") == 1]
    if not keys:
        return []
    rows = [["held out", f"step {before['step']}", "", f"step {after['step']}"]]
    for key in keys:
        old, new = (_figure_or_dash(row.get(key)) for row in (before, after))
        rows.append([f"  {key.removeprefix('eval/')}", old, "->", new])
    return table(rows)


def _figure_or_dash(value: float | None) -> str:
    return "-" if value is None else figure(value)


def _accuracy_cells(row: Mapping[str, Any], key: str) -> list[str]:
    low, high = row.get(f"{key}_low"), row.get(f"{key}_high")
    interval = "" if low is None or high is None else f"{low:.3f}-{high:.3f}"
    return [_cell("accuracy", row.get(key)), interval]


def _time_lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    phases = phase_seconds(rows)
    total_s = sum(phases.values())
    num_steps = max((row["step"] for row in rows), default=0)
    shares = [
        [f"  {phase}", duration(seconds), f"{seconds / total_s:.0%}"]
        for phase, seconds in sorted(phases.items(), key=lambda item: -item[1])
    ]
    return table([[f"time, {num_steps} steps", duration(total_s), ""], *shares])


def phase_seconds(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Seconds per phase over all rows; `other` is what `time/step_s` holds beyond the phases."""
    totals: dict[str, float] = {}
    for row in rows:
        for key, value in row.items():
            if key.startswith("time/") and key.endswith("_s") and value is not None:
                phase = key.removeprefix("time/").removesuffix("_s")
                totals[phase] = totals.get(phase, 0.0) + value
    step_s = totals.pop("step", 0.0)
    other_s = step_s - sum(totals.values())
    return totals | ({"other": other_s} if other_s > 0 else {})


def _cell(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    if name in ("truncated", "unparsable"):
        return f"{value:.1%}"
    return f"{value:.0f}" if name == "response_tok_len" else f"{value:.3f}"


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns two blanks apart: the first flush left, the others flush right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if index == 0 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
