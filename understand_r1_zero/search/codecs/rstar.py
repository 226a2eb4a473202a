"""rStar-Math's program of commented steps, its output, and an answer.

    <|user|>:
    {problem}
    <|assistant|>: Let's think step by step and solve the problem with code.<code>
    # Step 1: {thought}
    {code}
    <end_of_step>                               here sampling stops

    # Step 2: {thought}
    {code}
    # Now print the final answer
    {code}
    <end_of_code>                               here too, and the interpreter goes on
    <output>{observation}<end_of_output>
    <answer>{sentence with a box}<end_of_answer>

The code of every step is run at once, so that an error shows where it was made; what it prints is shown at
`<end_of_code>`, all of the block together. Another `<code>` may follow the output.

The published policies have the tags as special tokens: an engine that skips special tokens hides them.

Source: Guan et al. 2025, arXiv:2501.04519; microsoft/rStar, branch rStar-math, `agents/utils.py`, `train_SFT.py`.

Departures. A step's code is its own lines, for an interpreter whose state is forked, where the original runs
the whole program again; so a step must be whole statements. The original takes `boxed` anywhere, also in a
comment, for the answer, and an answer without a box for code. It asks with an empty line after the problem
that its training did not have; here the prompt is the one of training.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from understand_r1_zero.grading.extraction import boxed, sentence
from understand_r1_zero.search.codecs.step import Fault, Reason, cut, unusable, with_stop
from understand_r1_zero.search.step import Step

STEP_END = "<end_of_step>"
CODE, CODE_END = "<code>", "<end_of_code>"
OUTPUT, OUTPUT_END = "<output>", "<end_of_output>"
ANSWER, ANSWER_END = "<answer>", "<end_of_answer>"
_SAID = re.compile(r"\s*<output>(?P<shown>.*?)<end_of_output>", re.DOTALL)
_STEP_ENDS = re.compile(rf"{STEP_END}|{CODE_END}(?:{_SAID.pattern})?|{ANSWER_END}", re.DOTALL)
_END_MARK = re.compile(rf"{STEP_END}|{CODE_END}|{ANSWER_END}")
_BLANK_LINES = re.compile(r"\A(?:[ \t\r]*\n)+")
_TAG = re.compile(r"<(?=end_of_|/?code>|output>|answer>)")


@dataclass(frozen=True, slots=True)
class RstarCodec:
    """Steps of one program, then the answer; see the module."""

    name: str = "rstar"
    stop: tuple[str, ...] = (STEP_END, CODE_END, ANSWER_END)

    def prompt(self, problem_text: str, steps: Sequence[Step] = ()) -> str:
        """The problem as rStar-Math's policies are trained on it, then the steps."""
        solution = "".join(step.text for step in steps)
        return (
            f"<|user|>:\n{problem_text}\n<|assistant|>: Let's think step by step and solve the "
            f"problem with code.{solution}"
        )

    def parse(
        self,
        sample: str,
        steps: Sequence[Step] = (),
        *,
        stop_reason: str | None = None,
        is_truncated: bool = False,
    ) -> Step | Fault:
        """A piece of the program, or the answer; what it may be depends on the steps before."""
        text = with_stop(sample, stop_reason)
        if fault := unusable(text, is_truncated) or _misshapen(text):
            return fault
        if text.rstrip().endswith(ANSWER_END):
            return _final_step(text, _is_open(steps))
        return _code_step(text, _is_open(steps))

    def observe(self, step: Step, output: str, steps: Sequence[Step] = ()) -> Step:
        """The step with its output; where the block goes on, the output is kept but not shown yet."""
        assert step.code is not None, "only code is run"
        printed = _TAG.sub("< ", output.strip())
        if not step.text.rstrip().endswith(CODE_END):
            return replace(step, observation=printed)
        start = len(steps)
        while start and steps[start - 1].text.rstrip().endswith(STEP_END):
            start -= 1
        earlier = [before.observation for before in steps[start:] if before.observation]
        shown = "\n".join([*earlier, printed] if printed else earlier)
        line_end = "" if step.text.endswith("\n") else "\n"
        text = f"{step.text}{line_end}{OUTPUT}{shown}{OUTPUT_END}"
        return replace(step, text=text, observation=shown, observation_start=len(step.text))

    def split(self, solution: str) -> list[Step]:
        """One step for each end mark; the output belongs to the step whose mark ends the code."""
        texts = cut(solution, (match.end() for match in _STEP_ENDS.finditer(solution)))
        return [_read(text, index == len(texts) - 1) for index, text in enumerate(texts)]


def _is_open(steps: Sequence[Step]) -> bool:
    """Whether the solution so far ends within a program."""
    return bool(steps) and steps[-1].text.rstrip().endswith(STEP_END)


def _misshapen(text: str) -> Fault | None:
    if "<|user|>" in text:
        return Fault(Reason.REPEATS_PROMPT, "<|user|>")
    end = _END_MARK.search(text)
    if end is None:
        return Fault(Reason.NO_END, text.strip()[-20:])
    if after := text[end.end() :].strip():
        is_step = _END_MARK.search(after) is not None
        return Fault(Reason.SEVERAL_STEPS if is_step else Reason.TEXT_AFTER_END, after[:20])
    if OUTPUT in text:
        return Fault(Reason.OWN_OUTPUT, OUTPUT)
    return None


def _code_step(text: str, is_open: bool) -> Step | Fault:
    before, opening, after = text.partition(CODE)
    if is_open == bool(opening) or (opening and before.strip()):
        found = "within a program" if is_open else "after an output or at the start"
        return Fault(Reason.NO_STEP, f"begins with {text.strip()[:20]!r} {found}")
    if ANSWER in text:
        return Fault(Reason.BOTH, ANSWER)
    code = _own_code(after if opening else text)
    return Step(text, code=code) if code else Fault(Reason.EMPTY_CODE)


def _final_step(text: str, is_open: bool) -> Step | Fault:
    before, opening, _ = text.partition(ANSWER)
    if not opening:
        return Fault(Reason.NO_STEP, f"no {ANSWER}")
    if before.strip():
        return Fault(Reason.BOTH, before.strip()[:20])
    if is_open:
        return Fault(Reason.NO_END, f"no {CODE_END} before {ANSWER}")
    answer = _answer(text)
    return (
        Fault(Reason.NO_ANSWER, text.strip()[:40]) if answer is None else Step(text, answer=answer)
    )


def _own_code(text: str) -> str:
    """The lines of a step without its end mark and without blank lines around them."""
    return _BLANK_LINES.sub("", _END_MARK.split(text, maxsplit=1)[0]).rstrip()


def _answer(text: str) -> str | None:
    return boxed(text) or sentence(text)


def _read(text: str, is_last: bool) -> Step:
    end = _END_MARK.search(text)
    if end is None or end[0] == ANSWER_END:
        return Step(text, answer=_answer(text) if is_last and ANSWER in text else None)
    code = _own_code(text.partition(CODE)[2] or text)
    said = _SAID.match(text, end.end()) if end[0] == CODE_END else None
    if said is None:
        return Step(text, code=code)
    return Step(text, code, said["shown"], observation_start=end.end())
