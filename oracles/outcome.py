"""What a solution comes to, and nothing before it does: the grader alone as an oracle of steps."""

from collections.abc import Sequence

from understand_r1_zero.search.step import Step
from understand_r1_zero.search.step_oracle import SIGNED, Grade, Scale, StepScores
from understand_r1_zero.types import Problem, Status, Verdict


async def final_verdict(problem: Problem, steps: Sequence[Step], grade: Grade) -> Verdict | None:
    """The verdict on a solution whose last step has an answer; None where it has none."""
    answer = steps[-1].answer if steps else None
    return None if answer is None else await grade(problem, answer)


def verdict_value(verdict: Verdict, scale: Scale) -> float:
    """The highest value of a right answer, the middle where the gold answer cannot be read, else the lowest."""
    if verdict.status is Status.UNKNOWN:
        return scale.middle
    return scale.high if verdict.status is Status.CORRECT else scale.low


class OutcomeOracle:
    """1 for a right final step, -1 for a wrong one, 0 for every other.

    Source: AlphaMath, Chen et al. 2024, arXiv:2405.03553, section 3.2: the reward of terminal nodes.
    """

    scale = SIGNED

    def __init__(self, grade: Grade) -> None:
        self._grade = grade

    async def score(
        self, problem: Problem, steps: Sequence[Step], first: int = 0, seed: int = 0
    ) -> StepScores:
        """The values of `steps[first:]`; `seed` changes nothing."""
        values = [self.scale.middle] * len(steps[first:])
        verdict = await final_verdict(problem, steps, self._grade)
        if verdict is not None and values:
            values[-1] = verdict_value(verdict, self.scale)
        return StepScores(tuple(values), verdict)
