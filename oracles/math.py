"""The rule-based oracle: extract an answer, compare it with the gold answers."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future

from understand_r1_zero.args import RewardArgs
from understand_r1_zero.grading.conventions import PRESETS, Conventions
from understand_r1_zero.grading.extraction import extraction_by_name
from understand_r1_zero.grading.pool import Grade, GraderPool, grade_exactly
from understand_r1_zero.types import Status, Verdict

_REWARDS = RewardArgs()


class MathOracle:
    """Rewards responses whose answer equals a gold answer under the given conventions.

    `extraction` names where the answer stands (`boxed`, `answer_tag`, ...). What texts and plain
    numbers do not decide is graded in `num_workers` processes, each answer within `timeout_s`
    seconds. Any number of threads may ask at once; they share the processes.
    """

    def __init__(
        self,
        extraction: str = "boxed",
        conventions: Conventions = PRESETS["default"],
        rewards: RewardArgs = _REWARDS,
        num_workers: int = 2,
        timeout_s: float = 3.0,
    ) -> None:
        self._extract = extraction_by_name(extraction)
        self._conventions = conventions
        self._rewards = rewards
        is_exact = conventions.mathematics == "none"
        self._pool = None if is_exact else GraderPool(num_workers, timeout_s)

    def get_reward(
        self,
        inputs: Sequence[str],
        responses: Sequence[str],
        references: Sequence[str | Sequence[str]],
        batch_size: int = 4,
    ) -> tuple[list[Verdict], dict[str, float]]:
        """One verdict per response, in order, and the share of each status as `status/...`.

        A reference is a gold answer or several, any of which is right. `UNKNOWN` (no gold can be
        read) carries reward 0 and must be kept out of training; every other status but `CORRECT`
        earns `incorrect_reward`. `inputs` and `batch_size` are Oat's and change nothing.
        """
        answers = [self._extract(response) for response in responses]
        futures = [
            self._grade(answer, (reference,) if isinstance(reference, str) else reference)
            for answer, reference in zip(answers, references, strict=True)
        ]
        try:
            grades = [future.result() for future in futures]
        finally:  # one failure is enough: nobody waits for the others then
            for future in futures:
                future.cancel()
        verdicts = [
            Verdict(self._reward(grade.status), grade.status, answer, grade.reason)
            for answer, grade in zip(answers, grades, strict=True)
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
        if self._pool is not None:
            self._pool.close()

    def _grade(self, answer: str | None, golds: Sequence[str]) -> Future[Grade]:
        if answer is not None and self._pool is not None:
            return self._pool.submit(answer, golds, self._conventions)
        grade = Grade(Status.UNPARSABLE, "the response gives no answer")
        if answer is not None:
            decided = grade_exactly(answer, golds, self._conventions)
            assert decided is not None, "without mathematics the exact path decides everything"
            grade = decided
        future: Future[Grade] = Future()
        future.set_result(grade)
        return future

    def _reward(self, status: Status) -> float:
        if status is Status.UNKNOWN:
            return 0.0
        if status is Status.CORRECT:
            return self._rewards.correct_reward
        return self._rewards.incorrect_reward


def _shares(verdicts: Sequence[Verdict]) -> dict[str, float]:
    counts = Counter(verdict.status for verdict in verdicts)
    return {f"status/{status}": counts[status] / max(len(verdicts), 1) for status in Status}
