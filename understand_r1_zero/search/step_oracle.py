"""What scores the steps of a solution, whatever it is: a value head, a reward model, completions, a search.

Also what such oracles, and searches, ask of engines. Oracles hold no engine: whoever makes one hands these
callables to it. All are asynchronous, so that what many problems ask shares an engine's batches.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from understand_r1_zero.search.step import Step
from understand_r1_zero.types import Problem, Verdict


@dataclass(frozen=True, slots=True)
class Scale:
    """The lowest and the highest value that an oracle gives: of what is surely wrong, and surely right."""

    low: float
    high: float

    @property
    def middle(self) -> float:
        """Of what nothing is known about."""
        return (self.low + self.high) / 2

    def into(self, other: "Scale", value: float) -> float:
        """A value of this scale in another one, by the straight line between them."""
        share = (value - self.low) / (self.high - self.low)
        return other.low + share * (other.high - other.low)


PROBABILITY = Scale(0.0, 1.0)
SIGNED = Scale(-1.0, 1.0)


def scale_of(values: Iterable[float | None]) -> Scale:
    """Of values in a file that does not name it: signed, where any is below 0."""
    is_signed = any(value is not None and value < 0 for value in values)
    return SIGNED if is_signed else PROBABILITY


@dataclass(frozen=True, slots=True)
class StepScores:
    """The values of some steps, in the oracle's scale.

    `verdict` is on the whole solution, where it ends with an answer and the oracle can tell; `num_tokens`
    were sampled to find out.
    """

    values: tuple[float, ...]
    verdict: Verdict | None = None
    num_tokens: int = 0


class StepOracle(Protocol):
    """Values partial solutions."""

    @property
    def scale(self) -> Scale:
        """Of all its values."""
        ...

    async def score(
        self, problem: Problem, steps: Sequence[Step], first: int = 0, seed: int = 0
    ) -> StepScores:
        """The values of `steps[first:]`, each of the partial solution that it ends.

        `seed` is for oracles that sample: the same gives the same values.
        """
        ...


@dataclass(frozen=True, slots=True)
class Completion:
    """Steps that end a partial solution; the last one has an `answer`, unless it came to none."""

    steps: tuple[Step, ...]
    num_tokens: int

    @property
    def answer(self) -> str | None:
        """What it comes to."""
        return self.steps[-1].answer if self.steps else None


@dataclass(frozen=True, slots=True)
class Draws:
    """Completions of a partial solution, whether each is right, and the tokens that were sampled.

    `completions` and `is_right` are parallel: one that never came, as the context was full, is None and not
    right. `unknown` is a verdict that no gold answer can be read; nothing is known then.
    """

    is_right: tuple[bool, ...]
    num_tokens: int
    unknown: Verdict | None = None
    completions: tuple[Completion | None, ...] = ()


Complete = Callable[[Problem, Sequence[Step], int, int], Awaitable[Sequence[Completion]]]
"""So many completions of a partial solution, drawn by a seed."""
Grade = Callable[[Problem, str], Awaitable[Verdict]]
"""Whether an answer is the problem's."""
ReadOutputs = Callable[[Sequence[int], int], Awaitable[np.ndarray]]
"""The bare outputs (T - first, labels) of a token-classification model at `token_ids[first:]`.

NaN at tokens that the engine's context cannot hold: such a step has the lowest value, as nothing can follow it."""
ReadLogprobs = Callable[[Sequence[int], Sequence[int]], Awaitable[np.ndarray]]
"""After a prompt's token ids, the log-probs in nats of some ids as the next token, among these alone.

NaN where the engine's context is full."""
Write = Callable[[str, int, int], Awaitable[Sequence[str]]]
"""So many texts that the policy writes after a prompt, drawn by a seed."""
