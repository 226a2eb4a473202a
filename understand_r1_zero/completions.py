"""Anyone's completions: a row a problem, with its gold answers, its responses and their scores."""

import contextlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from understand_r1_zero.data import parse_answers
from understand_r1_zero.grading.extraction import extraction_by_name
from understand_r1_zero.table_rows import RowFault, describe_faults, require_cells, require_column
from understand_r1_zero.tables import Table

SHOWN_CHARS = 40
"""Of a value of the column of `--by`, whose values are told apart by these."""
NO_VALUE = "(none)"
"""What a row without the column of `--by` is listed under."""


@dataclass(frozen=True)
class ColumnArgs:
    """Where a row has what, and how it is written (understand_r1_zero/completions.py)."""

    answer_key: str = "answer"
    """Column of the gold answer, or a list of several of which any is right."""
    answer_extraction: str = ""
    """Where the answer stands in a gold text that holds more, as --extraction; empty: it is the answer, or follows ####."""
    response_key: str = "responses"
    """Column of the response or the list of responses."""
    score_key: str = ""
    """Column of the scores: a number, or a list with a number, or a list of step scores, for each response."""
    score_aggregation: Literal["last", "product", "min"] = "last"
    """What a response's list of step scores amounts to."""
    by: str = ""
    """Column by whose values a table lists the results."""

    def required(self) -> list[tuple[str, str]]:
        """Flag and name of each column that every row must have."""
        keys = {
            "--answer_key": self.answer_key,
            "--response_key": self.response_key,
            "--score_key": self.score_key,
        }
        return [(flag, key) for flag, key in keys.items() if key]


@dataclass(frozen=True, slots=True)
class Completions:
    """One row of a file, counted from 0; `scores` are as many as `responses`, or none."""

    row: int
    golds: tuple[str, ...]
    responses: tuple[str, ...]
    scores: tuple[float, ...] = ()
    group: str = ""


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be graded, and why."""

    row: int
    reason: str


@dataclass
class Survey:
    """What a file holds, found before any of it is graded."""

    num_rows: int = 0
    num_responses: int = 0
    fewest: int = 0
    """The smallest number of responses of a row, `fewest_row` the first with so few."""
    most: int = 0
    fewest_row: int = 0
    bad: list[BadRow] = field(default_factory=list)

    @property
    def num_good(self) -> int:
        """Rows that can be graded."""
        return self.num_rows - len(self.bad)


def survey(rows: Iterable[Completions | BadRow], table: Table, columns: ColumnArgs) -> Survey:
    """Read and check every row of a table.

    Raises:
        ValueError: no row can be graded, or none has the column of `--by`.
    """
    found, has_groups = Survey(), False
    for row in rows:
        found.num_rows += 1
        if isinstance(row, BadRow):
            found.bad.append(row)
            continue
        size = len(row.responses)
        found.num_responses += size
        found.most = max(found.most, size)
        if not found.fewest or size < found.fewest:
            found.fewest, found.fewest_row = size, row.row
        has_groups = has_groups or row.group != NO_VALUE
    if not found.num_good:
        for flag, key in columns.required():
            require_column(table, key, flag)
        raise ValueError(describe_bad(table, found))
    if columns.by and not has_groups:
        require_column(table, columns.by, "--by")
    return found


def describe_bad(table: Table, found: Survey) -> str:
    """In one line: how many rows cannot be graded, and the first of them with the reason."""
    faults = [(bad.row, bad.reason) for bad in found.bad]
    return describe_faults(table.place, faults, found.num_rows)


def read_completions(table: Table, columns: ColumnArgs) -> Iterator[Completions | BadRow]:
    """The rows in order, each as it is asked for."""
    for number, row in enumerate(table.rows):
        try:
            yield _parse_row(number, row, columns)
        except RowFault as error:
            yield BadRow(number, str(error))


def _parse_row(number: int, row: Any, columns: ColumnArgs) -> Completions:
    require_cells(row, [key for _, key in columns.required()])
    responses = _read_responses(row[columns.response_key], columns.response_key)
    return Completions(
        row=number,
        golds=_read_golds(row[columns.answer_key], columns),
        responses=responses,
        scores=_read_scores(row, len(responses), columns) if columns.score_key else (),
        group=_write_value(row.get(columns.by)) if columns.by else "",
    )


def _read_golds(cell: Any, columns: ColumnArgs) -> tuple[str, ...]:
    if columns.answer_extraction:
        extract = extraction_by_name(columns.answer_extraction)
        texts = cell if isinstance(cell, list) else [cell]
        cell = [extract(text) if isinstance(text, str) else text for text in texts]
    golds = parse_answers(cell)
    if not golds:
        where = f"{columns.answer_key!r}"
        if columns.answer_extraction:
            where += f" by --answer_extraction {columns.answer_extraction}"
        raise RowFault(f"no gold answer in {where}")
    return golds


def _read_responses(cell: Any, key: str) -> tuple[str, ...]:
    responses = [cell] if isinstance(cell, str) else cell
    if not isinstance(responses, list):
        raise RowFault(f"{key!r} is {_kind(cell)}, not text or a list of texts")
    if not responses:
        raise RowFault(f"{key!r} is an empty list")
    for index, response in enumerate(responses):
        if not isinstance(response, str):
            raise RowFault(f"response {index} in {key!r} is {_kind(response)}, not text")
    return tuple(responses)


def _read_scores(
    row: Mapping[str, Any], num_responses: int, columns: ColumnArgs
) -> tuple[float, ...]:
    """One score a response; a single response's may stand without a list around it."""
    key, cell = columns.score_key, row[columns.score_key]
    is_bare = isinstance(row[columns.response_key], str) and not (
        isinstance(cell, list) and len(cell) == 1 and isinstance(cell[0], list)
    )
    scores = [cell] if is_bare or not isinstance(cell, list) else cell
    if len(scores) != num_responses:
        raise RowFault(f"{key!r} has {len(scores)} scores for {num_responses} responses")
    return tuple(
        _read_score(score, f"score {index} in {key!r}", columns.score_aggregation)
        for index, score in enumerate(scores)
    )


def _read_score(score: Any, place: str, aggregation: str) -> float:
    steps = [_read_number(step, place) for step in (score if isinstance(score, list) else [score])]
    if not steps:
        raise RowFault(f"{place} is an empty list")
    if aggregation == "product":
        return math.prod(steps)
    return min(steps) if aggregation == "min" else steps[-1]


def _read_number(value: Any, place: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RowFault(f"{place} is {_kind(value)}, not a number")
    with contextlib.suppress(OverflowError):
        if math.isfinite(value):
            return float(value)
    raise RowFault(f"{place} is not finite")


def _kind(value: Any) -> str:
    return "null" if value is None else f"of type {type(value).__name__}"


def _write_value(value: Any) -> str:
    if value is None or value == "":
        return NO_VALUE
    if isinstance(value, float):
        return f"{value:g}"
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    text = " ".join(text.split()).encode(errors="backslashreplace").decode()
    return text if len(text) <= SHOWN_CHARS else f"{text[: SHOWN_CHARS - 3]}..."
