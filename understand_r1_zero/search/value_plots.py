"""What the values of steps say of right and wrong solutions, in pictures: Q and V at each step."""

import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from understand_r1_zero.charts import FAINT_INK, GRID, INK, colors
from understand_r1_zero.run_directory import disk_errors_explained, write_atomic
from understand_r1_zero.search.tree import SearchTree

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DPI = 200
"""Enough for print at the width of a page."""
_WIDTH_IN, _PANEL_HEIGHT_IN, _COLUMNS = 8.0, 1.65, 3
_MAX_PANELS = 12
_NUM_BINS = 20


@dataclass(frozen=True, slots=True)
class StepEntry:
    """A step of one graded solution; `q` is None where no simulation passed, `v` where nothing valued it."""

    depth: int
    is_right: bool
    q: float | None
    v: float | None


def step_entries(trees: Iterable[SearchTree], *, with_finals: bool = False) -> list[StepEntry]:
    """One entry for each solution with a reward and each step of it, right where the reward is above 0.

    A step that leads to several solutions has an entry for each: one that leads to right and wrong ones is
    among both, as often as it leads there. A step without a graded solution has none. The solution's last
    step is left out, whose value in training is the reward itself, unless `with_finals`.

    Source: AlphaMath, Chen et al. 2024, arXiv:2405.03553, figures of its README: training data without final
    steps, test data with them.
    """
    entries = []
    for tree in trees:
        for number in tree.finals():
            reward = tree.nodes[number].reward
            if reward is None:
                continue
            way = tree.way(number)
            entries += [
                StepEntry(node.depth, reward > 0, node.mean() if node.visits else None, node.value)
                for node in (way if with_finals else way[:-1])
            ]
    return entries


def draw_value_plots(
    trees: Iterable[SearchTree], out: Path, *, with_finals: bool = False
) -> list[Path]:
    """Draw `q_by_step.png` and `v_by_step.png` into a folder and return the files.

    A picture without a value to draw is left out.

    Raises:
        ValueError: no step of a graded solution has a value.
    """
    entries = step_entries(trees, with_finals=with_finals)
    pictures = {
        "q_by_step.png": (
            "Q of steps",
            "mean of what simulations brought up",
            [(e.depth, e.is_right, e.q) for e in entries if e.q is not None],
        ),
        "v_by_step.png": (
            "V of steps",
            "the oracle's own value",
            [(e.depth, e.is_right, e.v) for e in entries if e.v is not None],
        ),
    }
    if not any(points for *_, points in pictures.values()):
        raise ValueError(
            "there is nothing to draw: no step of a solution with a reward has a value; grade the "
            "answers first, or take final steps in"
        )
    files = []
    for name, (title, meaning, points) in pictures.items():
        if points:
            image = io.BytesIO()
            value_figure(points, title, meaning).savefig(image, format="png", dpi=_DPI)
            with disk_errors_explained(out):
                out.mkdir(parents=True, exist_ok=True)
                write_atomic(out / name, image.getvalue())
            files.append(out / name)
    return files


