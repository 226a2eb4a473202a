"""One way from an extracted answer to its grade, and to the votes it shares, under one set of conventions."""

import threading
from collections.abc import Sequence
from concurrent.futures import Future

from understand_r1_zero.grading.conventions import Conventions
from understand_r1_zero.grading.pool import Grade, GraderPool, grade_exactly
from understand_r1_zero.types import Status
from understand_r1_zero.voting import class_labels

FAILED = (Status.TIMEOUT, Status.ERROR)
"""Grading took too long or crashed: nothing is known about the answer."""


class Grader:
    """Grades and compares answers; the grading processes start when the first one is needed.

    What texts and plain numbers do not decide goes to `num_workers` processes, each answer for at
    most `deadline_s` seconds. Any number of threads may ask at once; they share the processes.
    `close` ends them.
    """

    def __init__(self, conventions: Conventions, num_workers: int, deadline_s: float) -> None:
        self._conventions = conventions
        self._num_workers = num_workers
        self._deadline_s = deadline_s
        self._pool: GraderPool | None = None
        self._is_closed = False
        self._lock = threading.Lock()

    def start(self) -> None:
        """Start the grading processes now, so that the first answer need not wait for them."""
        if self._conventions.mathematics != "none":
            self._open_pool()

    def grade(
        self, answer: str | None, golds: Sequence[str], conventions: Conventions | None = None
    ) -> Future[Grade]:
        """The grade to come of an extracted answer that may match any of the golds.

        No answer is `UNPARSABLE`, unless the golds cannot be read. `conventions` are others than the
        grader's own. The future, or this call, raises RuntimeError where no process can be started or
        the grader is closed.
        """
        conventions = conventions or self._conventions
        if (grade := grade_exactly(answer, golds, conventions)) is not None:
            future: Future[Grade] = Future()
            future.set_result(grade)
            return future
        return self._open_pool().submit(answer, golds, conventions)

    def label(self, answers: Sequence[str | None], statuses: Sequence[Status]) -> list[int | None]:
        """The classes of the answers of one problem (voting.py), whose grading gave these statuses.

        An answer whose grading failed, or whose comparison does, is compared by text and number
        only: it costs one deadline, not one for each class. Where the gold answer is unknown nothing
        counts, and no answer has a class.
        """
        if Status.UNKNOWN in statuses:
            return [None] * len(statuses)
        graded = zip(answers, statuses, strict=True)
        hanging = {answer for answer, status in graded if status in FAILED}

        def are_equal(answer: str, other: str) -> bool:
            if not hanging.isdisjoint((answer, other)):
                exact = grade_exactly(answer, (other,), self._conventions)
                return exact is not None and exact.status is Status.CORRECT
            status = self.grade(answer, (other,)).result().status
            if status in FAILED:
                hanging.add(answer)
            return status is Status.CORRECT

        return class_labels(answers, are_equal)

    def close(self) -> None:
        """End the grading processes; what is under way raises RuntimeError."""
        with self._lock:
            self._is_closed = True
            if self._pool is not None:
                self._pool.close()

    def _open_pool(self) -> GraderPool:
        with self._lock:
            if self._is_closed:
                raise RuntimeError("the grader was closed before this answer was graded")
            if self._pool is None:
                self._pool = GraderPool(self._num_workers, self._deadline_s)
            return self._pool
