"""LaTeX as tokens: cosmetics removed, words told from mathematics, thousands separators resolved."""

import re
from collections.abc import Iterator, Sequence
from enum import Enum
from typing import NamedTuple

MAX_ANSWER_CHARS = 2000
"""Longer text is not read as mathematics; the longest gold of our benchmarks has 204 characters."""

MAX_DEPTH = 40
"""Brackets within brackets; deeper text is not read."""


class Unreadable(ValueError):
    """The text is no answer that we can read as mathematics."""


class Kind(Enum):
    """What a token is."""

    NUMBER = "number"
    LETTER = "letter"
    COMMAND = "command"
    WORD = "word"
    OPEN = "open"
    CLOSE = "close"
    OTHER = "other"
    SPACE = "space"


class Token(NamedTuple):
    """One piece of LaTeX; words come without their `\\text{}`."""

    kind: Kind
    text: str


FUNCTIONS = frozenset(
    [
        "sin",
        "cos",
        "tan",
        "cot",
        "sec",
        "csc",
        "arcsin",
        "arccos",
        "arctan",
        "sinh",
        "cosh",
        "tanh",
        "log",
        "ln",
        "lg",
        "exp",
        "max",
        "min",
        "gcd",
        "lcm",
    ]
)
_NAMES = (FUNCTIONS - {"max", "min", "sec"}) | frozenset(
    ["sqrt", "pi", "infty", "cup", "cap", "alpha", "beta", "gamma", "theta", "lambda"]
)
"""Words that are mathematics without their backslash."""

_SHORT_WORDS = frozenset(["yes", "no", "odd", "and", "or", "am", "pm"])
"""Words of less than four letters; other such runs of letters are products of variables."""

UNITS = frozenset(
    [
        "cm",
        "mm",
        "km",
        "dm",
        "kg",
        "mg",
        "lb",
        "lbs",
        "oz",
        "ft",
        "in",
        "inch",
        "foot",
        "feet",
        "mph",
        "kmh",
        "kph",
        "ml",
        "cents",
        "cent",
        "hr",
        "hrs",
        "min",
        "mins",
        "sec",
        "secs",
        "sq",
        "usd",
        "day",
        "days",
        "deg",
        "mol",
        "kj",
        "kw",
        "hz",
    ]
)
"""Short units that may stand behind a number without `\\text{}`; longer words always may."""

_CHARACTERS = str.maketrans(
    {
        "−": "-", "–": "-", "×": r"\times ", "·": r"\cdot ", "⋅": r"\cdot ", "÷": "/",
        "π": r"\pi ", "∞": r"\infty ", "°": r"^\circ ", "√": r"\sqrt ", "≤": r"\leq ",
        "≥": r"\geq ", "≠": r"\neq ", "∪": r"\cup ", "∩": r"\cap ", "∈": r"\in ", "±": r"\pm ",
        "∓": r"\mp ", "ℝ": r"\mathbb{R}", "∅": r"\emptyset ", "½": r"\frac{1}{2}",
        "¼": r"\frac{1}{4}", "¾": r"\frac{3}{4}", "⅓": r"\frac{1}{3}", "⅔": r"\frac{2}{3}",
        "²": "^{2}", "³": "^{3}", "⟨": r"\langle ", "⟩": r"\rangle ", "’": "'", "\u00a0": " ",
        "θ": r"\theta ", "α": r"\alpha ", "β": r"\beta ", "λ": r"\lambda ", "€": r"\euro ",
        "£": r"\pounds ",
    }
)  # fmt: skip

