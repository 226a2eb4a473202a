"""How codecs of plain text ask, and where they find the answer: by the run's prompt template."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from understand_r1_zero.grading.extraction import Extraction
from understand_r1_zero.search.codecs.step import Fault, Reason, unusable
from understand_r1_zero.search.step import Step
from understand_r1_zero.templates import Template


@dataclass(frozen=True, slots=True)
class TemplatePrompt:
    """A template with the tokenizer it may need, and what finds the answer in a response."""

    template: Template
    tokenizer: Any
    extract: Extraction

    @property
    def stop(self) -> tuple[str, ...]:
        """What ends a response by the template."""
        return self.template.stop

    def render(self, problem_text: str, steps: Sequence[Step]) -> str:
        """The prompt of the template, then the steps."""
        return self.template.render(problem_text, self.tokenizer) + "".join(
            step.text for step in steps
        )

    def answer(self, text: str, steps: Sequence[Step] = ()) -> str | None:
        """The answer that the text names after the steps; what stands in a thought is none."""
        before = "".join(step.text for step in steps)
        thought = max(before.rfind("<think>"), before.rfind("</think>"))
        context = before[thought:] if thought >= 0 else ""
        return self.extract(context + text)

    def unusable(self, text: str, is_truncated: bool) -> Fault | None:
        r"""What is wrong in every format, or with a text that begins another problem.

        A stop string of the template that begins with a line end, such as `\nProblem:`, tells where one
        begins. As the delimiter of steps comes first, its line end is in the step before.
        """
        if fault := unusable(text, is_truncated):
            return fault
        starts = (stop.strip() for stop in self.stop if stop.startswith("\n") and stop.strip())
        if found := next(filter(text.lstrip().startswith, starts), None):
            return Fault(Reason.REPEATS_PROMPT, found)
        return None
