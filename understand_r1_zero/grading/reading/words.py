"""Answers in words, and letters that name a choice."""

import re

_MARKUP = re.compile(r"\\(?:text|textbf|textrm|mathrm|mathbf|mbox)\s*(?=\{)|\\(?=\s)|[{}$~]")
_WORD = re.compile(r"[a-z]+|[-.]?\s?[0-9]+|[+*/^=<>%]")
_CHOICE = re.compile(r"\s*(?:\(([A-J])\)|([A-J])[).:])(?:\s+(?P<content>\S.*))?", re.DOTALL)
_OTHER_LETTER = re.compile(r"(?<![A-Za-z])[A-J](?![A-Za-z])")
_LETTER = re.compile(r"\s*\(?\s*(?:([A-J])|(?!))\s*\)?\s*()")


def plain_words(text: str) -> str:
    """The text as words are compared: lower case, without punctuation, signs of numbers kept."""
    pieces = _WORD.findall(_MARKUP.sub("", text).lower())
    return " ".join("".join(piece.split()) for piece in pieces)


def chosen(left: str, right: str) -> tuple[str, str] | None:
    """The letters of two answers to a multiple choice, or None where they are none.

    At least one of them stands before the choice's content, as in `(B) 12` or `B. 12`, or is marked
    as `B)` is; the other may be the letter alone.
    """
    texts = [_MARKUP.sub("", text) for text in (left, right)]
    choices = [_choice(text) for text in texts]
    letters = [
        choice or _LETTER.fullmatch(text) for choice, text in zip(choices, texts, strict=True)
    ]
    if not any(choices) or letters[0] is None or letters[1] is None:
        return None
    first, second = (match[1] or match[2] for match in letters if match)
    return first, second


def _choice(text: str) -> re.Match[str] | None:
    """A letter with its mark, unless what follows names another one."""
    match = _CHOICE.fullmatch(text)
    return None if match is None or _OTHER_LETTER.search(match["content"] or "") else match
