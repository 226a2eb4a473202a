"""Several oracles of steps as one."""

import asyncio
import math
from collections.abc import Sequence

from understand_r1_zero.search.step import Step
from understand_r1_zero.search.step_oracle import SIGNED, Scale, StepOracle, StepScores
from understand_r1_zero.types import Problem


class CombinedOracle:
    """The weighted mean `sum_i w_i v_i / sum_i w_i` of several oracles' values, each mapped into one scale.

    All are asked at once, by the same seed. The verdict is the first that there is, in the order of the
    oracles; tokens add up.

    Args:
        weighted: the oracles, each with its weight.
        scale: that of the mean.

    Raises:
        ValueError: no oracle, or a weight that is not positive and finite.
    """

    def __init__(self, weighted: Sequence[tuple[StepOracle, float]], scale: Scale = SIGNED) -> None:
        if not weighted:
            raise ValueError("a combined oracle needs at least one oracle, got none")
        for oracle, weight in weighted:
            if not (weight > 0 and math.isfinite(weight)):
                raise ValueError(
                    f"the weight of {type(oracle).__name__} must be positive, got {weight}; "
                    "leave the oracle out instead"
                )
        self.scale = scale
        self._weighted = tuple(weighted)

    async def score(
        self, problem: Problem, steps: Sequence[Step], first: int = 0, seed: int = 0
    ) -> StepScores:
        """The mean values of `steps[first:]`."""
        scores = await asyncio.gather(
            *(oracle.score(problem, steps, first, seed) for oracle, _ in self._weighted)
        )
        total = sum(weight for _, weight in self._weighted)
        values = [0.0] * len(steps[first:])
        for (oracle, weight), score in zip(self._weighted, scores, strict=True):
            for place, value in enumerate(score.values):
                values[place] += weight / total * oracle.scale.into(self.scale, value)
        verdicts = [score.verdict for score in scores if score.verdict is not None]
        return StepScores(
            tuple(values),
            verdicts[0] if verdicts else None,
            sum(score.num_tokens for score in scores),
        )
