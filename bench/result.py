"""What a benchmark found: a ratio, everything it was computed from, and whether it is good enough."""

import json
import os
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Result:
    """A ratio measured in pairs on one machine, each pair taken as close in time as possible.

    Args:
        name: of the benchmark.
        unit: of the samples.
        ours, theirs: one sample of each side a pair; for a share of time, the part and the whole.
        target: what the ratio must reach; `is_share` turns it into what it must not exceed.
        details: whatever else helps to judge the ratio.
    """

    name: str
    unit: str
    ours: Sequence[float]
    theirs: Sequence[float]
    target: float
    is_share: bool = False
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ratios(self) -> list[float]:
        """Ours over theirs of each pair."""
        return [ours / theirs for ours, theirs in zip(self.ours, self.theirs, strict=True)]

    @property
    def figure(self) -> float:
        """The median of the ratios: a disturbance that hits a few pairs does not move it."""
        return statistics.median(self.ratios)

    @property
    def spread(self) -> tuple[float, float]:
        """First and third quartile of the ratios."""
        if len(self.ratios) == 1:
            return self.figure, self.figure
        first, _, third = statistics.quantiles(self.ratios, n=4, method="inclusive")
        return first, third

    @property
    def is_met(self) -> bool:
        """Whether the figure is as good as its target."""
        return self.figure <= self.target if self.is_share else self.figure >= self.target

    def to_dict(self, command: str) -> dict[str, Any]:
        """Everything, for a file."""
        return {
            "benchmark": self.name,
            "figure": self.figure,
            "spread": self.spread,
            "target": self.target,
            "target_is": "at most" if self.is_share else "at least",
            "is_met": self.is_met,
            "unit": self.unit,
            "ours": list(self.ours),
            "theirs": list(self.theirs),
            "command": command,
            "cores": len(os.sched_getaffinity(0)),
            **self.details,
        }

    def write(self, folder: Path, command: str) -> None:
        """Write `<name>.json` into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.to_dict(command), indent=2)
        (folder / f"{self.name}.json").write_text(f"{text}\n", encoding="utf-8")


def table(results: Iterable[Result]) -> str:
    """One line a benchmark: medians of both sides, ratio, quartiles, target."""
    rows = [("benchmark", "ours", "theirs", "", "ratio", "quartiles", "target", "")]
    for result in results:
        low, high = result.spread
        rows.append(
            (
                result.name,
                _short(statistics.median(result.ours)),
                _short(statistics.median(result.theirs)),
                result.unit,
                f"{result.figure:.3f}",
                f"{low:.3f}-{high:.3f}",
                f"{'<=' if result.is_share else '>='} {result.target:g}",
                "met" if result.is_met else "MISSED",
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join(lines)


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
