"""One way from an extracted answer to its grade, and to the votes it shares, under one set of conventions."""

from collections.abc import Sequence
from concurrent.futures import Future

from understand_r1_zero.grading.conventions import Conventions
from understand_r1_zero.grading.exact import is_exact_match
from understand_r1_zero.grading.pool import Grade, GraderPool
from understand_r1_zero.types import Status
from understand_r1_zero.voting import class_labels

FAILED = (Status.TIMEOUT, Status.ERROR)
"""Grading took too long or crashed: nothing is known about the answer."""


class Grader:
    """Grades and compares answers under one set of conventions; its processes start when needed.

    What texts and plain numbers do not decide goes to `num_workers` processes, each answer for at
    most `deadline_s` seconds. Any number of threads may ask at once; they share the processes.
    `close` ends them.
    """

    def __init__(self, conventions: Conventions, num_workers: int, deadline_s: float) -> None:
        self._conventions = conventions
        self._pool = GraderPool(num_workers, deadline_s)

    def grade(
        self, answer: str | None, golds: Sequence[str], conventions: Conventions | None = None
    ) -> Future[Grade]:
        """The grade to come of an extracted answer that may match any of the golds.

        No answer is `UNPARSABLE`, unless the golds cannot be read. `conventions` are others than the
        grader's own. The future, or this call, raises RuntimeError where no process can be started or
        the grader is closed.
        """
        return self._pool.submit(answer, golds, conventions or self._conventions)

    def label(self, answers: Sequence[str | None], statuses: Sequence[Status]) -> list[int | None]:
        """The classes of the answers of one problem (voting.py), whose grading gave these statuses.

        An answer whose grading failed is compared by text and number only, and so is the one that is
        to blame for a comparison that fails: an endless answer costs a deadline or two, not one for
        each class. Where the gold answer is unknown nothing counts, and no answer has a class.
        """
        if Status.UNKNOWN in statuses:
            return [None] * len(statuses)
        graded = list(zip(answers, statuses, strict=True))
        hanging = {answer for answer, status in graded if status in FAILED}
        sound: set[str] = set()  # has been through a comparison that ended

        def are_equal(answer: str, other: str) -> bool:
            if not hanging.isdisjoint((answer, other)):
                return is_exact_match(answer, other, self._conventions) is True
            status = self.grade(answer, (other,)).result().status
            if status not in FAILED:
                sound.update((answer, other))
            elif other in sound or not self._ends(answer):
                hanging.add(answer)
            else:
                sound.add(answer)
                hanging.add(other)
            return status is Status.CORRECT

        return class_labels(answers, are_equal)

    def _ends(self, answer: str) -> bool:
        """Whether the answer can be compared with something simple."""
        return self.grade(answer, ("0",)).result().status not in FAILED

    def close(self) -> None:
        """End the grading processes; what is under way raises RuntimeError."""
        self._pool.close()
