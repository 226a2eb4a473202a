"""Tokens cut at brackets and separators."""

from collections.abc import Callable, Iterator, Sequence

from understand_r1_zero.grading.reading.latex import BRACKETS, Kind, Token, Unreadable

MAX_DEPTH = 40
"""Brackets within brackets; deeper text is not read."""


def depths(tokens: Sequence[Token]) -> list[int]:
    """How many brackets are open around each token, an opening or closing one inside its own.

    A half-open interval may close with the other kind of bracket. Raises `Unreadable` where brackets
    do not balance or are deeper than `MAX_DEPTH`.
    """
    is_open: list[str] = []
    found = []
    for token in tokens:
        if token.kind is Kind.OPEN:
            is_open.append(token.text)
        found.append(len(is_open))
        if token.kind is Kind.CLOSE and not (is_open and _closes(token.text, is_open.pop())):
            raise Unreadable("unbalanced brackets")
        if len(is_open) > MAX_DEPTH:
            raise Unreadable("nested too deep")
    if is_open:
        raise Unreadable("unbalanced brackets")
    return found


def _closes(closing: str, opening: str) -> bool:
    is_interval = opening in ("(", "[") and closing in (")", "]")
    return is_interval or closing == BRACKETS.get(opening, opening)


def inside(tokens: Sequence[Token]) -> Sequence[Token] | None:
    """What the first token's bracket holds, if the last token closes it, else None."""
    if tokens[0].kind is not Kind.OPEN or tokens[-1].kind is not Kind.CLOSE:
        return None
    levels = depths(tokens)
    closes_early = any(
        level == 0 or (level == 1 and token.kind is Kind.CLOSE)
        for token, level in zip(tokens[:-1], levels[:-1], strict=True)
    )
    return None if closes_early else tokens[1:-1]


def split(
    tokens: Sequence[Token],
    separates: Callable[[Token], bool],
    separators: list[str] | None = None,
) -> Iterator[Sequence[Token]]:
    """The pieces between separators outside brackets, without spaces around them.

    The separators' texts go into the list.
    """
    start = 0
    for index, (token, level) in enumerate(zip(tokens, depths(tokens), strict=True)):
        if level == 0 and separates(token):
            yield stripped(tokens[start:index])
            if separators is not None:
                separators.append(token.text)
            start = index + 1
    yield stripped(tokens[start:])


def stripped(tokens: Sequence[Token]) -> Sequence[Token]:
    """The tokens without spaces at both ends."""
    start, end = 0, len(tokens)
    while start < end and tokens[start].kind is Kind.SPACE:
        start += 1
    while end > start and tokens[end - 1].kind is Kind.SPACE:
        end -= 1
    return tokens[start:end]


def text_of(tokens: Sequence[Token]) -> str:
    """The tokens' text without spaces."""
    return "".join(token.text for token in tokens if token.kind is not Kind.SPACE)
