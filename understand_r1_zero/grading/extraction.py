"""Finding the answer a response commits to: pure functions of its text, linear in its length.

An answer comes from after the last `</think>` where there is one, and never from a thought that was
left open: what a model merely considered is not what it answered.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

Extraction = Callable[[str], str | None]
"""Response text to answer text, or None where the response commits to no answer."""

_BARE = r"[-+]?(?:\.?[0-9]|\\[A-Za-z]+)(?:[^\s${}\\]|\\[A-Za-z]+|\{[^{}]*\})*"
_BOX_OR_BRACE = re.compile(
    r"\\(?:boxed|fbox)(?![A-Za-z])\s*(?P<box>\{|(?P<bare>" + _BARE + r"))|\\.|[{}]", re.DOTALL
)


_FINAL_ANSWER = re.compile(r"final answer\**\s?:\**", re.IGNORECASE)
_SENTENCE = re.compile(
    r"answer(?: to [^.:\n]{1,80})?\**(?:\s(?:is|equals)(?![A-Za-z]):?|\s?:)\**", re.IGNORECASE
)
_END_OF_SENTENCE = re.compile(r"[.!](?=\s|$)|\n|</p>|<end_of_\w+>")
_END_OF_LINE = re.compile(r"\n|</p>|<end_of_\w+>")
_FORMATTING = "*_ \t\r.,;:"


def extraction_by_name(name: str) -> Extraction:
    """The extraction called `name`, one of the functions below."""
    if name not in EXTRACTIONS:
        raise ValueError(f"extraction must be one of {', '.join(EXTRACTIONS)}, got {name!r}")
    return EXTRACTIONS[name]


def boxed(response: str) -> str | None:
    r"""The content of the last balanced `\boxed{}` or `\fbox{}` outside any thought.

    `\boxed 5` reads as `\boxed{5}`, up to white space or `$`. Of nested boxes the outer one counts,
    unless it holds nothing but the inner one. An empty box is no answer.
    """
    return _last_box(_after_thought(response))


def answer_tag(response: str) -> str | None:
    """The text of the last `<answer>...</answer>`, or of the box inside it where there is one.

    The tag must follow `</think>` with nothing but white space between, as the R1 template asks.
    """
    committed = _after_thought(response).lstrip()
    if "</think>" not in response or not committed.startswith("<answer>"):
        return None
    end = committed.rfind("</answer>")
    if end < 0:
        return None
    start = committed.rfind("<answer>", 0, end) + len("<answer>")
    tagged = committed[start:].partition("</answer>")[0]
    return _last_box(tagged) or tagged.strip() or None


def r1_distill(response: str) -> str | None:
    """The last box after the thought, where the response closes exactly one."""
    return boxed(response) if response.count("</think>") == 1 else None


def hashes(response: str) -> str | None:
    """What follows the last `####` on its line, as GSM8K writes its solutions."""
    text = _after_thought(response)
    return _bare(text.rpartition("####")[2].partition("\n")[0]) if "####" in text else None


def final_answer(response: str) -> str | None:
    """What follows the last "Final Answer:" on its line, as AlphaMath and rStar-Math end.

    A box on that line is the answer, and so is what a sentence there calls the answer.
    """
    line = _after_last(_FINAL_ANSWER, _after_thought(response), _END_OF_LINE)
    if line is None:
        return None
    return _last_box(line) or _after_last(_SENTENCE, line, _END_OF_SENTENCE) or line


def sentence(response: str) -> str | None:
    """What the last "the answer is ..." names, up to the end of the sentence, or the box in it."""
    named = _after_last(_SENTENCE, _after_thought(response), _END_OF_SENTENCE)
    return named and (_last_box(named) or named)


def any_form(response: str) -> str | None:
    """The answer in whichever form there is: tags, box, `####`, "Final Answer:", a sentence.

    For completions of unknown origin; the forms are tried in this order, tags with no thought
    before them too. A number that merely comes last is no answer.
    """
    committed = _after_thought(response)
    before, mark, _ = committed.rpartition("</answer>")
    _, opening, tagged = before.rpartition("<answer>")
    if mark and opening:
        return _last_box(tagged) or tagged.strip() or None
    for extract in (boxed, hashes, final_answer, sentence):
        if (answer := extract(response)) is not None:
            return answer
    return None


EXTRACTIONS: dict[str, Extraction] = {
    "boxed": boxed,
    "answer_tag": answer_tag,
    "r1_distill": r1_distill,
    "hash": hashes,
    "final_answer": final_answer,
    "sentence": sentence,
    "any": any_form,
}
"""Where an answer may stand, by the name that templates and flags use."""


def _after_last(start: re.Pattern[str], text: str, end: re.Pattern[str]) -> str | None:
    last = None
    for match in start.finditer(text):
        last = match
    if last is None:
        return None
    stop = end.search(text, last.end())
    return _bare(text[last.end() : stop.start() if stop else len(text)])


def _bare(text: str) -> str | None:
    """The text without Markdown's emphasis and punctuation around it."""
    return text.strip(_FORMATTING).strip() or None


def _after_thought(response: str) -> str:
    """What follows the last closed thought, up to where another one opens."""
    return response.rpartition("</think>")[2].partition("<think>")[0]


class _Box(NamedTuple):
    """Where a balanced box and its content lie."""

    start: int
    end: int
    content: slice


def _last_box(text: str) -> str | None:
    r"""One pass with a stack of open braces, so that `\boxed{` repeated n times costs O(n)."""
    starts: list[tuple[int, int] | None] = []  # of each open box and its content; None: a brace
    last: _Box | None = None
    for token in _BOX_OR_BRACE.finditer(text):
        if token["bare"]:
            last = _Box(token.start(), token.end(), slice(*token.span("bare")))
        elif token["box"]:
            starts.append(token.span())
        elif token[0] == "{":
            starts.append(None)
        elif token[0] == "}" and starts and (start := starts.pop()) is not None:
            content = slice(start[1], token.start())
            if last is not None and _is_sole(last, content, text):
                content = last.content
            last = _Box(start[0], token.end(), content)
    if last is None:
        return None
    return text[last.content].strip().rstrip(".,;:") or None


def _is_sole(inner: _Box, content: slice, text: str) -> bool:
    """Whether an outer box's content is the inner box and white space."""
    if inner.start < content.start:
        return False
    return not (text[content.start : inner.start] + text[inner.end : content.stop]).strip()
