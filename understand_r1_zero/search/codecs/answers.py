"""Answers and code as AlphaMath's two formats mark them, with `Final Answer:` and a Markdown fence."""

import re

from understand_r1_zero.grading.extraction import boxed

FINAL_ANSWER = "Final Answer:"
_END = re.compile(r"</p>|</step>|<Solution complete>")
_DOLLARS = re.compile(r"(\$\$?)([^$]*)\1")
_LANGUAGES = ("", "python", "py", "python3")


def final_answer(text: str) -> str | None:
    r"""What follows the last `Final Answer:` up to the tag that ends it, None where that is nothing.

    A `\boxed{}` in it is the answer; else one pair of dollar signs around it is taken off. Departs from
    `extraction.final_answer` in that the answer may fill several lines, as a matrix does, and from
    AlphaMath in that `$1$ and $2$` keeps its dollar signs, which are not one pair.
    """
    _, mark, rest = text.rpartition(FINAL_ANSWER)
    if not mark:
        return None
    answer = _END.split(rest, maxsplit=1)[0].strip()
    if (in_box := boxed(answer)) is not None:
        return in_box
    if pair := _DOLLARS.fullmatch(answer):
        answer = pair[2].strip()
    return answer or None


def fenced_code(section: str) -> str | None:
    """The Python code of a section that is one Markdown fence and nothing else, else None."""
    opening, line_end, rest = section.strip().partition("\n")
    language = opening.removeprefix("```").strip().lower()
    if not (opening.startswith("```") and line_end and language in _LANGUAGES):
        return None
    return rest.removesuffix("```").rstrip() if rest.endswith("```") else None
