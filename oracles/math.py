"""The rule-based oracle: extract an answer, compare it with the gold answers."""

import itertools
from collections import Counter
from collections.abc import Sequence

from understand_r1_zero.grading.audit import other_presets
from understand_r1_zero.grading.conventions import PRESETS, Conventions
from understand_r1_zero.grading.extraction import extraction_by_name
from understand_r1_zero.grading.grader import Grader
from understand_r1_zero.grading.pool import Grade
from understand_r1_zero.types import Status, Verdict


class MathOracle:
    """Finds whether a response's answer equals a gold answer under the given conventions.

    `extraction` names where the answer stands (`boxed`, `answer_tag`, ...). What texts and plain
    numbers do not decide is graded in `num_workers` processes, each answer within `timeout_s`
    seconds. Any number of threads may ask at once; they share the processes. With `is_audited` each
    answer is graded under the other presets too, and its verdict says what they make of it.
    """

    def __init__(
        self,
        extraction: str = "boxed",
        conventions: Conventions = PRESETS["default"],
        num_workers: int = 2,
        timeout_s: float = 3.0,
        is_audited: bool = False,
    ) -> None:
        self._extract = extraction_by_name(extraction)
        self._conventions = conventions
        self._others = other_presets(conventions) if is_audited else {}
        self._grader = Grader(conventions, num_workers, timeout_s)

    def get_reward(
        self,
        inputs: Sequence[str],
        responses: Sequence[str],
        references: Sequence[str | Sequence[str]],
        batch_size: int = 4,
    ) -> tuple[list[Verdict], dict[str, float]]:
        """One verdict per response, in order, and the share of each status as `status/...`.

        A reference is a gold answer or several, any of which is right. `UNKNOWN` (no gold can be
        read) must be kept out of training. Rewards are Oat's, 1 for correct and 0 for all else; in
        training `rewards.response_reward` takes their place. `inputs` and `batch_size` are Oat's
        and change nothing.
        """
        answers = [self._extract(response) for response in responses]
        golds = [(gold,) if isinstance(gold, str) else gold for gold in references]
        asked = list(zip(answers, golds, strict=True))
        futures = [
            [self._grader.grade(answer, gold, conventions) for answer, gold in asked]
            for conventions in (self._conventions, *self._others.values())
        ]
        try:
            grades = [[future.result() for future in row] for row in futures]
        finally:  # one failure is enough: nobody waits for the others then
            for future in itertools.chain.from_iterable(futures):
                future.cancel()
        verdicts = [
            self._verdict(answer, grade, others)
            for answer, grade, *others in zip(answers, *grades, strict=True)
        ]
        return verdicts, _shares(verdicts)

    def compare(
        self,
        inputs: Sequence[str],
        candidates_A: Sequence[str],
        candidates_B: Sequence[str | Sequence[str]],
        batch_size: int = 4,
        return_probs: bool = False,
        disable_tqdm: bool = False,
    ) -> tuple[list[float], dict[str, float]]:
        """The rewards of A with B as gold answers, as Oat's math oracle has it for win rates.

        `batch_size`, `return_probs` and `disable_tqdm` are Oat's and change nothing.
        """
        verdicts, metrics = self.get_reward(inputs, candidates_A, candidates_B)
        return [verdict.reward for verdict in verdicts], metrics

    def close(self) -> None:
        """End the grading processes."""
        self._grader.close()

    def _verdict(self, answer: str | None, grade: Grade, others: Sequence[Grade]) -> Verdict:
        """`others` are the grades under the other presets; without an answer there is no audit."""
        audit = zip(self._others, (other.status for other in others), strict=True)
        return Verdict(
            reward=float(grade.status is Status.CORRECT),
            status=grade.status,
            answer=answer,
            reason=grade.reason,
            audit=() if answer is None else tuple(audit),
        )


def _shares(verdicts: Sequence[Verdict]) -> dict[str, float]:
    counts = Counter(verdict.status for verdict in verdicts)
    return {f"status/{status}": counts[status] / max(len(verdicts), 1) for status in Status}
