"""Files of rows: json, jsonl and parquet, read anew at every pass and, but for a json list, row by row."""

import itertools
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FILE_SUFFIXES = (".jsonl", ".json", ".parquet")
_PARQUET_ROWS_AT_ONCE = 256


@dataclass(frozen=True)
class Table:
    """Rows in order; `place` says where they are, for errors, `columns` those of the first row.

    `keys`, where set, are the columns of problem and answer whatever the flags say.
    """

    place: str
    columns: tuple[str, ...]
    rows: Iterable[Any] = field(repr=False)
    keys: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A line that is not JSON, in the place of its row."""

    reason: str


def open_file(path: Path) -> Table:
    """The rows of a file with one of `FILE_SUFFIXES`; a line that is not JSON is an `Unreadable`.

    A `.json` file holds a list of rows, `{"data": [...]}`, or, as some data are published, an object
    a line.

    Raises:
        ValueError: the file has no rows or is not what its name says.
    """
    if path.suffix == ".parquet":
        return _open_parquet(path)
    place = str(path)
    is_lines = path.suffix == ".jsonl" or _holds_an_object_a_line(path)
    rows = _Lines(path) if is_lines else _read_json(path)
    if not list(itertools.islice(rows, 1)):
        raise ValueError(f"{place} has no rows")
    first: dict[str, Any] = next((row for row in rows if isinstance(row, dict)), {})
    return Table(place, tuple(first), rows)


@dataclass(frozen=True)
class _Lines:
    """One JSON value a line; blank lines are no rows."""

    path: Path

    def __iter__(self) -> Iterator[Any]:
        with self.path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield _parse_line(line, number)


def _parse_line(line: bytes, number: int) -> Any:
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        return Unreadable(f"line {number} is not JSON: {error.msg}")
    except (ValueError, RecursionError) as error:  # not UTF-8, or nested without end
        return Unreadable(f"line {number} is not JSON: {error}")


def _holds_an_object_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        lines = list(itertools.islice(filter(bytes.strip, file), 2))
    return len(lines) == 2 and isinstance(_parse_line(lines[0], 1), dict)


def _read_json(path: Path) -> list[Any]:
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    rows = value["data"] if isinstance(value, dict) and "data" in value else value
    if not isinstance(rows, list):
        raise ValueError(f'{path} must hold a list of rows or {{"data": [...]}}')
    return rows


def _open_parquet(path: Path) -> Table:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            columns, num_rows = tuple(file.schema_arrow.names), file.metadata.num_rows
    except pyarrow.ArrowInvalid as error:
        raise ValueError(f"{path} is not parquet: {error}") from error
    if not num_rows:
        raise ValueError(f"{path} has no rows")
    return Table(str(path), columns, _ParquetRows(path))


@dataclass(frozen=True)
class _ParquetRows:
    path: Path

    def __iter__(self) -> Iterator[dict[str, Any]]:
        import pyarrow.parquet

        with pyarrow.parquet.ParquetFile(self.path) as file:
            for batch in file.iter_batches(_PARQUET_ROWS_AT_ONCE):
                yield from batch.to_pylist()
