"""LaTeX as tokens: cosmetics removed, words told from mathematics, thousands separators resolved."""

import re
from collections.abc import Iterator, Sequence
from enum import Enum
from typing import NamedTuple

MAX_ANSWER_CHARS = 2000
"""Longer text is not read as mathematics; the longest gold of our benchmarks has 204 characters."""


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


FUNCTIONS = frozenset([
    "sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh",
    "log", "ln", "lg", "exp", "max", "min", "gcd", "lcm",
])  # fmt: skip
"""Functions of one argument, and of several the last four."""

SHORT_UNITS = frozenset([
    "cm", "mm", "km", "dm", "kg", "mg", "lb", "lbs", "oz", "ft", "in", "mph", "kmh", "kph", "ml",
    "hr", "hrs", "min", "sec", "sq", "usd", "day", "deg", "mol", "kj", "kw", "hz",
])  # fmt: skip
"""Units that may stand behind a number without `\\text{}`, as longer words always may."""

LONG_UNITS = frozenset([
    "meter", "metre", "centimeter", "kilometer", "mile", "yard", "feet", "foot", "inch", "inche",
    "gram", "kilogram", "pound", "ounce", "liter", "litre", "gallon", "second", "minute", "hour",
    "week", "month", "year", "dollar", "cent", "degree", "unit", "percent", "mile", "kmph",
    "million", "billion", "thousand", "hundred", "trillion",
])  # fmt: skip
"""Units that may stand right behind a digit; other words need a space."""

UNIT_LETTERS = frozenset("mghslLJNWVKCFA")
"""Units of one letter in `\\text{}`; other letters there are variables."""

BRACKETS = {
    "(": ")", "[": "]", "{": "}", r"\{": r"\}", r"\langle": r"\rangle", r"\lfloor": r"\rfloor",
    r"\lceil": r"\rceil",
}  # fmt: skip
"""What closes each opening bracket."""

_BARE_NAMES = frozenset([
    "sin", "cos", "tan", "cot", "csc", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh",
    "log", "ln", "exp", "gcd", "lcm", "sqrt", "pi", "infty", "theta", "alpha", "beta",
])  # fmt: skip
"""Words that are mathematics without their backslash."""

_SHORT_WORDS = frozenset(["yes", "no", "odd", "and", "or", "am", "pm", "per"])
"""Words of less than four letters; other such runs of letters are products of variables."""

_FUNCTION_OF_LETTERS = re.compile(r"(sin|cos|tan|cot|ln|log)([a-zA-Z]{1,2})")
"""`sinx`."""

_CHARACTERS = str.maketrans({
    "−": "-", "–": "-", "×": r"\times ", "·": r"\cdot ", "⋅": r"\cdot ", "÷": "/",
    "π": r"\pi ", "∞": r"\infty ", "°": r"^\circ ", "√": r"\sqrt ", "≤": r"\leq ", "≥": r"\geq ",
    "≠": r"\neq ", "∪": r"\cup ", "∩": r"\cap ", "∈": r"\in ", "±": r"\pm ", "∓": r"\mp ",
    "ℝ": r"\mathbb{R}", "∅": r"\emptyset ", "½": r"\frac{1}{2}", "¼": r"\frac{1}{4}",
    "¾": r"\frac{3}{4}", "⅓": r"\frac{1}{3}", "⅔": r"\frac{2}{3}", 
    "⟨": r"\langle ", "⟩": r"\rangle ", "’": "'", "\u00a0": " ", "θ": r"\theta ", "α": r"\alpha ",
    "β": r"\beta ", "λ": r"\lambda ", "€": r"\euro ", "£": r"\pounds ",
})  # fmt: skip

