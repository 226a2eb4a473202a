"""The comparison of verifiers as a table, a JSON object and a picture."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from understand_r1_zero.charts import FAINT_INK, INK, Line, colors, draw_lines, finish, new_figure
from understand_r1_zero.console import table
from understand_r1_zero.search.verifiers import Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PANELS = {
    "best": ("Best of n", "the solution of the highest value"),
    "weighted": ("Weighted votes", "the answer with the highest sum of values"),
}
_LETTER = 0.011
"""Width of a label's letter, as a share of the figure's."""
_MAX_LINES = 14
"""Of a panel: its labels have no more room."""


def table_lines(rows: Sequence[Row]) -> list[str]:
    """Accuracy for each n, the interval at the largest, and the difference to SC there with its interval."""
    sizes = list(rows[0].accuracy)
    most = sizes[-1]
    lines = [["accuracy", *(f"n={n}" for n in sizes), "95% interval", "over SC", "95% interval"]]
    for row in rows:
        last, over = row.accuracy[most], row.over_sc
        difference = ["", ""]
        if over is not None and row.vote != "pass":
            difference = [f"{over.mean:+.3f}", f"{over.low:+.3f} to {over.high:+.3f}"]
        lines.append(
            [
                row.name,
                *(f"{row.accuracy[n].mean:.3f}" for n in sizes),
                f"{last.low:.3f}-{last.high:.3f}",
                *difference,
            ]
        )
    return table(lines)


def to_json(rows: Sequence[Row], facts: Mapping[str, Any]) -> dict[str, Any]:
    """`facts`, and all rows: `accuracy` by n and `over_sc`, each with `mean`, `low` and `high`."""
    return {
        **facts,
        "rows": [
            {
                "name": row.name,
                "vote": row.vote,
                "verifier": row.score and row.score.verifier,
                "aggregate": row.score and row.score.aggregate,
                "accuracy": {str(n): asdict(found) for n, found in row.accuracy.items()},
                "over_sc": row.over_sc and asdict(row.over_sc),
            }
            for row in rows
        ],
    }


def draw(rows: Sequence[Row]) -> "Figure":
    """Accuracy over n: a panel for the best of n and one for weighted votes, with SC and pass@n in both.

    Without verifiers there is one panel of SC and pass@n. A panel shows at most 14 lines.
    """
    kinds = [kind for kind in _PANELS if any(row.vote == kind for row in rows)] or [""]
    figure, panels = new_figure(len(kinds))
    sizes = list(rows[0].accuracy)
    longest = max(len(row.name) for row in rows) + len(" 0.000")
    figure.subplots_adjust(right=max(min(0.74, 0.98 - _LETTER * longest), 0.4))
    for axes, kind in zip(panels, kinds, strict=True):
        chosen = [row for row in rows if row.vote in ("pass", "maj", kind)][:_MAX_LINES]
        scored = sum(row.score is not None for row in chosen)
        shades = iter(colors(scored))
        lines = [
            _line(row, {"pass": FAINT_INK, "maj": INK}.get(row.vote) or next(shades))
            for row in chosen
        ]
        labels = draw_lines(axes, lines, "{:.3f}".format)
        title, subtitle = _PANELS.get(kind, ("Votes", "the commonest answer"))
        finish(axes, title, f"{subtitle}; with bootstrap 95% intervals", labels)
        axes.set_xticks(np.log2(sizes), labels=[str(n) for n in sizes])
        axes.tick_params(labelbottom=True)
    panels[-1].set_xlabel("n, sampled solutions of a question")
    return figure


def _line(row: Row, color: str) -> Line:
    found = list(row.accuracy.values())
    low, high = (np.array([getattr(each, end) for each in found]) for end in ("low", "high"))
    means = np.array([each.mean for each in found])
    return Line(row.name, np.log2(list(row.accuracy)), means, (low, high), color)
