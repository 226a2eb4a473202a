"""The run in pictures, drawn from metrics.jsonl alone; `python -m understand_r1_zero plots DIR`."""

import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from understand_r1_zero.charts import (
    DPI,
    INK,
    Label,
    Line,
    Rows,
    colors,
    draw_lines,
    finish,
    interval_line_of,
    line_of,
    new_figure,
    use_log_heights,
)
from understand_r1_zero.console import duration, phase_seconds, small
from understand_r1_zero.run_directory import disk_errors_explained, read_rows, write_atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MISMATCH = "Log-prob mismatch"
_MAX_BINS = 100
"""Bars of the time plot: longer runs show means over several steps."""
_PHASES = ("collect", "update", "publish", "evaluate", "save")
"""The phases of a step in their order, from the bottom of the time plot; others come above."""


def draw_plots(run_directory: Path) -> list[Path]:
    """Draw plots/*.png of a run and return the files; a plot without data is left out.

    Raises:
        ValueError: the directory has no metrics.jsonl with a row in it.
    """
    rows = read_rows(run_directory / "metrics.jsonl")
    if not rows:
        raise ValueError(f"{run_directory} has no metrics.jsonl with a row to draw")
    plots: dict[str, Callable[[Rows], Figure | None]] = {
        "reward": reward_plot,
        "accuracy": accuracy_plot,
        "held_out": held_out_plot,
        "response_length": response_length_plot,
        "truncation": truncation_plot,
        "logprobs": logprob_plot,
        "time": time_plot,
    }
    folder = run_directory / "plots"
    with disk_errors_explained(folder):
        folder.mkdir(exist_ok=True)
    files = []
    for name, plot in plots.items():
        figure = plot(rows)
        if figure is not None:
            image = io.BytesIO()
            figure.savefig(image, format="png", dpi=DPI)
            write_atomic(folder / f"{name}.png", image.getvalue())
            files.append(folder / f"{name}.png")
    return files


def reward_plot(rows: Rows) -> "Figure | None":
    """Mean reward of each training batch."""
    lines = _drawable([line_of(rows, "actor/rewards", "reward")])
    if not lines:
        return None
    figure, (axes,) = new_figure()
    labels = draw_lines(axes, lines, "{:.3f}".format)
    finish(axes, "Reward", "mean over the responses of a batch", labels)
    return figure


def accuracy_plot(rows: Rows) -> "Figure | None":
    """Accuracy of each benchmark with its interval, and their average when there are several."""
    keys = [key for row in rows for key in row if key.startswith("eval/")]
    names = [key.split("/")[1] for key in dict.fromkeys(keys) if key.endswith("/accuracy")]
    if len(names) == 2:
        names.remove("average")
    lines = [interval_line_of(rows, f"eval/{name}/accuracy", name) for name in names]
    lines = [replace(line, color=INK) if line.label == "average" else line for line in lines]
    lines = _drawable(lines)
    if not lines:
        return None
    figure, (axes,) = new_figure()
    labels = draw_lines(axes, lines, "{:.3f}".format)
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, 0.0), min(high, 1.02))
    finish(axes, "Accuracy", "of each benchmark, with bootstrap 95% intervals", labels)
    return figure


def held_out_plot(rows: Rows) -> "Figure | None":
    """Loss of held-out examples, beside the training loss, and how often they are told apart."""
    losses = [
        [line_of(rows, held_out, "held out"), line_of(rows, training, "training")]
        for held_out, training in (
            ("eval/sft_loss", "train/sft_loss"),
            ("eval/value_loss", "train/value_loss"),
            ("eval/preference_loss", "train/loss_mean"),
        )
    ]
    shares = [
        [line_of(rows, "eval/value_auc", "AUC")],
        [line_of(rows, "eval/preference_accuracy", "accuracy")],
        [line_of(rows, "eval/value_accuracy", "accuracy of values")],
    ]
    panels = [
        (lines, title, subtitle)
        for group, title, subtitle in (
            (losses, "Held-out loss", "of examples that are not trained on"),
            (shares, "Held out, told apart", "share of right and wrong ordered rightly"),
        )
        for lines in group
        if len(lines[0].steps)
    ]
    if not panels:
        return None
    figure, all_axes = new_figure(len(panels))
    for axes, (lines, title, subtitle) in zip(all_axes, panels, strict=True):
        finish(axes, title, subtitle, draw_lines(axes, _drawable(lines), "{:.3f}".format))
    return figure


