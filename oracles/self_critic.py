"""The policy's own opinion of its steps: it is asked for a number, and the number is read."""

import asyncio
import re
from collections.abc import Sequence

from understand_r1_zero.search.step import Step
from understand_r1_zero.search.step_oracle import PROBABILITY, StepScores, Write
from understand_r1_zero.search.step_sampler import node_seed
from understand_r1_zero.types import Problem

CRITIC_PROMPT = """\
You check the work of a student, who may not be done yet. Judge the last step on the whole: is everything so far \
correct, and does it lead towards the answer?

Problem:
{problem}

The student's solution so far:
{solution}

Give one number between 0 and 1: 0 if there is an error or it leads nowhere, 1 if it is correct and sure to lead to \
the answer. Write the number and nothing else.

Score: """

_PLACES = ("{problem}", "{solution}")
# A number is taken whole, with the sign, percentage or fraction that makes it another one.
_NUMBER = re.compile(
    r"(?<![\w.])(?P<number>-?(?>\d+(?:\.\d+)?|\.\d+))(?!\w)(?P<rest>(?>\s*%|\s*/\s*\d+(?:\.\d+)?)?)"
)


def read_score(text: str) -> float | None:
    """The first number of a text that lies in [0, 1]; None where there is none.

    Percentages and fractions (`8/10`) are no such numbers, nor are digits within a word.
    """
    for match in _NUMBER.finditer(text):
        number = float(match["number"])
        if not match["rest"] and 0 <= number <= 1:
            return number
    return None


class SelfCriticOracle:
    """The mean of the scores that the policy gives each partial solution; the middle where it gives none.

    Texts without a score are left out. `num_tokens` stays 0: `Write` does not tell how many it sampled.

    Args:
        write: the policy.
        num_samples: how many opinions of each partial solution.
        prompt: has `{problem}` and `{solution}` in it, and ends where the policy writes its score.

    Source: the self-critic of ReST-MCTS*, Zhang et al. 2024, arXiv:2406.03816; the words are our own.

    Raises:
        ValueError: fewer samples than 1, or a prompt without one of its two places.
    """

    scale = PROBABILITY

    def __init__(self, write: Write, num_samples: int = 1, prompt: str = CRITIC_PROMPT) -> None:
        if num_samples < 1:
            raise ValueError(f"the critic's samples must be at least 1, got {num_samples}")
        if missing := [place for place in _PLACES if place not in prompt]:
            raise ValueError(
                f"the critic's prompt must have {' and '.join(_PLACES)} in it, got {prompt[:60]!r} without "
                f"{' and '.join(missing)}; put it where the text belongs"
            )
        self._write = write
        self._num_samples = num_samples
        self._prompt = prompt

    async def score(
        self, problem: Problem, steps: Sequence[Step], first: int = 0, seed: int = 0
    ) -> StepScores:
        """The values of `steps[first:]`, asked for at once."""
        values = await asyncio.gather(
            *(
                self._value(problem, steps[:end], node_seed(seed, str(end)))
                for end in range(first + 1, len(steps) + 1)
            )
        )
        return StepScores(tuple(values))

    async def _value(self, problem: Problem, steps: Sequence[Step], seed: int) -> float:
        texts = await self._write(self._filled(problem, steps), self._num_samples, seed)
        scores = [score for text in texts if (score := read_score(text)) is not None]
        return sum(scores) / len(scores) if scores else self.scale.middle

    def _filled(self, problem: Problem, steps: Sequence[Step]) -> str:
        """In one pass: a problem or a solution that has braces of its own stays as it is."""
        parts = {
            "{problem}": problem.text.strip(),
            "{solution}": "".join(step.text for step in steps).strip(),
        }
        return re.sub("|".join(map(re.escape, parts)), lambda found: parts[found[0]], self._prompt)
