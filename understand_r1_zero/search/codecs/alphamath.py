"""AlphaMath's XML, which the policy is trained to write from the second round on.

    <question> {problem} </question>            the prompt
    <step>                                      a step with code
    <p>
    {thought}
    </p>
    <code>
    ```python
    {code}
    ```
    </code>                                     here sampling stops
    <output>                                    and the interpreter goes on
    {observation}
    </output>
    </step>
    <step>                                      the final step
    <p>
    {thought}
    </p>
    <p>
    Final Answer: {answer}
    </p>
    </step>                                     here sampling stops

Source: Chen et al. 2024, arXiv:2405.03553; MARIO-Math-Reasoning/Super_MARIO, `agents/utils.py`.

Departures. `Final Answer:` inside the code (`print("Final Answer:", x)`) is no answer, where the original
calls the sample both code and answer. Samples are not stripped: their token ids hold. What the code prints
cannot close its tags: `</output>` becomes `< /output>`. One sample at fault is a `Fault`, where the original
raises in a process that holds all its siblings, and loses them.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from understand_r1_zero.search.codecs.answers import FINAL_ANSWER, fenced_code, final_answer
from understand_r1_zero.search.codecs.step import (
    Fault,
    Reason,
    cut,
    unusable,
    with_line_end,
    with_stop,
)
from understand_r1_zero.search.step import Step

STEP, STEP_END = "<step>", "</step>"
CODE, CODE_END = "<code>", "</code>"
OUTPUT, OUTPUT_END = "<output>", "</output>"
_CLOSING_TAG = re.compile(r"<(?=/(?:output|step)>)")
_OBSERVATION = re.compile(r"(?<=</code>)\s*<output>\n?(?P<shown>.*?)\n?</output>", re.DOTALL)
_BLANK = re.compile(r"\s*")


@dataclass(frozen=True, slots=True)
class XmlCodec:
    """Steps in tags, code between them; see the module."""

    name: str = "xml"
    stop: tuple[str, ...] = (f"\n{CODE_END}", CODE_END, STEP_END)

    def prompt(self, problem_text: str, steps: Sequence[Step] = ()) -> str:
        """The question in its tags, then the steps."""
        solution = "".join(step.text for step in steps)
        return f"<question> {problem_text} </question>\n{solution}"

    def parse(
        self,
        sample: str,
        steps: Sequence[Step] = (),
        *,
        stop_reason: str | None = None,
        is_truncated: bool = False,
    ) -> Step | Fault:
        """A step with code or a final step; closing tags that the policy left out are added."""
        text = with_stop(sample, stop_reason)
        prose, code_mark, section = text.partition(CODE)
        if fault := unusable(text, is_truncated) or _misshapen(prose):
            return fault
        return _code_step(text, prose, section) if code_mark else _final_step(text)

    def observe(self, step: Step, output: str, steps: Sequence[Step] = ()) -> Step:
        """The step with its `<output>`, closed."""
        assert step.code is not None, "only code is run"
        shown = _CLOSING_TAG.sub("< ", output.strip())
        said = f"{OUTPUT}\n{shown}\n{OUTPUT_END}\n{STEP_END}\n"
        text = with_line_end(step.text) + said
        return replace(step, text=text, observation=shown, observation_start=len(step.text))

    def split(self, solution: str) -> list[Step]:
        """One step for each `</step>` outside an output; what follows the last one is a step too."""
        texts = cut(solution, _step_ends(solution))
        return [_read(text, index == len(texts) - 1) for index, text in enumerate(texts)]


def _misshapen(prose: str) -> Fault | None:
    """What is wrong with the text before the code, all of it where there is none."""
    if "<question>" in prose:
        return Fault(Reason.REPEATS_PROMPT, "a <question>")
    if not prose.lstrip().startswith(STEP):
        return Fault(Reason.NO_STEP, f"begins with {prose.lstrip()[:20]!r}, not with {STEP}")
    if prose.count(STEP) > 1:
        return Fault(Reason.SEVERAL_STEPS, f"{prose.count(STEP)} times {STEP}")
    if OUTPUT in prose:
        return Fault(Reason.OWN_OUTPUT, OUTPUT)
    if after := prose.partition(STEP_END)[2].strip():
        return Fault(Reason.TEXT_AFTER_END, after[:20])
    return None


def _code_step(text: str, prose: str, section: str) -> Step | Fault:
    section, end_mark, after = section.partition(CODE_END)
    code = fenced_code(section)
    if STEP_END in prose or after.strip():
        return Fault(Reason.TEXT_AFTER_END, after.strip()[:20] or CODE)
    if FINAL_ANSWER in prose:
        return Fault(Reason.BOTH, FINAL_ANSWER)
    if code is None:
        return Fault(Reason.NO_FENCE, section.strip()[-20:])
    if not code:
        return Fault(Reason.EMPTY_CODE)
    return Step(text if end_mark else with_line_end(text) + CODE_END, code=code)


def _final_step(text: str) -> Step | Fault:
    if FINAL_ANSWER not in text:
        return Fault(Reason.NEITHER, text.strip()[-40:])
    answer = final_answer(text)
    if answer is None:
        return Fault(Reason.NO_ANSWER, f"nothing after {FINAL_ANSWER}")
    if STEP_END not in text:
        if not text.rstrip().endswith("</p>"):
            text = with_line_end(text) + "</p>"
        text = with_line_end(text) + STEP_END
    return Step(with_line_end(text), answer=answer)


def _step_ends(solution: str) -> Iterator[int]:
    """Where the steps end, white space after them included; tags inside an output do not count."""
    start = 0
    while (end := solution.find(STEP_END, start)) >= 0:
        output = solution.find(OUTPUT, start, end)
        output_end = solution.find(OUTPUT_END, output) if output >= 0 else -1
        if output_end >= 0:
            start = output_end + len(OUTPUT_END)
            continue
        blank = _BLANK.match(solution, end + len(STEP_END))
        assert blank is not None
        start = blank.end()
        yield start


def _read(text: str, is_last: bool) -> Step:
    _, code_mark, section = text.partition(CODE)
    if not code_mark:
        return Step(text, answer=final_answer(text) if is_last else None)
    code = fenced_code(section.partition(CODE_END)[0])
    observation = _OBSERVATION.search(text)
    if observation is None:
        return Step(text, code=code)
    return Step(text, code, observation["shown"], observation_start=observation.start())