def response_length_plot(rows: Rows) -> "Figure | None":
    """Mean response length of each training batch."""
    lines = _drawable([line_of(rows, "actor/response_tok_len", "")])
    if not lines:
        return None
    figure, (axes,) = new_figure()
    labels = draw_lines(axes, lines, "{:.0f} tokens".format)
    finish(axes, "Response length", "mean tokens of the responses of a batch", labels)
    return figure


def truncation_plot(rows: Rows) -> "Figure | None":
    """Shares of truncated responses and of responses without a readable answer."""
    from matplotlib.ticker import FuncFormatter

    shares = [
        {
            "step": row["step"],
            "truncated": row["actor/no_eos_count"] / row["actor/num_data"],
            "unparsable": row.get("actor/unparsable"),
        }
        for row in rows
        if row.get("actor/no_eos_count") is not None and row.get("actor/num_data")
    ]
    lines = [line_of(shares, "truncated", "truncated"), line_of(shares, "unparsable", "no answer")]
    lines = _drawable(lines)
    if not lines:
        return None
    figure, (axes,) = new_figure()
    labels = draw_lines(axes, lines, "{:.1%}".format)
    axes.set_ylim(0, max(axes.get_ylim()[1], 0.02))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g}%"))
    subtitle = "share of responses cut at the length limit, and without a readable answer"
    finish(axes, "Truncation", subtitle, labels)
    return figure


def logprob_plot(rows: Rows) -> "Figure | None":
    """KL to the reference, KL between sampler and learner, and their mean log-prob gap."""
    candidates = [
        ("train/kl3", "KL to the reference", "k3 estimate, nats a response", "KL"),
        ("train/kl_sample_train_v1", "KL sampler to learner", "k1 estimate, nats a token", "KL"),
        ("train/logprob_gap_mean", _MISMATCH, "mean |sampler - learner|, nats a token", "gap"),
    ]
    panels = [
        (line, title, subtitle)
        for key, title, subtitle, label in candidates
        if len((line := line_of(rows, key, label)).steps)
    ]
    if not panels:
        return None
    figure, all_axes = new_figure(len(panels))
    for axes, (line, title, subtitle) in zip(all_axes, panels, strict=True):
        labels = draw_lines(axes, [line], small)
        if title == _MISMATCH and np.all(line.values > 0):
            use_log_heights(axes)
        finish(axes, title, subtitle, labels)
    return figure


def time_plot(rows: Rows) -> "Figure | None":
    """Seconds a step, stacked by phase; what comes before the first step is left out."""
    rows = [row for row in rows if row["step"] > 0 and row.get("time/step_s") is not None]
    if not rows:
        return None
    totals = phase_seconds(rows)
    phases = [phase for phase in _PHASES if phase in totals]
    phases += sorted(totals.keys() - set(phases), key=lambda phase: -totals[phase])
    by_row = [phase_seconds([row]) for row in rows]
    seconds = np.array([[row.get(phase, 0.0) for row in by_row] for phase in phases])
    starts = np.linspace(0, len(rows), min(len(rows), _MAX_BINS), endpoint=False).astype(int)
    means = np.add.reduceat(seconds, starts, axis=1) / np.diff([*starts, len(rows)])
    edges = np.array([rows[i]["step"] - 0.5 for i in starts] + [rows[-1]["step"] + 0.5])
    figure, (axes,) = new_figure()
    base = np.zeros(len(starts))
    labels = []
    for phase, mean, color in zip(phases, means, colors(len(phases)), strict=True):
        axes.stairs(base + mean, edges, baseline=base, fill=True, color=color)
        share = totals[phase] / sum(totals.values())
        labels.append(Label(f"{phase} {share:.0%}", float(base[-1] + mean[-1] / 2), color))
        base = base + mean
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(0, float(base.max()) * 1.05)
    subtitle = f"seconds a step, by phase; {duration(sum(totals.values()))} in all"
    finish(axes, "Time", subtitle, labels)
    return figure


def _drawable(lines: Sequence[Line]) -> list[Line]:
    return [line for line in lines if len(line.steps)]
