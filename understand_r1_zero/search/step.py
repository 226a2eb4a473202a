"""A step of a solution. A solution is the texts of its steps, joined with nothing between."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """One step: its text as it continues the prompt, with all delimiters, and what was read in it.

    `code` is what the step asks to have run (None: nothing), `observation` what the interpreter said, as
    it is shown (None: not run yet; the empty string: it said nothing), `answer` the final answer (None:
    not a final step). From `observation_start` to its end the text is the interpreter's, not the policy's.
    `has_failed` tells that the code raised an error or was stopped.
    """

    text: str
    code: str | None = None
    observation: str | None = None
    answer: str | None = None
    observation_start: int | None = None
    has_failed: bool = False


def trainable_spans(
    steps: Sequence[Step], *, with_observations: bool = False
) -> list[tuple[int, int]]:
    """The character ranges of the joined solution that are trained on: all but observations.

    Departs from AlphaMath, which trains on what its interpreter printed; `with_observations` does so.
    """
    spans: list[tuple[int, int]] = []
    start = 0
    for step in steps:
        num_own = len(step.text)
        if step.observation_start is not None and not with_observations:
            num_own = step.observation_start
        stop = start + num_own
        if spans and spans[-1][1] == start:
            spans[-1] = (spans[-1][0], stop)
        elif stop > start:
            spans.append((start, stop))
        start += len(step.text)
    return spans
