"""What a step codec does, and what keeps a sample from being a step.

**Samples stay as they are.** The text of a parsed step begins with the sample, to the character, so that
its token ids hold; what the format still lacks (a closing tag, a line end, an observation) comes after it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise
from typing import Protocol

from understand_r1_zero.search.step import Step


class Reason(StrEnum):
    """Why a sample is no step."""

    EMPTY = "empty"
    TRUNCATED = "truncated"
    """It reached the token limit before its end."""
    NO_STEP = "no step"
    """What opens a step is missing."""
    NO_END = "no end"
    """The policy ended its text before the mark that ends a step."""
    SEVERAL_STEPS = "more than one step"
    TEXT_AFTER_END = "text after the end"
    WRONG_NUMBER = "wrong step number"
    TOO_SHORT = "too short"
    REPEATS_PROMPT = "repeats the prompt"
    REPEATS_STEP = "repeats a step"
    BOTH = "both code and answer"
    NEITHER = "neither code nor answer"
    NO_FENCE = "no code fence"
    EMPTY_CODE = "empty code"
    UNKNOWN_ACTION = "unknown action"
    OWN_OUTPUT = "writes its own output"
    """The policy wrote what the interpreter should have."""
    NO_ANSWER = "no answer"
    """The policy ended its text, or named its answer, and there is none."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why one sample is no step; `detail` is what was found, for people."""

    reason: Reason
    detail: str = ""


class StepCodec(Protocol):
    """How a policy writes a solution in steps. Codecs hold no state; their `steps` are those so far."""

    @property
    def name(self) -> str:
        """The name by which `registry.load_codec` finds it."""
        ...

    @property
    def stop(self) -> tuple[str, ...]:
        """What ends the sampling of a step; best sampled with the stop string kept in the text."""
        ...

    def prompt(self, problem_text: str, steps: Sequence[Step] = ()) -> str:
        """What the policy continues with the next step."""
        ...

    def parse(
        self,
        sample: str,
        steps: Sequence[Step] = (),
        *,
        stop_reason: str | None = None,
        is_truncated: bool = False,
    ) -> Step | Fault:
        """The step that a sample is, or why it is none.

        `stop_reason` is the stop string that ended it, None where the policy did; it is put back
        where the engine has cut it off.
        """
        ...

    def observe(self, step: Step, output: str, steps: Sequence[Step] = ()) -> Step:
        """The step after its code was run: its text goes on with what the interpreter printed."""
        ...

    def split(self, solution: str) -> list[Step]:
        """The steps of a whole solution; their texts join to it. Only the last one can be final."""
        ...


def with_stop(sample: str, stop_reason: str | None) -> str:
    """The sample with the stop string that ended it, which cannot occur in it if it was cut off."""
    return sample if stop_reason is None or stop_reason in sample else sample + stop_reason


def with_line_end(text: str, line_end: str = "\n") -> str:
    r"""The text, ended by `line_end` (`\n` or more of them); line ends that it has are counted."""
    num_present = len(text) - len(text.rstrip("\n"))
    return text + line_end[num_present:]


def unusable(text: str, is_truncated: bool) -> Fault | None:
    """What is wrong in every format."""
    if is_truncated:
        return Fault(Reason.TRUNCATED, f"after {len(text)} characters")
    return None if text.strip() else Fault(Reason.EMPTY)


def cut(solution: str, positions: Iterable[int]) -> list[str]:
    """The pieces between the positions, given in order; a blank one is left with its neighbour."""
    pieces: list[str] = []
    for start, stop in pairwise((0, *positions, len(solution))):
        piece = solution[start:stop]
        if pieces and not (piece.strip() and pieces[-1].strip()):
            pieces[-1] += piece
        elif piece:
            pieces.append(piece)
    return pieces


def ended(steps: Sequence[Step], codec: StepCodec) -> list[Step]:
    """The steps of a whole solution as a search has them, the last one ended as the codec ends it.

    A response stops where its policy stopped, a searched step has its line end: values are read at the last token,
    which must be the same one in training, search and verification. A last piece that is no step stays as it is.
    """
    if not steps:
        return []
    *before, last = steps
    parsed = codec.parse(last.text, before)
    if isinstance(parsed, Step) and parsed.text.startswith(last.text):
        last = replace(last, text=parsed.text)
    return [*before, last]
