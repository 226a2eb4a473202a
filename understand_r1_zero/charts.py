"""How a chart of a run looks: lines with their last value beside them, no legend, no frame.

matplotlib is imported where it draws, through its object interface: no display, no global state.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 100
_WIDTH_IN = 8.0
_COLORS = ("#2f6db3", "#d1603d", "#3a8f6b", "#8a5aa8", "#b58a1b", "#4fa3b8", "#a8456b", "#6b6b6b")
INK = "#222222"
FAINT_INK, GRID = "#767676", "#e6e6e6"
_LABEL_HEIGHT_PX = 17
_SMOOTH_FROM = 50
"""Points from which a moving average is drawn over the raw values."""
_MAX_BANDS = 3
"""Lines in one panel that can each have an interval band."""

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Line:
    """One metric over the steps that have it.

    `interval` holds its lower and upper bounds, if any; `color` is the chart's choice when empty.
    """

    label: str
    steps: np.ndarray
    values: np.ndarray
    interval: tuple[np.ndarray, np.ndarray] | None = None
    color: str = ""


@dataclass(frozen=True, slots=True)
class Label:
    """Text that belongs at a height of the data, in the colour of what it names."""

    text: str
    height: float
    color: str


def line_of(rows: Rows, key: str, label: str) -> Line:
    """The values of a key over steps; rows without it (or null: NaN) are left out."""
    found = [(row["step"], row[key]) for row in rows if row.get(key) is not None]
    steps, values = np.array(found, dtype=np.float64).reshape(-1, 2).T
    return Line(label, steps, values)


def interval_line_of(rows: Rows, key: str, label: str) -> Line:
    """As `line_of`, with the interval of `{key}_low` and `{key}_high` where every row has it."""
    line = line_of(rows, key, label)
    low, high = line_of(rows, f"{key}_low", ""), line_of(rows, f"{key}_high", "")
    if not len(line.steps) == len(low.steps) == len(high.steps):
        return line
    return replace(line, interval=(low.values, high.values))


def smooth(values: np.ndarray) -> np.ndarray:
    """Centred moving average over a fifteenth of the run, over what there is at the ends."""
    half = max(len(values) // 30, 2)
    total = np.concatenate([[0.0], np.cumsum(values)])
    first = np.maximum(np.arange(len(values)) - half, 0)
    last = np.minimum(np.arange(len(values)) + half + 1, len(values))
    return (total[last] - total[first]) / (last - first)


def new_figure(num_panels: int = 1) -> "tuple[Figure, list[Axes]]":
    """A white figure, 800 pixels wide, with panels one above the other over the same steps."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    height_in = 4.5 if num_panels == 1 else 1.0 + 2.5 * num_panels
    figure = Figure(figsize=(_WIDTH_IN, height_in), facecolor="white")
    FigureCanvasAgg(figure)
    panels = figure.subplots(num_panels, 1, sharex=True, squeeze=False)[:, 0]
    figure.subplots_adjust(
        left=0.09, right=0.74, top=1 - 0.72 / height_in, bottom=0.55 / height_in, hspace=0.42
    )
    panels[-1].set_xlabel("step")
    return figure, list(panels)


def draw_lines(axes: "Axes", lines: Sequence[Line], number: Callable[[float], str]) -> list[Label]:
    """Draw lines, smoothed over the raw values when long; `number` writes the last raw value.

    Returns the lines' labels, for `finish`.
    """
    from matplotlib.ticker import FuncFormatter

    labels = []
    for place, (line, color) in enumerate(zip(lines, colors(len(lines)), strict=True)):
        color = line.color or color
        last = float(line.values[-1])
        if line.interval and len(lines) <= _MAX_BANDS and len(line.steps) > 1:
            axes.fill_between(line.steps, *line.interval, color=color, alpha=0.13, lw=0)
        elif line.interval:
            # Many bands would hide each other: the last interval alone, beside the line's end.
            step = line.steps[-1] + 0.012 * (place + 1) * np.ptp(line.steps)
            low, high = line.interval
            axes.vlines(step, low[-1], high[-1], color=color, lw=1.4)
        if len(line.values) < _SMOOTH_FROM:
            axes.plot(line.steps, line.values, color=color, lw=1.8, marker="o", ms=3.5)
        else:
            axes.plot(line.steps, line.values, color=color, alpha=0.3, lw=0.8)
            axes.plot(line.steps, smooth(line.values), color=color, lw=1.8)
        labels.append(Label(f"{line.label} {number(last)}".strip(), last, color))
    axes.margins(x=0.02, y=0.08)
    # matplotlib's own formatter would write a common factor where the subtitle stands.
    axes.yaxis.set_major_formatter(FuncFormatter(lambda height, _: f"{height:g}"))
    return labels


def use_log_heights(axes: "Axes") -> None:
    """Logarithmic heights with few, plain ticks."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axes.set_yscale("log")
    low, high = axes.get_ylim()
    if high < 2 * low:
        low, high = low / 2, high * 2
        axes.set_ylim(low, high)
    subs = (1.0,) if high > 100 * low else (1.0, 2.0, 5.0)
    axes.yaxis.set_major_locator(LogLocator(subs=subs, numticks=8))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda height, _: f"{height:.0e}"))


def finish(axes: "Axes", title: str, subtitle: str, labels: Sequence[Label]) -> None:
    """Style a panel whose limits are final, with its title above and labels at the right."""
    from matplotlib.ticker import MaxNLocator

    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(FAINT_INK)
    axes.tick_params(colors=FAINT_INK, length=0, labelsize=10)
    axes.tick_params(axis="x", length=3)
    axes.grid(axis="y", color=GRID, lw=0.8)
    axes.set_axisbelow(True)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, steps=[1, 2, 5, 10]))
    axes.xaxis.label.set(color=FAINT_INK, size=10)
    above = {"xy": (0, 1), "xycoords": "axes fraction", "textcoords": "offset points"}
    axes.annotate(title, xytext=(0, 25), color=INK, size=13, weight="bold", **above)
    axes.annotate(subtitle, xytext=(0, 9), color=FAINT_INK, size=10, **above)
    low, high = axes.get_xlim()
    if high - low < 1:
        axes.set_xlim(low - 0.6, high + 0.6)
    axes.get_ylim()  # limits are computed when asked for, and transData alone does not ask
    heights = [
        axes.transAxes.inverted().transform(axes.transData.transform((0, label.height)))[1]
        for label in labels
    ]
    gap = _LABEL_HEIGHT_PX / axes.get_window_extent().height
    for label, height in zip(labels, spread(heights, gap), strict=True):
        axes.annotate(
            label.text,
            (1.02, height),
            xycoords="axes fraction",
            va="center",
            size=10.5,
            color=label.color,
            annotation_clip=False,
        )


def colors(num_colors: int) -> list[str]:
    """Colours that stay apart, repeated when there are too few."""
    return [_COLORS[i % len(_COLORS)] for i in range(num_colors)]


def spread(heights: Sequence[float], gap: float) -> list[float]:
    """Move heights (axes fractions) until neighbours are `gap` apart, within 0 and 1 if they fit."""
    order = sorted(range(len(heights)), key=lambda i: heights[i])
    moved = [max(heights[i], 0.0) for i in order]
    for i in range(1, len(moved)):
        moved[i] = max(moved[i], moved[i - 1] + gap)
    limit = 1.0
    for i in reversed(range(len(moved))):
        moved[i] = min(moved[i], limit)
        limit = moved[i] - gap
    result = [0.0] * len(heights)
    for place, height in zip(order, moved, strict=True):
        result[place] = height
    return result
