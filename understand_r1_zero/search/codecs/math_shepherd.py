"""Math-Shepherd's tags: `ки` where a process reward model reads a step, `+` or `-` in a label's place.

    {problem} Step 1: {text} ки
    Step 2: {text} The answer is: {answer} ки

A row of the published data has `input`, the text above, and `label`, the same with `+` or `-` for each tag.

Source: Wang et al. 2023, arXiv:2312.08935; the data set peiyi9979/Math-Shepherd.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from understand_r1_zero.search.codecs.numbered import misnumbered
from understand_r1_zero.search.codecs.step import (
    Fault,
    Reason,
    cut,
    unusable,
    with_line_end,
    with_stop,
)
from understand_r1_zero.search.codecs.template_prompt import TemplatePrompt
from understand_r1_zero.search.step import Step

TAG, GOOD, BAD = "ки", "+", "-"
# A Russian word may end in the tag.
_TAG = re.compile(rf"(?<!\S){TAG}(?!\S)")
_FIRST_STEP = re.compile(r"(?<!\S)Step 1:")


@dataclass(frozen=True, slots=True)
class ShepherdCodec:
    """Numbered steps that end in the tag; the prompt is what a process reward model reads.

    `template` only tells how answers are read.
    """

    template: TemplatePrompt
    name: str = "math_shepherd"
    stop: tuple[str, ...] = (f" {TAG}",)

    def prompt(self, problem_text: str, steps: Sequence[Step] = ()) -> str:
        """The problem, a space, and the tagged steps."""
        solution = "".join(step.text for step in steps)
        return f"{problem_text} {solution}"

    def parse(
        self,
        sample: str,
        steps: Sequence[Step] = (),
        *,
        stop_reason: str | None = None,
        is_truncated: bool = False,
    ) -> Step | Fault:
        """A numbered step up to its tag."""
        text = with_stop(sample, stop_reason)
        untagged = _TAG.sub("", text)
        earlier_texts = [_TAG.sub("", step.text) for step in steps]
        fault = unusable(text, is_truncated) or misnumbered(untagged, earlier_texts, "Step")
        if fault:
            return fault
        tag = _TAG.search(text)
        if tag is None:
            return Fault(Reason.NO_END, text.strip()[-20:])
        if after := text[tag.end() :].strip():
            return Fault(Reason.TEXT_AFTER_END, after[:20])
        return Step(with_line_end(text), answer=self.template.answer(untagged))

    def observe(self, step: Step, output: str, steps: Sequence[Step] = ()) -> Step:
        """Never called: no step has code."""
        raise AssertionError(f"steps of the codec {self.name} have no code")

    def split(self, solution: str) -> list[Step]:
        """One step for each tag."""
        tags = re.finditer(rf"{_TAG.pattern}\s*", solution)
        texts = cut(solution, (match.end() for match in tags))
        answer = self.template.answer(_TAG.sub("", solution))
        return [
            Step(text, answer=answer if index == len(texts) - 1 else None)
            for index, text in enumerate(texts)
        ]


@dataclass(frozen=True, slots=True)
class LabelledSolution:
    """A problem and the texts of its steps without tags, with a label each: whether it is good."""

    problem_text: str
    step_texts: tuple[str, ...]
    labels: tuple[bool, ...]


def tagged(problem_text: str, step_texts: Sequence[str]) -> str:
    """What a process reward model reads: the problem, and the steps of any codec with a tag each."""
    return _marked(problem_text, step_texts, [TAG] * len(step_texts))


def labelled(solution: LabelledSolution) -> str:
    """The `label` of a row of the published data."""
    marks = [GOOD if is_good else BAD for is_good in solution.labels]
    return _marked(solution.problem_text, solution.step_texts, marks)


def read_labels(row_input: str, row_label: str) -> LabelledSolution:
    """The steps and labels of a row of the published data.

    Labels are found by where the tags are in the input: signs within the text are never taken for one.

    Raises:
        ValueError: no tag, no first step, or a label that is not the input with signs for tags.
    """
    pieces = _TAG.split(row_input)
    first_step = list(_FIRST_STEP.finditer(pieces[0]))
    if len(pieces) == 1 or not first_step:
        raise ValueError(
            f"input must have 'Step 1:' and a tag {TAG!r} after each step, got {row_input[:60]!r}"
        )
    labels: list[bool] = []
    position = 0
    for piece in pieces[:-1]:
        end = position + len(piece)
        sign = row_label[end : end + 1]
        if row_label[position:end] != piece or sign not in (GOOD, BAD):
            raise ValueError(
                f"label must be the input with + or - for each {TAG!r}, got "
                f"{row_label[position : end + 1][-60:]!r} where the input has {piece[-60:]!r}"
            )
        labels.append(sign == GOOD)
        position = end + len(sign)
    problem_text = pieces[0][: first_step[-1].start()]
    texts = (pieces[0][first_step[-1].start() :], *pieces[1:-1])
    return LabelledSolution(
        problem_text.strip(), tuple(text.strip() for text in texts), tuple(labels)
    )


def _marked(problem_text: str, step_texts: Sequence[str], marks: Sequence[str]) -> str:
    lines = (f"{text.strip()} {mark}" for text, mark in zip(step_texts, marks, strict=True))
    return f"{problem_text} " + "\n".join(lines)
