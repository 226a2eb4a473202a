"""AlphaMath's first round: a base model shown two examples of ReAct writes thought, action, observation.

    Question: {problem}                         the prompt, after instructions and examples

    Thought: {thought}                          a step with code

    Action: python_interpreter

    Action Input:
    ```python
    {code}
    ```

    Observation: {observation}                  sampling stops at the colon

    Thought: {thought}                          the final step

    Final Answer: {answer}
    <Solution complete>

Source: Yao et al. 2022, arXiv:2210.03629 (ReAct); Chen et al. 2024, arXiv:2405.03553;
MARIO-Math-Reasoning/Super_MARIO, `agents/utils.py`. The instructions and examples are our own.

Departures. The two examples are always the same ones: the original draws them anew for every step, so that no
step continues the prompt its parents had, and no prefix can be cached. A step begins with `Thought:` and has
one. Observations cannot begin a line with a mark of the format: a space comes before it.
"""

import re
from collections.abc import Sequence
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

OBSERVATION = "Observation:"
COMPLETE = "<Solution complete>"
NO_ACTION = "nothing was run"
"""The observation of a step whose action is `None`."""

INSTRUCTIONS = """\
You solve mathematical problems step by step. You reason well but calculate badly, so leave calculations to \
Python: you have a tool, python_interpreter, that runs code (math, sympy, numpy and scipy are there) and shows \
what it prints. Write each step in this form, with a blank line between the parts:

Thought: what you know and what to calculate next

Action: python_interpreter, or None

Action Input: Python code in a Markdown fence, or None

Observation: what the action gave; this is written for you

When you know the answer, write instead:

Thought: why this is the answer

Final Answer: the answer alone
<Solution complete>"""

EXAMPLES = (
    """\
Question: A train has 14 wagons with 36 seats each. 129 seats are taken. How many are free?

Thought: There are 14 * 36 seats, and 129 of them are taken.

Action: python_interpreter

Action Input:
```python
print(14 * 36 - 129)
```

Observation: 375

Thought: 375 seats are free.

Final Answer: 375
<Solution complete>""",
    """\
Question: Which positive number $x$ solves $x^2 + 3x = 40$?

Thought: I solve the equation for x and look for the positive solution.

Action: python_interpreter

Action Input:
```python
from sympy import solve, symbols
x = symbols("x")
print(solve(x**2 + 3 * x - 40))
```

Observation: [-8, 5]

Thought: The positive one of -8 and 5 is 5.

Final Answer: $5$
<Solution complete>""",
)

_MARKED_LINE = re.compile(
    r"\n(?=(?:Question|Thought|Action|Action Input|Observation|Final Answer):|<Solution)"
)
_THOUGHT = re.compile(r"^Thought:", re.MULTILINE)
_QUESTION = re.compile(r"^Question:", re.MULTILINE)
_FINAL = re.compile(rf"^{FINAL_ANSWER}", re.MULTILINE)
_ACTION = re.compile(
    r"^Action:(?P<tool>[^\n]*)\n\s*Action Input:(?P<input>.*?)"
    r"(?:^(?P<said>Observation:)(?P<shown>.*)|\Z)",
    re.MULTILINE | re.DOTALL,
)
_TOOLS = ("python_interpreter", "None")