_REWRITES = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        # Thousands: `1{,}234`, `1\,234`, `1,\!234`.
        (r"(?<=\d)\{,\}(?=\d{3}(?!\d))|(?<=\d),?\s?(?<!\\)\\[!,]\s?(?=\d{3}(?!\d))", ""),
        # What changes no meaning.
        (r"\\(?:left|right|[bB]igg?[lr]?|displaystyle|textstyle|limits|!)(?![A-Za-z])", ""),
        (r"(?<!\\)\\(?:[,;: >]|q?quad(?![A-Za-z]))|~|&nbsp;", " "),
        (r"\\(?:boxed|fbox|underline)\s*(?=\{)|(?<!\\)\{\s*\}", ""),
        # One spelling for several.
        (r"\\[dtc]frac(?![A-Za-z])", r"\\frac"),
        (r"\\lbrace(?![A-Za-z])", r"\\{"),
        (r"\\rbrace(?![A-Za-z])", r"\\}"),
        (r"\\mathbb\s*([A-Z])", r"\\mathbb{\1}"),
        (r"\\(?:percent|%)|%", r"\\%"),
        (r"\*\*", "^"),
        (r"\^\s*\{?((?:\s*\\prime(?![A-Za-z]))+)\s*\}?", lambda found: "'" * found[1].count("p")),
        (r"\\l?dots|\\cdots|\.\.\.|…", r"\\dots "),
        (r"<=", r"\\leq "),
        (r">=", r"\\geq "),
        (r"(?<![0-9A-Za-z)}])!=(?!=)", r"\\neq "),
        (r"\\degrees?(?![A-Za-z])|\^\s*\(\s*\\circ\s*\)", r"^\\circ "),
        (r"(?<!\\)\binfinity\b", r"\\infty "),
        # Letters and words by their fonts; `\mathrm{m}` is a unit, `\mathrm{e}` is not.
        (r"\\(?:operatorname|mathop)\*?\s*\{([A-Za-z]+)\}", r"\\\1 "),
        (r"\\(?:mathit|mathbf|boldsymbol|bm)\s*\{\s*([A-Za-z])\s*\}", r" \1 "),
        (r"\\mathrm\s*\{\s*([dei])\s*\}", r" \1 "),
        (
            r"\\(?:math(?:rm|bf|it|sf)|text(?:bf|it|rm|normal)|mbox|boldsymbol|bm|rm)\s*(?=\{)",
            r"\\text",
        ),
        (r"\\text\s*\{\s*(\\?%|[^A-Za-z{}]*)\s*\}", r" \1 "),
        # Units that would read as variables: `p.m.`, `20^\circ C`, `3 m/s`.
        (r"(?<=[0-9\s{])([apAP])\.\s?([mM])(?![A-Za-z])\.?", r"\1\2"),
        (r"\^\s*\{?\s*\\circ\s*\}?\s*([CF])(?![A-Za-z])", r"^\\circ\\text{\1}"),
        (
            r"(?<=[0-9])\s*((?:[kcm]?m|ft|mi|k?g|mol|[JWN])\s*/\s*(?:s|h|hr|min|[lLK]|k?g|m)"
            r"(?:\^\{?[23]\}?)?)\s*$",
            r"\\text{\1}",
        ),
    )
)

_NUMBER = (
    r"(?:[0-9]+(?:\.[0-9]+|\.(?=\s*\\(?:overline|bar)))?|\.[0-9]+)"
    r"(?:[eE][+-]?[0-9]{1,3}(?![0-9A-Za-z]))?"
)
_TOKEN = re.compile(
    r"\\text\s*\{(?P<words>[^{}]*)\}"
    r"|(?P<environment>\\(?:begin|end)\s*\{[a-zA-Z*]+\})"
    r"|(?P<command>\\[A-Za-z]+|\\[^\sA-Za-z])"
    rf"|(?P<number>{_NUMBER})"
    r"|(?P<letters>[A-Za-z]+)"
    r"|(?P<space>\s+)"
    r"|(?P<other>.)",
    re.DOTALL,
)
_IN_WORDS = re.compile(
    rf"(?P<word>[A-Za-z]+(?:['-][A-Za-z]+)*)|(?P<rest>{_NUMBER}|\s+|.)", re.DOTALL
)
_DELIMITERS = re.compile(r"(?<!\\)\$|\\[()\[\]](?=\s*$)|^\s*\\[()\[\]]")
_SUPERSCRIPTS = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+")
_SUPERSCRIPT_DIGITS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_LONE_DOLLAR = re.compile(r"(?<!\\)\$(?=\s*[0-9.])")
_THREE_DIGITS = re.compile(r"[0-9]{3}(?:\.[0-9]+)?")
_UP_TO_THREE_DIGITS = re.compile(r"[1-9][0-9]{0,2}")


def tokenize(text: str) -> list[Token]:
    """The tokens of an answer, without math delimiters and other cosmetics.

    Raises `Unreadable` for text that is empty, too long or holds control characters.
    """
    if len(text) > MAX_ANSWER_CHARS:
        raise Unreadable(f"over {MAX_ANSWER_CHARS} characters")
    tokens = _join_thousands(list(_scan(_clean(text))))
    if all(token.kind is Kind.SPACE for token in tokens):
        raise Unreadable("empty")
    return tokens


