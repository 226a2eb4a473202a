"""Grades of the answers that a file of trees or responses says nothing of."""

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from understand_r1_zero.args import GradingArgs
from understand_r1_zero.grading.conventions import conventions_of
from understand_r1_zero.grading.grader import Grader
from understand_r1_zero.labels.sources import is_right_by


class AnswerGrades:
    """Whether answers are right. Each is asked once; a grading process starts only where one is needed."""

    def __init__(self, args: GradingArgs) -> None:
        self._grader = Grader(conventions_of(args), args.grader_workers, args.grader_timeout_s)
        self._known: dict[tuple[str | None, tuple[str, ...]], bool | None] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._grader.close()

    def grade(self, answers: Sequence[str | None], golds: tuple[str, ...]) -> list[bool | None]:
        """Whether each is among the golds; None where nothing is known of it."""
        pending = {
            answer: self._grader.grade(answer, golds)
            for answer in dict.fromkeys(answers)
            if (answer, golds) not in self._known
        }
        for answer, future in pending.items():
            self._known[answer, golds] = is_right_by(future.result().status)
        return [self._known[answer, golds] for answer in answers]

    @property
    def num_graded(self) -> int:
        """Answers asked for so far, equal ones to one problem once."""
        return sum(answer is not None for answer, _ in self._known)
