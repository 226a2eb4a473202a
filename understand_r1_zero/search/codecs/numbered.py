"""Numbered steps, one a line, as ReST-MCTS* and Math-Shepherd write them: `Step 1: ...`.

Source: Zhang et al. 2024, arXiv:2406.03816; THUDM/ReST-MCTS, `MCTS/task.py`, `get_next_step`.

Departures. The original writes the label itself, before whatever a chat model answered; here the policy
writes it, so that its token ids hold, and a wrong number is a fault. It cuts a step at the next `Step`, also
that of `Stepwise`, and takes a step that is a part of an earlier one (`x = 1` after `x = 10`) for a
repetition; here the whole steps are compared.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from understand_r1_zero.search.codecs.lines import steps_of
from understand_r1_zero.search.codecs.step import (
    Fault,
    Reason,
    cut,
    with_line_end,
    with_stop,
)
from understand_r1_zero.search.codecs.template_prompt import TemplatePrompt
from understand_r1_zero.search.step import Step

MIN_CHARS = 2
"""Of a step without its label; ReST-MCTS* asks for two to four, depending on how it found the step."""


@dataclass(frozen=True, slots=True)
class NumberedCodec:
    """Steps `{word} k: ...`; the word is `Step`, or `步骤` in ReST-MCTS*'s Chinese prompts."""

    name: str
    word: str
    template: TemplatePrompt

    @property
    def stop(self) -> tuple[str, ...]:
        """The end of the line, and what ends a response by the template."""
        return ("\n", *self.template.stop)

    def prompt(self, problem_text: str, steps: Sequence[Step] = ()) -> str:
        """The run's prompt template, then the steps."""
        return self.template.render(problem_text, steps)

    def parse(
        self,
        sample: str,
        steps: Sequence[Step] = (),
        *,
        stop_reason: str | None = None,
        is_truncated: bool = False,
    ) -> Step | Fault:
        """One line with the number that comes next; the policy may only end after the answer."""
        text = with_stop(sample, stop_reason)
        if fault := self.template.unusable(text, is_truncated):
            return fault
        if "\n" in text.strip():
            return Fault(Reason.SEVERAL_STEPS, "several lines")
        if fault := misnumbered(text, [step.text for step in steps], self.word):
            return fault
        answer = self.template.answer(text, steps)
        if answer is None and not any(stop in text for stop in self.stop):
            return Fault(Reason.NO_ANSWER, text.strip()[-40:])
        return Step(with_line_end(text), answer=answer)

    def observe(self, step: Step, output: str, steps: Sequence[Step] = ()) -> Step:
        """Never called: no step has code."""
        raise AssertionError(f"steps of the codec {self.name} have no code")

    def split(self, solution: str) -> list[Step]:
        """One step for each line that begins with a label; what comes before belongs to the first."""
        labels = [match.start() for match in _label(self.word).finditer(solution)]
        return steps_of(cut(solution, labels[1:]), self.template)


def misnumbered(text: str, earlier_texts: Sequence[str], word: str) -> Fault | None:
    """What is wrong with the label of the step after these, or with what it labels."""
    label, number = _label(word), len(earlier_texts) + 1
    match = label.match(text.lstrip())
    if match is None:
        return Fault(
            Reason.NO_STEP, f"begins with {text.strip()[:20]!r}, not with '{word} {number}:'"
        )
    if int(match["number"]) != number:
        return Fault(Reason.WRONG_NUMBER, f"{word} {match['number']} for {number}")
    content = text.lstrip()[match.end() :].strip()
    if re.search(rf"{word} ?{number + 1}[:：]", content):
        return Fault(Reason.SEVERAL_STEPS, f"{word} {number + 1} on the same line")
    if len(content) < MIN_CHARS:
        return Fault(Reason.TOO_SHORT, repr(content))
    for index, earlier in enumerate(earlier_texts, start=1):
        if content.split() == label.sub("", earlier).split():
            return Fault(Reason.REPEATS_STEP, f"{word} {index}")
    return None


def _label(word: str) -> re.Pattern[str]:
    return re.compile(rf"^[^\S\n]*{word} ?(?P<number>[0-9]+) ?[:：]", re.MULTILINE)
