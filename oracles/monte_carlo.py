"""Values of steps by sampling on: how often a policy that goes on from a step comes to the right answer.

Completions are drawn in rounds, so that an engine gets them in batches, and no further round is drawn once
the question is settled. The seed of a round depends on the step and the round alone.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Literal

from oracles.outcome import final_verdict, verdict_value
from understand_r1_zero.search.step import Step
from understand_r1_zero.search.step_oracle import (
    PROBABILITY,
    Complete,
    Completion,
    Draws,
    Grade,
    StepScores,
)
from understand_r1_zero.search.step_sampler import node_seed
from understand_r1_zero.search.step_values import (
    first_error_binary,
    first_error_linear,
    hard_estimate,
    soft_estimate,
)
from understand_r1_zero.types import Problem, Status, Verdict

ESTIMATES = {"hard": hard_estimate, "soft": soft_estimate}
SCANS = {"linear": first_error_linear, "binary": first_error_binary}

IsSettled = Callable[[int, int, int], bool]
"""Whether so many right ones, of so many drawn, of so many in all, decide what was asked."""


def hard_settled(num_right: int, num_drawn: int, num_completions: int) -> bool:
    """The first right one decides the hard estimate, which no further one can change."""
    return num_right > 0


def soft_settled(threshold: float) -> IsSettled:
    """Whether the soft estimate of all N completions would reach the threshold is decided.

    `r / N >= t`, or `(r + N - n) / N < t` after n draws with r right ones: what is left to draw cannot cross
    the threshold. Exact, unlike a test of significance: the answer is always that of all N. As
    `r / N <= r / n <= (r + N - n) / N`, the share so far lies on the same side.
    """

    def is_settled(num_right: int, num_drawn: int, num_completions: int) -> bool:
        num_left = num_completions - num_drawn
        return (
            num_right / num_completions >= threshold
            or (num_right + num_left) / num_completions < threshold
        )

    return is_settled


def never_settled(num_right: int, num_drawn: int, num_completions: int) -> bool:
    """The share itself is asked for: all are drawn."""
    return False


class Completions:
    """Draws completions of partial solutions and has them graded.

    Args:
        complete: the policy.
        grade: the grader.
        num_completions: N, of each partial solution at most.
        round_completions: how many are drawn before it is asked whether they suffice.

    Raises:
        ValueError: one of the two numbers is below 1.
    """

    def __init__(
        self, complete: Complete, grade: Grade, num_completions: int, round_completions: int
    ) -> None:
        for name, number in (
            ("completions of a step", num_completions),
            ("completions of a round", round_completions),
        ):
            if number < 1:
                raise ValueError(f"the {name} must be at least 1, got {number}")
        self._complete = complete
        self._grade = grade
        self._num_completions = num_completions
        self._round_completions = round_completions

    async def draw(
        self, problem: Problem, steps: Sequence[Step], seed: int, is_settled: IsSettled
    ) -> Draws:
        """Round after round until it is settled, all are drawn, or the gold answer proves unreadable."""
        is_right: list[bool] = []
        completions: list[Completion | None] = []
        num_tokens = num_rounds = 0
        while (left := self._num_completions - len(is_right)) > 0:
            count = left if is_settled is never_settled else min(self._round_completions, left)
            round_seed = node_seed(seed, f"{len(steps)}.{num_rounds}")
            drawn = await self._complete(problem, steps, count, round_seed)
            num_rounds += 1
            num_tokens += sum(completion.num_tokens for completion in drawn)
            found = await asyncio.gather(
                *(final_verdict(problem, completion.steps, self._grade) for completion in drawn)
            )
            verdicts = [verdict for verdict in found if verdict is not None]
            for verdict in verdicts:
                if verdict.status is Status.UNKNOWN:
                    unknown = Verdict(0.0, Status.UNKNOWN, reason=verdict.reason)
                    return Draws(tuple(is_right), num_tokens, unknown)
            is_right += [v is not None and v.status is Status.CORRECT for v in found]
            # Where the context is full none comes: asking again would never end.
            is_right += [False] * (count - len(drawn))
            completions += [*drawn, *[None] * (count - len(drawn))]
            if is_settled(sum(is_right), len(is_right), self._num_completions):
                break
        return Draws(tuple(is_right), num_tokens, completions=tuple(completions))


class MonteCarloOracle:
    """The hard or soft estimate of each step from at most N completions; a final step is graded instead.

    Hard: 1 where any is right, and none is drawn after the round with the first right one. Soft: the share
    of right ones; with a `threshold` drawing stops as `soft_settled` has it, and the share of those drawn is
    on the same side of the threshold as that of all N would be, but is not unbiased.

    Source: Math-Shepherd, Wang et al. 2024, arXiv:2312.08935, eq. 3 and 4, where all N are drawn.

    Raises:
        ValueError: a number below 1, or a threshold that is not in (0, 1] or not of a soft estimate.
    """

    scale = PROBABILITY

    def __init__(
        self,
        complete: Complete,
        grade: Grade,
        *,
        estimate: Literal["hard", "soft"] = "hard",
        num_completions: int = 8,
        round_completions: int = 4,
        threshold: float | None = None,
    ) -> None:
        if threshold is not None and not (estimate == "soft" and 0 < threshold <= 1):
            raise ValueError(
                f"the threshold must be in (0, 1] and of a soft estimate, got {threshold} of a {estimate} "
                "one; leave it out to draw all completions"
            )
        self._grade = grade
        self._estimate = ESTIMATES[estimate]
        self._completions = Completions(complete, grade, num_completions, round_completions)
        if estimate == "hard":
            self._is_settled: IsSettled = hard_settled
        else:
            self._is_settled = never_settled if threshold is None else soft_settled(threshold)

    async def score(
        self, problem: Problem, steps: Sequence[Step], first: int = 0, seed: int = 0
    ) -> StepScores:
        """The values of `steps[first:]`, whose completions are asked for at once."""
        verdict = await final_verdict(problem, steps, self._grade)
        if verdict is not None and verdict.status is Status.UNKNOWN:
            return _unknown(verdict, len(steps[first:]), 0)
        last = len(steps) if verdict is None else len(steps) - 1
        draws = await asyncio.gather(
            *(
                self._completions.draw(problem, steps[:end], seed, self._is_settled)
                for end in range(first + 1, last + 1)
            )
        )
        num_tokens = sum(drawn.num_tokens for drawn in draws)
        for drawn in draws:
            if drawn.unknown is not None:
                return _unknown(drawn.unknown, len(steps[first:]), num_tokens)
        values = [self._estimate(drawn.is_right) for drawn in draws]
        if verdict is not None and first < len(steps):
            values.append(verdict_value(verdict, self.scale))
        return StepScores(tuple(values), verdict, num_tokens)


class FirstErrorOracle:
    """1 for each step before the first error, 0 from it on: the step after which no completion is right.

    `linear` asks for one step after another (Self-Explore's first pit, N = 4), `binary` halves what is left
    (OmegaPRM, N = 8). A solution that ends right has no error and is not scanned, as in both papers; it is
    itself a right completion of all its steps. The last step of one that ends wrong needs no completions.
    With `first` the steps before it are taken for good.

    Source: Hwang et al. 2024, arXiv:2404.10346, section 3.2; Luo et al. 2024, arXiv:2406.06592, section 3.2.

    Raises:
        ValueError: a number below 1.
    """

    scale = PROBABILITY

    def __init__(
        self,
        complete: Complete,
        grade: Grade,
        *,
        scan: Literal["linear", "binary"] = "linear",
        num_completions: int = 4,
        round_completions: int = 4,
    ) -> None:
        self._grade = grade
        self._find = SCANS[scan]
        self._completions = Completions(complete, grade, num_completions, round_completions)

    async def score(
        self, problem: Problem, steps: Sequence[Step], first: int = 0, seed: int = 0
    ) -> StepScores:
        """The values of `steps[first:]`; steps are asked for one after another."""
        num_values = len(steps[first:])
        verdict = await final_verdict(problem, steps, self._grade)
        if verdict is not None and verdict.status is Status.UNKNOWN:
            return _unknown(verdict, num_values, 0)
        if verdict is not None and verdict.status is Status.CORRECT:
            return StepScores((self.scale.high,) * num_values, verdict)
        asked: list[Draws] = []

        async def is_right(place: int) -> bool:
            end = first + place
            ends_wrong = verdict is not None and end == len(steps)
            if ends_wrong or any(draws.unknown for draws in asked):
                return False
            asked.append(await self._completions.draw(problem, steps[:end], seed, hard_settled))
            return any(asked[-1].is_right)

        error = await self._find(num_values, is_right)
        num_tokens = sum(draws.num_tokens for draws in asked)
        if asked and asked[-1].unknown is not None:
            return _unknown(asked[-1].unknown, num_values, num_tokens)
        num_good = num_values if error is None else error - 1
        values = [self.scale.high] * num_good + [self.scale.low] * (num_values - num_good)
        return StepScores(tuple(values), verdict, num_tokens)


def _unknown(verdict: Verdict, num_values: int, num_tokens: int) -> StepScores:
    return StepScores((PROBABILITY.middle,) * num_values, verdict, num_tokens)
