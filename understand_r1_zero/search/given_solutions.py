"""Solutions that somebody wrote, read from files of responses or of pairs."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from understand_r1_zero.data import parse_answers
from understand_r1_zero.search.codecs.step import StepCodec
from understand_r1_zero.search.explore import GivenSolution
from understand_r1_zero.search.questions import own_cells, question_row
from understand_r1_zero.search.records import OUR_KEY
from understand_r1_zero.table_rows import RowFault, parse_rows, require_cells, text_of
from understand_r1_zero.tables import open_file
from understand_r1_zero.types import Problem

_MARK = "\0"

GoldsOf = Callable[[str], tuple[str, ...]]
"""The right answers to the training problem with this text; none where there is no such problem."""


@dataclass(frozen=True, slots=True)
class Given:
    """A solution with its problem, and the cells that its record begins with."""

    problem: Problem
    solution: GivenSolution
    row: dict[str, Any]


def read_given(
    path: Path, codec: StepCodec, golds_of: GoldsOf, max_per_problem: int
) -> list[Given]:
    """The solutions of a file, in its order.

    Rows with `preds` are responses (`prompt`, `preds`, `answer`, and what `collect` adds), of which all are
    given; rows with `rejected` are pairs (`prompt`, `chosen`, `rejected`), of which the rejected ones are. A
    pair's right answers are its `answer`, or what its chosen response comes to, or `golds_of`. A prompt may be
    the problem's text or the codec's prompt for it, unless there is a `problem`. Blank texts have no steps and
    are left out.

    Args:
        path: a json, jsonl or parquet file.
        codec: tells the steps apart.
        golds_of: of training problems.
        max_per_problem: so many of equal problems' first ones; 0: all.

    Raises:
        ValueError: rows are neither, or there is nothing left.
    """
    table = open_file(path)
    reader = _Reader(path.stem, codec, golds_of)
    found: list[Given] = []
    taken: Counter[str] = Counter()
    for given in (each for row in parse_rows(table, reader.read) for each in row):
        taken[given.problem.text] += 1
        if not max_per_problem or taken[given.problem.text] <= max_per_problem:
            found.append(given)
    if not found:
        raise ValueError(f"--solutions {path} has none but blank solutions; give another file")
    return found


class _Reader:
    """Reads rows, and numbers their problems."""

    def __init__(self, source: str, codec: StepCodec, golds_of: GoldsOf) -> None:
        self._source = source
        self._codec = codec
        self._golds_of = golds_of
        self._before, _, self._behind = codec.prompt(_MARK).partition(_MARK)
        self._rows: dict[str, int] = {}

    def read(self, row: Any) -> list[Given]:
        """The solutions of one row."""
        require_cells(row, ["prompt"])
        if "preds" in row:
            return list(self._responses(row))
        if "rejected" in row:
            return list(self._pair(row))
        raise RowFault("no column 'preds', as responses have, nor 'rejected', as pairs have")

    def _responses(self, row: Any) -> Iterator[Given]:
        require_cells(row, ["answer"])
        ours = row.get(OUR_KEY) or {}
        texts = row["preds"]
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise RowFault("'preds' is no list of texts")
        truncated = ours.get("truncated", [False] * len(texts))
        if len(truncated) != len(texts):
            raise RowFault(f"'truncated' has {len(truncated)} values for {len(texts)} responses")
        problem = self._problem(row, parse_answers(row["answer"]), ours.get("problem"))
        cells = question_row(problem)
        for text, is_truncated in zip(texts, truncated, strict=True):
            if text.strip():
                steps = tuple(self._codec.split(text))
                yield Given(problem, GivenSolution(steps, is_truncated), cells)

    def _pair(self, row: Any) -> Iterator[Given]:
        rejected, chosen = text_of(row, "rejected"), text_of(row, "chosen")
        golds = parse_answers(row.get("answer"))
        if not golds:
            answer = self._codec.split(chosen)[-1].answer
            golds = (answer,) if answer else self._golds_of(self._text(row))
        problem = self._problem(row, golds)
        steps = tuple(self._codec.split(rejected))
        # The answer as it is graded, whatever form the row has it in.
        yield Given(problem, GivenSolution(steps), own_cells(row) | question_row(problem))

    def _problem(self, row: Any, golds: tuple[str, ...], name: str | None = None) -> Problem:
        """Equal texts are one problem; `name` is what `collect` called it."""
        text = self._text(row)
        number = self._rows.setdefault(text, len(self._rows))
        source, colon, place = (name or "").rpartition(":")
        if colon and place.isdecimal():
            return Problem(source, int(place), text, golds)
        return Problem(self._source, number, text, golds)

    def _text(self, row: Any) -> str:
        if isinstance(row.get("problem"), str):
            return text_of(row, "problem")
        text = text_of(row, "prompt")
        is_prompt = text.startswith(self._before) and text.endswith(self._behind)
        return text.removeprefix(self._before).removesuffix(self._behind) if is_prompt else text
