"""The curves of `bench.algorithms`: a panel a kind, two beside each other."""

import math
from collections.abc import Mapping
from pathlib import Path

from bench.algorithm_kinds import CORRECT, KINDS, Run
from understand_r1_zero.charts import DPI, draw_lines, finish, line_of

_PANEL_IN = (6.8, 3.2)
_COLUMNS = 2


def draw_curves(runs: Mapping[str, Run], path: Path) -> None:
    """Draw what each variant has learned over steps; a kind without a run is left out.

    Panels of correct samples have the same heights, so that lines can be compared across them.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    kinds = [kind for kind in KINDS if any(name in runs for name in kind.variants)]
    num_rows = math.ceil(len(kinds) / _COLUMNS)
    width_in, height_in = _PANEL_IN[0] * _COLUMNS, _PANEL_IN[1] * num_rows
    figure = Figure(figsize=(width_in, height_in), facecolor="white")
    FigureCanvasAgg(figure)
    panels = figure.subplots(num_rows, _COLUMNS, squeeze=False).flat
    figure.subplots_adjust(
        left=0.04,
        right=0.84,
        top=1 - 0.7 / height_in,
        bottom=0.45 / height_in,
        wspace=0.68,
        hspace=0.5,
    )
    for axes in panels[len(kinds) :]:
        axes.set_visible(False)
    for axes, kind in zip(panels, kinds, strict=False):
        lines = [
            line_of(runs[name].rows, kind.curve, name) for name in kind.variants if name in runs
        ]
        labels = draw_lines(axes, lines, "{:.2f}".format)
        if kind.curve == CORRECT:
            axes.set_ylim(0, 1.02)
        finish(axes, kind.title, f"{kind.subtitle}, over steps", labels)
    figure.savefig(path, dpi=DPI)
