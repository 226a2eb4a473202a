"""Answers in words, and letters that name a choice."""

import re

_MARKUP = re.compile(r"\\(?:text|textbf|textrm|mathrm|mathbf|mbox)\s*(?=\{)|\\(?=\s)|[{}$~]")
_CHOICE = re.compile(r"\s*(?:\(([A-J])\)|([A-J])[).:])(?:\s+\S.*)?", re.DOTALL)
_LETTER = re.compile(r"\s*\(?\s*([A-J])\s*\)?\s*")


def plain_words(text: str) -> str:
    """The text as words are compared: lower case, letters and digits only."""
    return " ".join(re.findall(r"[a-z0-9]+", _MARKUP.sub("", text).lower()))


def chosen(left: str, right: str) -> tuple[str, str] | None:
    """The letters of two answers to a multiple choice, or None where they are none.

    At least one of them stands before the choice's content, as in `(B) 12` or `B. 12`, or is marked
    as `B)` is; the other may be the letter alone.
    """
    texts = [_MARKUP.sub("", text) for text in (left, right)]
    choices = [_CHOICE.fullmatch(text) for text in texts]
    letters = [
        choice or _LETTER.fullmatch(text) for choice, text in zip(choices, texts, strict=True)
    ]
    if not any(choices) or letters[0] is None or letters[1] is None:
        return None
    first, second = (next(filter(None, match.groups())) for match in letters if match)
    return first, second