_REWRITES = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"(?<=\d)\{,\}(?=\d{3}(?!\d))|(?<=\d),?(?<!\\)\\[!,] ?(?=\d{3}(?!\d))", ""),
        (r"\\(?:left|right|[bB]igg?[lr]?|displaystyle|textstyle|limits|!)(?![A-Za-z])", ""),
        (r"(?<!\\)\\(?:[,;: >]|quad(?![A-Za-z])|qquad(?![A-Za-z]))|~|&nbsp;", " "),
        (r"\\[dtc]frac(?![A-Za-z])", r"\\frac"),
        (r"\\(?:lbrace|rbrace)(?![A-Za-z])", lambda m: r"\{" if "l" in m[0][:2] else r"\}"),
        (r"\\(?:operatorname|mathop)\*?\s*\{([A-Za-z]+)\}", r"\\\1 "),
        (r"\\(?:mathit|mathbf|boldsymbol|bm)\s*\{\s*([A-Za-z])\s*\}|\\mathrm\s*\{\s*([dei])\s*\}",
         lambda m: f" {m[1] or m[2]} "),
        (r"\\(?:mathrm|mathbf|mathit|mathsf|textbf|textit|textrm|textnormal|mbox|boldsymbol|bm|rm)"
         r"\s*(?=\{)", r"\\text"),
        (r"\\text\s*\{\s*(\\?%|[^A-Za-z{}]*)\s*\}", r" \1 "),
        (r"\\(?:boxed|fbox|underline)\s*(?=\{)|(?<!\\)\{\s*\}", ""),
        (r"\\mathbb\s*([A-Z])", r"\\mathbb{\1}"),
        (r"(?<=[0-9\s~{])([apAP])\.\s?([mM])(?![A-Za-z])\.?", r"\1\2"),
        (r"\^\s*\{?\s*\\circ\s*\}?\s*([CF])(?![A-Za-z])", r"^\\circ\\text{\1}"),
        (r"(?<=[0-9])(\s*)((?:[kcm]?m|ft|mi|k?g|mol|[JWN])\s*/\s*(?:s|h|hr|min|[lLK]|k?g|m)(?:\^\{?[23]\}?)?)\s*$",
         r"\1\\text{\2}"),
        (r"\\(?:percent|%)|%", r"\\%"),
        (r"\^\s*\{?((?:\s*\\prime(?![A-Za-z]))+)\s*\}?", lambda m: "'" * m[1].count("prime")),
        (r"\*\*", "^"),
        (r"\\l?dots|\\cdots|\.\.\.|…", r"\\dots "),
        (r"<=", r"\\leq "),
        (r">=", r"\\geq "),
        (r"!=(?!=)", r"\\neq "),
    )
)  # fmt: skip

_TOKEN = re.compile(
    r"\\text\s*\{(?P<words>[^{}]*)\}"
    r"|(?P<environment>\\(?:begin|end)\s*\{[a-zA-Z*]+\})"
    r"|(?P<command>\\[A-Za-z]+|\\[^\sA-Za-z])"
    r"|(?P<number>(?:[0-9]+(?:\.[0-9]+|\.(?=\s*\\(?:overline|bar)))?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3}(?![0-9A-Za-z]))?)"
    r"|(?P<letters>[A-Za-z]+)"
    r"|(?P<space>\s+)"
    r"|(?P<other>.)",
    re.DOTALL,
)
_OPENING = {"(": ")", "[": "]", "{": "}", r"\{": r"\}", r"\langle": r"\rangle",
            r"\lfloor": r"\rfloor", r"\lceil": r"\rceil"}  # fmt: skip
_CLOSING = frozenset(_OPENING.values())
_THREE_DIGITS = re.compile(r"[0-9]{3}(?:\.[0-9]+)?")
_UP_TO_THREE_DIGITS = re.compile(r"[1-9][0-9]{0,2}")
_LONE_DOLLAR = re.compile(r"(?<!\\)\$(?=\s*[0-9.])")


def tokenize(text: str) -> list[Token]:
    """The tokens of an answer, without math delimiters and other cosmetics.

    Raises `Unreadable` for text that is empty, too long, nested too deep, or holds control
    characters.
    """
    if len(text) > MAX_ANSWER_CHARS:
        raise Unreadable(f"over {MAX_ANSWER_CHARS} characters")
    tokens = _without_outer_space(_join_thousands(list(_scan(_clean(text)))))
    if not tokens:
        raise Unreadable("empty")
    return tokens


def closing(token: Token) -> str:
    """What closes an opening token."""
    return _OPENING[token.text]


def depths(tokens: Sequence[Token]) -> list[int]:
    """How many brackets are open around each token, an opening or closing one inside its own.

    A half-open interval may close with the other kind of bracket. Raises `Unreadable` where brackets
    do not balance or are deeper than `MAX_DEPTH`.
    """
    depth, found = 0, []
    for token in tokens:
        if token.kind is Kind.OPEN:
            depth += 1
        found.append(depth)
        if token.kind is Kind.CLOSE:
            depth -= 1
        if not 0 <= depth <= MAX_DEPTH:
            raise Unreadable("unbalanced brackets" if depth < 0 else "nested too deep")
    if depth:
        raise Unreadable("unbalanced brackets")
    return found


