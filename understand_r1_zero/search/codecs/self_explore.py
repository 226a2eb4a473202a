"""Self-Explore's steps of a MATH solution, found by its line ends, formulas and lengths.

Source: Hwang et al. 2024, arXiv:2404.10346; hbin0701/Self-Explore, `gen/utils_others.py`, `get_final_steps`.

The steps are the original's, to the character. Two things are odd in it and kept, as the steps would change:
a cut after ` so` also cuts ` some`, and an answer that is cut off at last may be a tenth step. An empty
solution, which ends the original in a division by zero, has no steps.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from understand_r1_zero.search.codecs.lines import steps_of
from understand_r1_zero.search.codecs.step import Fault, Reason, with_stop
from understand_r1_zero.search.codecs.template_prompt import TemplatePrompt
from understand_r1_zero.search.step import Step

MIN_CHARS = 20
"""A shorter part is joined to the one before."""
MIN_SHARE = 0.3
"""Of the mean length; a shorter part is joined to its shorter neighbour."""
MAX_PARTS = 9
FEW_PARTS = 3
"""With no more than that, each part is cut once again, near its middle."""
ANSWER = "The answer is"

_LINE_END = re.compile(r"(\n\n|\n)")
_FORMULA_END = re.compile(r"(?<=\.\$)\s+|(?<=\$\.)\s+")
_CLAUSE_ENDS = (",$", ", which", " so", " = ", " and", "Thus", "=")


@dataclass(frozen=True, slots=True)
class SelfExploreCodec:
    """Given solutions are cut into steps; a sample is the rest of a solution, up to its answer."""

    template: TemplatePrompt
    name: str = "self_explore"

    @property
    def stop(self) -> tuple[str, ...]:
        """What ends a response by the template."""
        return self.template.stop

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
        """One step to the end of the solution, which must name an answer."""
        text = with_stop(sample, stop_reason)
        if fault := self.template.unusable(text, is_truncated):
            return fault
        answer = self.template.answer(text, steps)
        if answer is None:
            return Fault(Reason.NO_ANSWER, text.strip()[-40:])
        return Step(text, answer=answer)

    def observe(self, step: Step, output: str, steps: Sequence[Step] = ()) -> Step:
        """Never called: no step has code."""
        raise AssertionError(f"steps of the codec {self.name} have no code")

    def split(self, solution: str) -> list[Step]:
        """Steps by `split_math`."""
        return steps_of(split_math(solution), self.template)


def split_math(solution: str) -> list[str]:
    r"""At most ten pieces that join to the solution.

    1. Cut at `\n` and `\n\n`, and after the white space that follows `.$` or `$.`.
    2. Join what is blank or shorter than 20 characters to the part before, then what is shorter than 0.3
       of the mean to its shorter neighbour.
    3. While there are more than 9 parts, join the shortest to its shorter neighbour.
    4. Cut before "The answer is" in the last part; what is left of that part, if shorter than 20
       characters, goes to the part before.
    5. With 3 parts or fewer, cut each of at least 20 characters after the clause end (a comma, "so", "=",
       ...) nearest its middle, if that leaves more than 20 on both sides.
    """
    if not solution:
        return []
    parts = _join_short(_first_parts(solution))
    _join_many(parts)
    _cut_answer(parts)
    if len(parts) > FEW_PARTS:
        return parts
    return [half for part in parts for half in _halves(part)]


def _first_parts(solution: str) -> list[str]:
    parts: list[str] = []
    for line in filter(None, _LINE_END.split(solution)):
        if line.startswith("\n"):
            parts.append(line)
            continue
        start = 0
        for match in _FORMULA_END.finditer(line):
            parts.append(line[start : match.end()])
            start = match.end()
        if start < len(line):
            parts.append(line[start:])
    return parts


def _join_short(first_parts: Sequence[str]) -> list[str]:
    parts: list[str] = []
    for part in first_parts:
        if parts and (not part.strip() or len(part) < MIN_CHARS):
            parts[-1] += part
        else:
            parts.append(part)
    min_chars = MIN_SHARE * (sum(map(len, parts)) / len(parts))
    index = 0
    while index < len(parts):
        if len(parts[index]) >= min_chars:
            index += 1
        else:
            # What it was joined to is looked at again: it may still be short.
            index = _join(parts, index)
    return parts


def _join_many(parts: list[str]) -> None:
    while len(parts) > MAX_PARTS:
        _join(parts, min(range(len(parts)), key=lambda index: len(parts[index])))


def _join(parts: list[str], index: int) -> int:
    """Join a part to its shorter neighbour, the next one if both are equal; where it is then."""
    is_last = index == len(parts) - 1
    if index > 0 and (is_last or len(parts[index - 1]) < len(parts[index + 1])):
        index -= 1
    parts[index] += parts.pop(index + 1)
    return index


def _cut_answer(parts: list[str]) -> None:
    start = parts[-1].find(ANSWER)
    if start <= 0:
        return
    before, answer = parts[-1][:start], parts[-1][start:]
    if len(before) < MIN_CHARS and len(parts) > 1:
        parts[-2:] = [parts[-2] + before, answer]
    else:
        parts[-1:] = [before, answer]


def _halves(part: str) -> list[str]:
    if len(part) < MIN_CHARS:
        return [part]
    ends = [
        match.start() + len(clause_end)
        for clause_end in _CLAUSE_ENDS
        for match in re.finditer(f"(?={re.escape(clause_end)})", part)
    ]
    if not ends:
        return [part]
    middle = min(sorted(ends), key=lambda end: abs(len(part) - 2 * end))
    if middle <= MIN_CHARS or len(part) - middle <= MIN_CHARS:
        return [part]
    return [part[:middle], part[middle:]]
