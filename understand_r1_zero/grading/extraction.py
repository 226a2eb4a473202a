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


def extraction_by_name(name: str) -> Extraction:
    """The extraction called `name`: `boxed` or `answer_tag`."""
    if name not in _EXTRACTIONS:
        raise ValueError(f"extraction must be one of {', '.join(_EXTRACTIONS)}, got {name!r}")
    return _EXTRACTIONS[name]


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


_EXTRACTIONS: dict[str, Extraction] = {"boxed": boxed, "answer_tag": answer_tag}


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
