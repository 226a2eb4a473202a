"""What graded completions amount to: statistics of each row, kept small, and the tables of a summary."""

import re
from array import array
from collections import Counter
from collections.abc import Sequence

import numpy as np

from understand_r1_zero.console import table
from understand_r1_zero.scoring import Estimate, Outcome, estimates, problem_statistics
from understand_r1_zero.types import Status

LISTED_VALUES = 50
LISTED_RANGES = 20
LISTED_REASONS = 10
VOTES = ("pass", "maj", "best", "weighted")


class Tally:
    """Collects one row after another: a few numbers of each, whatever its responses' length.

    `sizes` are the k of pass@k and the votes, none above the smallest number of responses of a row.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        self.num_rows = 0
        self.statuses: Counter[Status] = Counter()
        self.unknown: list[int] = []
        self.has_negative_scores = False
        self._sizes = sizes
        self._names: list[str] = []
        self._values = array("d")
        self._groups: dict[str, int] = {}
        self._group_of = array("q")

    def add(self, row: int, outcome: Outcome, group: str) -> None:
        """Count a graded row; one with an `UNKNOWN` verdict counts in the statuses only."""
        self.num_rows += 1
        self.statuses.update(outcome.statuses)
        self.has_negative_scores |= min(outcome.scores, default=0.0) < 0
        if Status.UNKNOWN in outcome.statuses:
            self.unknown.append(row)
            return
        statistics = problem_statistics(outcome, self._sizes)
        self._names = list(statistics)
        self._values.extend(statistics.values())
        self._group_of.append(self._groups.setdefault(group, len(self._groups)))

    @property
    def num_known(self) -> int:
        """Rows that the statistics are over."""
        return len(self._group_of)

    @property
    def share_correct(self) -> float:
        """Of all responses so far."""
        return self.statuses[Status.CORRECT] / max(self.statuses.total(), 1)

    def estimates(self) -> dict[str, Estimate]:
        """The mean of every statistic over the known rows, of which there must be one."""
        return estimates(self._names, self._matrix())

    def by_group(self, num_groups: int) -> dict[str, tuple[int, dict[str, Estimate]]]:
        """Number of known rows and means of the first groups, in the order in which people count."""
        matrix, codes = self._matrix(), np.array(self._group_of)
        found = {}
        for name in sorted(self._groups, key=_natural)[:num_groups]:
            rows = matrix[codes == self._groups[name]]
            found[name] = (len(rows), estimates(self._names, rows))
        return found

    @property
    def num_groups(self) -> int:
        """Different values of the column."""
        return len(self._groups)

    def _matrix(self) -> np.ndarray:
        return np.array(self._values).reshape(self.num_known, len(self._names))


def summary_lines(tally: Tally, avg_name: str, by: str) -> list[str]:
    """The tables: means with 95% intervals, statuses, unknown gold answers, and by a column's values."""
    lines: list[str] = []
    if tally.num_known:
        lines += _mean_lines(tally, avg_name)
    lines += ["", *_status_lines(tally)]
    if tally.unknown:
        rows = f"{len(tally.unknown):,} of {count(tally.num_rows, 'row')} (counted from 0)"
        lines += ["", f"gold answers that cannot be read: {rows}, left out of all means"]
        lines.append(f"  {row_ranges(tally.unknown)}")
    if by and tally.num_known:
        lines += ["", *_group_lines(tally, by)]
    return lines


def bad_row_lines(bad: Sequence[tuple[int, str]]) -> list[str]:
    """Skipped rows by reason, the most frequent first."""
    by_reason: dict[str, list[int]] = {}
    for row, reason in bad:
        by_reason.setdefault(reason, []).append(row)
    ordered = sorted(by_reason.items(), key=lambda item: -len(item[1]))
    rows = f"{len(bad):,} bad row{'s' * (len(bad) > 1)} skipped (counted from 0)"
    lines = [
        rows,
        *(f"  {reason}: {row_ranges(rows)}" for reason, rows in ordered[:LISTED_REASONS]),
    ]
    if rest := sum(len(rows) for _, rows in ordered[LISTED_REASONS:]):
        lines.append(f"  and {rest:,} more for other reasons")
    return lines


def count(number: int, noun: str) -> str:
    """`1 row`, `2,000 rows`."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def row_ranges(rows: Sequence[int]) -> str:
    """Ascending row numbers in short: `row 3`, `rows 2, 7-19, 40`."""
    ranges: list[tuple[int, int]] = []
    for row in rows:
        if ranges and row == ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], row)
        else:
            ranges.append((row, row))
    shown = [f"{first}-{last}" if last > first else str(first) for first, last in ranges]
    rest = sum(last - first + 1 for first, last in ranges[LISTED_RANGES:])
    more = f" and {rest:,} more" if rest else ""
    return f"row{'s' * (len(rows) > 1)} {', '.join(shown[:LISTED_RANGES])}{more}"


def _mean_lines(tally: Tally, avg_name: str) -> list[str]:
    means = tally.estimates()
    votes = [vote for vote in VOTES if any(name.startswith(f"{vote}@") for name in means)]
    sizes = [int(name.removeprefix("pass@")) for name in means if name.startswith("pass@")]
    rows = [["  k", *(f"{vote}@k" for vote in votes)]]
    rows += [[f"  {k}", *(_cell(means[f"{vote}@{k}"]) for vote in votes)] for k in sizes]
    lines = [
        f"mean over {count(tally.num_known, 'row')}, and its 95% interval",
        f"  accuracy, {avg_name}  {_cell(means['accuracy'])}",
        "",
        *table(rows),
    ]
    if tally.has_negative_scores:
        lines.append("  some scores are negative: weighted@k sums them, which favours rare answers")
    return lines


def _status_lines(tally: Tally) -> list[str]:
    total = tally.statuses.total()
    rows = [["status", "responses", "share"]]
    rows += [
        [f"  {status}", f"{tally.statuses[status]:,}", f"{tally.statuses[status] / total:.1%}"]
        for status in Status
        if tally.statuses[status]
    ]
    return table(rows)


def _group_lines(tally: Tally, by: str) -> list[str]:
    found = tally.by_group(LISTED_VALUES)
    means = next(iter(found.values()))[1]
    size = max(int(name.removeprefix("pass@")) for name in means if name.startswith("pass@"))
    names = [f"{vote}@{size}" for vote in VOTES if f"{vote}@{size}" in means]
    rows = [[f"by {by}", "rows", "accuracy", "95% interval", *names]]
    for value, (num_rows, means) in found.items():
        accuracy, interval = _cell(means["accuracy"]).split()
        shown = [f"{means[name].mean:.3f}" for name in names]
        rows.append([f"  {value}", f"{num_rows:,}", accuracy, interval, *shown])
    hidden = tally.num_groups - LISTED_VALUES
    return table(rows) + ([f"  and {hidden:,} more values"] if hidden > 0 else [])


def _cell(estimate: Estimate) -> str:
    return f"{estimate.mean:.3f} {estimate.low:.3f}-{estimate.high:.3f}"


def _natural(value: str) -> list[tuple[bool, float, str]]:
    """Level 2 before Level 10, numbers before words."""
    parts = re.findall(r"([0-9]+(?:\.[0-9]+)?)|([^0-9]+)", value)
    return [(not number, float(number or 0), text) for number, text in parts]
