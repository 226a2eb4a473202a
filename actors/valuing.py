"""Grades answers and values nodes, for all searches of an actor."""

import asyncio
from collections.abc import Sequence

from oracles.outcome import verdict_value
from understand_r1_zero.grading.grader import Grader
from understand_r1_zero.search.growth import Evaluate
from understand_r1_zero.search.step_oracle import Scale, StepOracle
from understand_r1_zero.search.step_sampler import node_seed
from understand_r1_zero.search.tree import ROOT, SearchTree
from understand_r1_zero.types import Problem, Status, Verdict

VALUED_ENDS = ("", "answer", "solved")
"""Nodes that ended otherwise have failed: they have the lowest value, and no oracle is asked."""


class AnswerGrader:
    """Grades answers that codecs have found."""

    def __init__(self, grader: Grader) -> None:
        self._grader = grader

    async def grade(self, problem: Problem, answer: str | None) -> Verdict:
        """Whether an answer is one of the problem's; none is unparsable, unless no gold can be read."""
        grade = await asyncio.wrap_future(self._grader.grade(answer, problem.answers))
        is_right = grade.status is Status.CORRECT
        return Verdict(float(is_right), grade.status, answer, grade.reason)

    def are_equal(self, answer: str, other: str) -> bool:
        """Whether two answers are the same; waits for a grading process."""
        return self._grader.grade(answer, (other,)).result().status is Status.CORRECT


class Valuer:
    """Values nodes of trees.

    Args:
        grader: of answers.
        scale: of all values that searches see.
        has_graded_ends: final answers are valued by the grader, and not by oracles.
    """

    def __init__(self, grader: AnswerGrader, scale: Scale, *, has_graded_ends: bool) -> None:
        self.scale = scale
        self._grader = grader
        self._has_graded_ends = has_graded_ends
        self.num_waiting = 0
        """Values that are asked for now."""
        self.oracle_tokens = 0
        """Sampled by oracles so far."""

    def evaluator(self, problem: Problem, seed: int, oracle: StepOracle) -> Evaluate:
        """Values nodes of a tree of the problem."""

        async def evaluate(tree: SearchTree, numbers: Sequence[int]) -> Sequence[float]:
            self.num_waiting += len(numbers)
            try:
                return await asyncio.gather(*(value(tree, number) for number in numbers))
            finally:
                self.num_waiting -= len(numbers)

        async def value(tree: SearchTree, number: int) -> float:
            node = tree.nodes[number]
            if node.terminal not in VALUED_ENDS:
                return self.scale.low
            if number == ROOT:
                # Selection never reads it, and there is no step to read.
                return self.scale.middle
            if self._has_graded_ends and node.answer is not None:
                return verdict_value(await self._grader.grade(problem, node.answer), self.scale)
            steps = tree.steps(number)
            value_seed = node_seed(seed, f"value {tree.tag(number)}")
            scores = await oracle.score(problem, steps, len(steps) - 1, value_seed)
            self.oracle_tokens += scores.num_tokens
            return oracle.scale.into(self.scale, scores.values[0])

        return evaluate