def _clean(text: str) -> str:
    text = _SUPERSCRIPTS.sub(_as_exponent, text.translate(_CHARACTERS))
    if text.count("$") == 1:  # a currency, since delimiters come in pairs
        text = _LONE_DOLLAR.sub(r"\\$", text)
    text = _DELIMITERS.sub(" ", text)
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    return text.strip().removesuffix(".").strip()


def _as_exponent(superscripts: re.Match[str]) -> str:
    digits = superscripts[0].translate(_SUPERSCRIPT_DIGITS)
    return f"^{digits}" if len(digits) == 1 else f"^{{{digits}}}"


def _scan(text: str) -> Iterator[Token]:
    before: Token | None = None  # the last token that is no space
    for match in _TOKEN.finditer(text):
        group, piece = match.lastgroup, match[0]
        if group == "words":
            tokens = _words(match["words"])
        elif group == "letters":
            is_adjacent = text[match.start() - 1 : match.start()].isdigit()
            tokens = _letters(piece, before, is_adjacent)
        elif group == "space":
            tokens = iter((Token(Kind.SPACE, " "),))
        else:
            tokens = iter((_token(group, piece),))
        for token in tokens:
            yield token
            if token.kind is not Kind.SPACE:
                before = token


def _token(group: str | None, piece: str) -> Token:
    if group == "environment":
        name = piece.partition("{")[2].rstrip("*}")
        return Token(Kind.OPEN if piece.startswith(r"\begin") else Kind.CLOSE, name)
    if piece in BRACKETS:
        return Token(Kind.OPEN, piece)
    if piece in BRACKETS.values():
        return Token(Kind.CLOSE, piece)
    if not piece.isprintable():
        raise Unreadable(f"control character {piece!a}")
    kinds = {"number": Kind.NUMBER, "command": Kind.COMMAND}
    return Token(kinds.get(group or "", Kind.OTHER), piece)


def _words(text: str) -> Iterator[Token]:
    """The content of `\\text{}`: words, and whatever else stands between them."""
    for piece in _IN_WORDS.finditer(text):
        if (word := piece["word"]) in _BARE_NAMES:
            yield Token(Kind.COMMAND, f"\\{word}")
        elif word and len(word) == 1 and word not in UNIT_LETTERS:
            yield Token(Kind.LETTER, word)
        elif word:
            yield Token(Kind.WORD, word)
        else:
            yield from _scan(piece["rest"])


def _letters(text: str, before: Token | None, is_adjacent: bool) -> Iterator[Token]:
    """A function, a word, a unit where it stands behind a number, or else separate variables.

    Right behind a digit (`is_adjacent`) only units that are known are none of these variables.
    """
    is_behind_number = before is not None and (
        before.kind in (Kind.NUMBER, Kind.WORD, Kind.CLOSE) or before.text == "/"
    )
    is_unit = is_behind_number and text.lower() in SHORT_UNITS
    is_word = len(text) > 3 and not (
        is_adjacent and text.lower().removesuffix("s") not in LONG_UNITS
    )
    function = _FUNCTION_OF_LETTERS.fullmatch(text)
    if text in _BARE_NAMES:
        yield Token(Kind.COMMAND, f"\\{text}")
    elif function:
        yield Token(Kind.COMMAND, f"\\{function[1]}")
        yield from (Token(Kind.LETTER, letter) for letter in function[2])
    elif is_word or text.lower() in _SHORT_WORDS or is_unit:
        yield Token(Kind.WORD, text)
    else:
        yield from (Token(Kind.LETTER, letter) for letter in text)


def _join_thousands(tokens: Sequence[Token]) -> list[Token]:
    """`1,234` outside brackets is one number; inside, and before a space, a comma separates.

    A single space separates thousands too. Three digits must follow each separator.
    """
    joined: list[Token] = []
    depth = index = 0
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
            is_first = separator.text == tokens[start + 1].text
            is_separator = is_first and "." not in tokens[end - 1].text
        if separator.text == " " and tokens[end + 2 : end + 3] == [Token(Kind.OTHER, "/")]:
            break  # the mixed number `2 106/108`
        if not (is_separator and group.kind is Kind.NUMBER and _THREE_DIGITS.fullmatch(group.text)):
            break
        end += 2
    return end