def _clean(text: str) -> str:
    text = text.translate(_CHARACTERS)
    if text.count("$") == 1:
        text = _LONE_DOLLAR.sub(r"\\$", text)
    text = re.sub(r"(?<!\\)\$|\\[()\[\]](?=\s*$)|^\s*\\[()\[\]]", "", text)
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    return text.strip().removesuffix(".").strip()


def _scan(text: str) -> Iterator[Token]:
    before: Token | None = None  # the last token that is no space
    for match in _TOKEN.finditer(text):
        kind, piece = match.lastgroup, match[0]
        if kind == "words":
            tokens = _words(match["words"])
        elif kind == "letters":
            tokens = _letters(piece, before)
        else:
            tokens = iter((Token(_kind(kind, piece), _plain(kind, piece)),))
        for token in tokens:
            yield token
            if token.kind is not Kind.SPACE:
                before = token


def _kind(group: str | None, piece: str) -> Kind:
    if group == "environment":
        return Kind.OPEN if "begin" in piece else Kind.CLOSE
    if piece in _OPENING:
        return Kind.OPEN
    if piece in _CLOSING:
        return Kind.CLOSE
    if not piece.isprintable() and not piece.isspace():
        raise Unreadable(f"control character {piece!a}")
    return {"number": Kind.NUMBER, "space": Kind.SPACE, "command": Kind.COMMAND}.get(
        group or "", Kind.OTHER
    )


def _plain(group: str | None, piece: str) -> str:
    if group == "environment":
        return piece.partition("{")[2].rstrip("*}")
    return " " if group == "space" else piece


def _words(text: str) -> Iterator[Token]:
    """The content of `\\text{}`: words, and whatever else stands between them."""
    for piece in re.finditer(
        r"[A-Za-z]+(?:['-][A-Za-z]+)*|\s+|[0-9]+(?:\.[0-9]+)?|.", text, re.DOTALL
    ):
        if piece[0].isspace():
            yield Token(Kind.SPACE, " ")
        elif piece[0][0].isalpha() and piece[0].isascii():
            yield Token(Kind.WORD, piece[0])
        else:
            yield from _scan(piece[0])


def _letters(text: str, before: Token | None) -> Iterator[Token]:
    """A function, a word, a unit where it stands behind a number, or else separate variables."""
    is_behind_number = before is not None and (
        before.kind in (Kind.NUMBER, Kind.WORD, Kind.CLOSE) or before.text == "/"
    )
    is_unit = is_behind_number and text.lower() in UNITS
    if text in _NAMES:
        yield Token(Kind.COMMAND, f"\\{text}")
    elif len(text) > 3 or text.lower() in _SHORT_WORDS or is_unit:
        yield Token(Kind.WORD, text)
    else:
        yield from (Token(Kind.LETTER, letter) for letter in text)


def _join_thousands(tokens: list[Token]) -> list[Token]:
    """`1,234` outside brackets is one number; inside, and before a space, a comma separates.

    A single space separates thousands too. Three digits must follow each separator.
    """
    joined: list[Token] = []
    depth = 0
    index = 0
    while index < len(tokens):
        token = tokens[index]
        depth += (token.kind is Kind.OPEN) - (token.kind is Kind.CLOSE)
        is_start = depth == 0 and token.kind is Kind.NUMBER
        if is_start and _UP_TO_THREE_DIGITS.fullmatch(token.text):
            end = _end_of_thousands(tokens, index)
            digits = "".join(t.text for t in tokens[index:end] if t.kind is Kind.NUMBER)
            joined.append(Token(Kind.NUMBER, digits))
            index = end
        else:
            joined.append(token)
            index += 1
    return joined


def _end_of_thousands(tokens: Sequence[Token], start: int) -> int:
    end = start + 1
    while end + 1 < len(tokens):
        separator, group = tokens[end], tokens[end + 1]
        is_separator = separator.text in (",", " ")
        if end > start + 1:
            is_separator = (
                separator.text == tokens[start + 1].text and "." not in tokens[end - 1].text
            )
        if not (is_separator and group.kind is Kind.NUMBER and _THREE_DIGITS.fullmatch(group.text)):
            break
        end += 2
    return end


def _without_outer_space(tokens: Sequence[Token]) -> list[Token]:
    start, end = 0, len(tokens)
    while start < end and tokens[start].kind is Kind.SPACE:
        start += 1
    while end > start and tokens[end - 1].kind is Kind.SPACE:
        end -= 1
    return list(tokens[start:end])
