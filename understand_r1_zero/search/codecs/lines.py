"""One step a line, as GSM8K's solutions are written, or one a paragraph."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from understand_r1_zero.search.codecs.step import (
    Fault,
    Reason,
    cut,
    with_line_end,
    with_stop,
)
from understand_r1_zero.search.codecs.template_prompt import TemplatePrompt
from understand_r1_zero.search.step import Step


@dataclass(frozen=True, slots=True)
class LineCodec:
    r"""Steps that end in `delimiter`: `\n`, or `\n\n` as in search-and-learn and OpenR.

    A step that names the answer is the final one. Blank lines belong to the step before them. Departs from
    Self-Explore's GSM8K steps, which are stripped and so do not join to their solution.
    """

    name: str
    delimiter: str
    template: TemplatePrompt

    @property
    def stop(self) -> tuple[str, ...]:
        """The delimiter, and what ends a response by the template."""
        return (self.delimiter, *self.template.stop)

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
        """Any text up to the delimiter; up to the policy's own end only where it names the answer."""
        text = with_stop(sample, stop_reason)
        if fault := self.template.unusable(text, is_truncated):
            return fault
        if self.delimiter in text.strip():
            num_lines = text.strip().count(self.delimiter) + 1
            return Fault(Reason.SEVERAL_STEPS, f"{num_lines} in one sample")
        answer = self.template.answer(text, steps)
        if answer is None and not any(stop in text for stop in self.stop):
            return Fault(Reason.NO_ANSWER, text.strip()[-40:])
        return Step(with_line_end(text, self.delimiter), answer=answer)

    def observe(self, step: Step, output: str, steps: Sequence[Step] = ()) -> Step:
        """Never called: no step has code."""
        raise AssertionError(f"steps of the codec {self.name} have no code")

    def split(self, solution: str) -> list[Step]:
        """One step for each delimiter."""
        delimiters = re.finditer(re.escape(self.delimiter) + r"\n*", solution)
        texts = cut(solution, (match.end() for match in delimiters))
        return steps_of(texts, self.template)


def steps_of(texts: Sequence[str], template: TemplatePrompt) -> list[Step]:
    """Steps of these texts, the last one with the answer that the solution names."""
    answer = template.answer("".join(texts))
    return [
        Step(text, answer=answer if index == len(texts) - 1 else None)
        for index, text in enumerate(texts)
    ]