def value_figure(points: Sequence[tuple[int, bool, float]], title: str, meaning: str) -> "Figure":
    """Histograms of values at (depth, is right, value): a panel for all steps, then one for each depth.

    Bars are shares of the right, or of the wrong: the bars of each sum to 1. Triangles stand at the means. Where
    there are more depths than panels the last one holds the rest.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    depths = np.array([depth for depth, _, _ in points])
    is_right = np.array([right for _, right, _ in points])
    values = np.array([value for _, _, value in points])
    panels = [("all steps", np.full(len(points), True)), *_depth_panels(depths)]
    num_rows = math.ceil(len(panels) / _COLUMNS)
    height_in = 1.45 + _PANEL_HEIGHT_IN * num_rows
    figure = Figure(figsize=(_WIDTH_IN, height_in), facecolor="white")
    FigureCanvasAgg(figure)
    grid = figure.subplots(num_rows, _COLUMNS, sharex=True, squeeze=False).ravel()
    figure.subplots_adjust(
        left=0.075,
        right=0.985,
        top=1 - 1.0 / height_in,
        bottom=0.45 / height_in,
        hspace=0.52,
        wspace=0.2,
    )
    low = min(-1.0 if values.min() < 0 else 0.0, values.min())
    edges = np.linspace(low, max(1.0, values.max()), _NUM_BINS + 1)
    for axes, (name, chosen) in zip(grid, panels, strict=False):
        _draw_panel(axes, edges, values[chosen & is_right], values[chosen & ~is_right], name)
    _style(figure, grid, len(panels), title, meaning)
    return figure


def _depth_panels(depths: np.ndarray) -> list[tuple[str, np.ndarray]]:
    found = sorted(set(depths.tolist()))
    alone, rest = found[: _MAX_PANELS - 1], found[_MAX_PANELS - 1 :]
    if rest:
        alone, rest = alone[:-1], [alone[-1], *rest]
    panels = [(f"step {depth}", depths == depth) for depth in alone]
    return [*panels, (f"steps {rest[0]} to {rest[-1]}", depths >= rest[0])] if rest else panels


def _draw_panel(
    axes: "Axes", edges: np.ndarray, right: np.ndarray, wrong: np.ndarray, name: str
) -> None:
    for values, is_right in ((right, True), (wrong, False)):
        if len(values):
            shares = np.histogram(values, edges)[0] / len(values)
            axes.stairs(shares, edges, **_look(is_right))
            axes.plot(
                values.mean(),
                0.95,
                marker="v",
                ms=6,
                color=_color(is_right),
                mfc=_color(is_right) if is_right else "white",
                transform=axes.get_xaxis_transform(),
            )
    axes.set_ylim(0, 1.2 * axes.dataLim.ymax)
    axes.set_title(name, loc="left", size=10, color=INK, weight="bold", pad=5)
    counts = f"{len(right):,} right, {len(wrong):,} wrong"
    axes.set_title(counts, loc="right", size=8, color=FAINT_INK, pad=5)


def _color(is_right: bool) -> str:
    return colors(2)[0 if is_right else 1]


def _look(is_right: bool) -> dict[str, Any]:
    """Apart in colour, and in print without: the right filled, the wrong hatched under a broken line."""
    from matplotlib.colors import to_rgba

    color = _color(is_right)
    if is_right:
        return {"fill": True, "facecolor": to_rgba(color, 0.35), "edgecolor": color, "lw": 1.4}
    return {
        "fill": True,
        "facecolor": "none",
        "edgecolor": color,
        "hatch": "////",
        "lw": 1.4,
        "ls": "--",
    }


def _style(figure: "Figure", grid: np.ndarray, num_panels: int, title: str, meaning: str) -> None:
    from matplotlib.patches import Patch
    from matplotlib.ticker import PercentFormatter

    for axes in grid:
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.spines["bottom"].set_color(FAINT_INK)
        axes.tick_params(colors=FAINT_INK, length=0, labelsize=8)
        axes.tick_params(axis="x", length=3)
        axes.grid(axis="y", color=GRID, lw=0.8)
        axes.set_axisbelow(True)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    for place, axes in enumerate(grid[:num_panels]):
        axes.tick_params(labelbottom=place + _COLUMNS >= num_panels)
    for axes in grid[num_panels:]:
        axes.set_visible(False)
    height_in = figure.get_figheight()
    figure.text(0.02, 1 - 0.32 / height_in, title, size=13, weight="bold", color=INK)
    subtitle = f"{meaning}; one entry for each graded solution and step of it; triangles: means"
    figure.text(0.02, 1 - 0.56 / height_in, subtitle, size=9, color=FAINT_INK)
    figure.legend(
        [Patch(**_look(True)), Patch(**_look(False))],
        ["of right solutions", "of wrong solutions"],
        loc="upper right",
        bbox_to_anchor=(0.99, 1 - 0.08 / height_in),
        frameon=False,
        fontsize=9,
        labelcolor=INK,
        ncols=2,
    )