@dataclass(frozen=True, slots=True)
class ReactCodec:
    """Thought, action and observation in paragraphs; see the module."""

    name: str = "react"
    stop: tuple[str, ...] = (f"\n{OBSERVATION}", OBSERVATION, COMPLETE)

    def prompt(self, problem_text: str, steps: Sequence[Step] = ()) -> str:
        """Instructions, two examples and the question, then the steps."""
        shots = "\n\n".join((f"The following are {len(EXAMPLES)} examples.", *EXAMPLES))
        solution = "".join(step.text for step in steps)
        return f"{INSTRUCTIONS}\n\n{shots}\n\nNow it is your turn.\n\nQuestion: {problem_text}\n\n{solution}"

    def parse(
        self,
        sample: str,
        steps: Sequence[Step] = (),
        *,
        stop_reason: str | None = None,
        is_truncated: bool = False,
    ) -> Step | Fault:
        """A step with code, a final step, or one whose action is `None`, which is observed at once."""
        text = with_stop(sample, stop_reason)
        action = _ACTION.search(text)
        if fault := unusable(text, is_truncated) or _misshapen(text):
            return fault
        return _acting_step(text, action) if action else _final_step(text)

    def observe(self, step: Step, output: str, steps: Sequence[Step] = ()) -> Step:
        """The step with what the interpreter printed after `Observation:`."""
        assert step.code is not None, "only code is run"
        return _observed(step, output)

    def split(self, solution: str) -> list[Step]:
        """One step for each line that begins with `Thought:`."""
        thoughts = [match.start() for match in _THOUGHT.finditer(solution)]
        texts = cut(solution, thoughts[1:])
        return [_read(text, index == len(texts) - 1) for index, text in enumerate(texts)]


def _misshapen(text: str) -> Fault | None:
    if _QUESTION.search(text):
        return Fault(Reason.REPEATS_PROMPT, "another question")
    if not text.lstrip("\r\n").startswith("Thought:"):
        return Fault(Reason.NO_STEP, f"begins with {text.lstrip()[:20]!r}, not with 'Thought:'")
    if (num_thoughts := len(_THOUGHT.findall(text))) > 1:
        return Fault(Reason.SEVERAL_STEPS, f"{num_thoughts} thoughts")
    return None


def _acting_step(text: str, action: re.Match[str]) -> Step | Fault:
    tool, section = action["tool"].strip(), action["input"].strip()
    if _FINAL.search(text[: action.start()]) or _FINAL.search(section.rpartition("```")[2]):
        return Fault(Reason.BOTH, FINAL_ANSWER)
    if COMPLETE in section:
        return Fault(Reason.NO_ANSWER, f"{COMPLETE} after an action")
    if tool not in _TOOLS:
        return Fault(Reason.UNKNOWN_ACTION, tool[:40])
    if action["said"] and action["shown"].strip():
        return Fault(Reason.OWN_OUTPUT, action["shown"].strip()[:20])
    text = text if action["said"] else with_line_end(text, "\n\n") + OBSERVATION
    if tool == "None":
        return _observed(Step(text), NO_ACTION)
    code = _code(section)
    if code is None:
        return Fault(Reason.NO_FENCE, section[-20:])
    return Step(text, code=code) if code else Fault(Reason.EMPTY_CODE)


def _code(section: str) -> str | None:
    """Code in a fence, or bare; None where the fence is broken."""
    return fenced_code(section) if "```" in section else section


def _final_step(text: str) -> Step | Fault:
    if not _FINAL.search(text):
        return Fault(Reason.NEITHER, text.strip()[-40:])
    answer = final_answer(text)
    if answer is None:
        return Fault(Reason.NO_ANSWER, f"nothing after {FINAL_ANSWER}")
    if OBSERVATION in text:
        return Fault(Reason.TEXT_AFTER_END, OBSERVATION)
    if after := text.partition(COMPLETE)[2].strip():
        return Fault(Reason.TEXT_AFTER_END, after[:20])
    if COMPLETE not in text:
        text = with_line_end(text) + COMPLETE
    return Step(with_line_end(text, "\n\n"), answer=answer)


def _observed(step: Step, output: str) -> Step:
    shown = _MARKED_LINE.sub("\n ", output.strip())
    space = "" if step.text.endswith(" ") else " "
    text = f"{step.text}{space}{shown}\n\n"
    return replace(step, text=text, observation=shown, observation_start=len(step.text))


def _read(text: str, is_last: bool) -> Step:
    action = _ACTION.search(text)
    if action is None:
        return Step(text, answer=final_answer(text) if is_last else None)
    code = None if action["tool"].strip() == "None" else _code(action["input"].strip())
    if not action["said"]:
        return Step(text, code=code)
    return Step(text, code, action["shown"].strip(), observation_start=action.start("shown"))
