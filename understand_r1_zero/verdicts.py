"""Verdicts on completions: rows graded side by side and told in order, a line for each response."""

import json
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

from understand_r1_zero.completions import Completions
from understand_r1_zero.grading.extraction import Extraction
from understand_r1_zero.grading.grader import Grader
from understand_r1_zero.grading.pool import Grade
from understand_r1_zero.scoring import Outcome

ROWS_AHEAD = 4
"""Rows under way for each grading process: enough to keep all busy, few enough to hold in memory."""


@dataclass(frozen=True, slots=True)
class GradedRow:
    """A row with the answer, the grade and the answer's class of each response."""

    row: Completions
    answers: Sequence[str | None]
    grades: Sequence[Grade]
    labels: Sequence[int | None]

    def outcome(self) -> Outcome:
        """What the statistics need of it."""
        return Outcome([grade.status for grade in self.grades], self.labels, self.row.scores)


def graded_in_order(
    rows: Iterable[Completions], extract: Extraction, grader: Grader, num_workers: int
) -> Iterator[GradedRow]:
    """Grade rows side by side and give them in their order, few of them in memory at a time.

    What grading raises comes out here. Close the generator, or exhaust it, before the grader.
    """
    num_ahead = ROWS_AHEAD * num_workers
    pending: deque[Future[GradedRow]] = deque()
    threads = ThreadPoolExecutor(num_ahead, "row")
    try:
        for row in rows:
            pending.append(threads.submit(grade_row, row, extract, grader))
            if len(pending) == num_ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        threads.shutdown(wait=False, cancel_futures=True)


def grade_row(row: Completions, extract: Extraction, grader: Grader) -> GradedRow:
    """Grade one row's responses, and group their answers by equivalence."""
    answers = [extract(response) for response in row.responses]
    futures = [grader.grade(answer, row.golds) for answer in answers]
    grades = [future.result() for future in futures]
    return GradedRow(
        row, answers, grades, grader.label(answers, [grade.status for grade in grades])
    )


class VerdictFile:
    """A line for each response, on disk as soon as its row is graded.

    The file has `.partial` behind its name until `complete`, so that nobody takes a part for the
    whole, and an earlier file stays until there is a new one. Without a path nothing is written.
    """

    def __init__(self, path: str, conventions: Mapping[str, Any]) -> None:
        self._whole = Path(path).resolve() if path else None
        self._conventions = conventions
        self._file: IO[str] | None = None
        self.path: Path | None = None

    def __enter__(self) -> Self:
        if self._whole is not None:
            self.path = self._whole.with_name(f"{self._whole.name}.partial")
            # A lone surrogate in a model's text becomes its JSON escape.
            self._file = self.path.open("w", encoding="utf-8", errors="backslashreplace")
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, graded: GradedRow) -> None:
        """Add the lines of a row."""
        if self._file is not None:
            lines = (f"{line}\n" for line in verdict_lines(graded, self._conventions))
            self._file.write("".join(lines))
            self._file.flush()

    def complete(self) -> None:
        """Give the file its name."""
        if self._file is not None and self.path is not None and self._whole is not None:
            self._file.close()
            self.path = self.path.replace(self._whole)


def verdict_lines(graded: GradedRow, conventions: Mapping[str, Any]) -> Iterator[str]:
    """One JSON object for each response, in order."""
    row = graded.row
    for index, (answer, found) in enumerate(zip(graded.answers, graded.grades, strict=True)):
        record = {
            "row": row.row,
            "response": index,
            "status": str(found.status),
            "answer": answer,
            "gold": row.golds,
            "reason": found.reason,
        }
        if row.scores:
            record["score"] = row.scores[index]
        record["conventions"] = conventions
        yield json.dumps(record, ensure_ascii=False)
