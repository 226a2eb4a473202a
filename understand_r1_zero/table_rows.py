"""From the rows of a table to what they hold, with one error that names all rows at fault."""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from understand_r1_zero.sources import nearest
from understand_r1_zero.tables import Table, Unreadable

T = TypeVar("T")

SHOWN_FAULTS = 5


class RowFault(Exception):
    """What is wrong with one row."""


def parse_rows(table: Table, parse: Callable[[Any], T], limit: int | None = None) -> list[T]:
    """`parse` of every row, or of the first `limit`.

    Raises:
        ValueError: there is no row, or some for which `parse` raised `RowFault`; they are named.
    """
    found: list[T] = []
    faults: list[tuple[int, str]] = []
    for number, row in enumerate(itertools.islice(table.rows, limit)):
        try:
            found.append(parse(row))
        except RowFault as fault:
            faults.append((number, str(fault)))
    if faults:
        described = describe_faults(table.place, faults, len(found) + len(faults))
        raise ValueError(f"{described}; mend or remove them")
    if not found:
        raise ValueError(f"{table.place} has no rows")
    return found


def describe_faults(place: str, faults: Sequence[tuple[int, str]], num_rows: int) -> str:
    """In one line: how many of a file's rows cannot be used, and the first of them with the reason."""
    shown = "; ".join(f"row {number}: {reason}" for number, reason in faults[:SHOWN_FAULTS])
    more = f"; and {len(faults) - SHOWN_FAULTS} more" if len(faults) > SHOWN_FAULTS else ""
    return (
        f"{place}: {len(faults)} of {num_rows} rows cannot be used (counted from 0): {shown}{more}"
    )


def require_column(table: Table, key: str, flag: str) -> None:
    """Raise ValueError, with the nearest known, unless the table has a column `key`."""
    if key not in table.columns:
        raise ValueError(
            f"{flag} must be a column of {table.place}, which has "
            f"{', '.join(table.columns) or 'none'}, "
            f"got {key!r}; the nearest is {nearest(key, table.columns)!r}"
        )


def require_cells(row: Any, keys: Iterable[str]) -> None:
    """Raise RowFault unless a row is an object with these columns."""
    if isinstance(row, Unreadable):
        raise RowFault(row.reason)
    if not isinstance(row, Mapping):
        raise RowFault(f"an object with columns was expected, not {type(row).__name__}")
    for key in keys:
        if key not in row:
            raise RowFault(f"no column {key!r}")


def cell_of(row: Any, key: str) -> Any:
    """What a row has in a column; raises RowFault where it has none."""
    require_cells(row, [key])
    return row[key]


def text_of(row: Any, key: str) -> str:
    """The text in a row's column; raises RowFault where there is none."""
    value = cell_of(row, key)
    if not isinstance(value, str):
        raise RowFault(f"{key!r} is {type(value).__name__}, not text")
    if not value.strip():
        raise RowFault(f"{key!r} is empty")
    return value
