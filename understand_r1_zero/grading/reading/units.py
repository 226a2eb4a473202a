"""Units of measurement behind a number: recognised, and written in one way.

Units are compared by name, never converted: 100 cm is not 1 m here, since a problem asks for one.
"""

import re
from collections.abc import Sequence

from understand_r1_zero.grading.reading.latex import Kind, Token, Unreadable
from understand_r1_zero.grading.reading.nesting import text_of

NUMBER_WORDS = {
    "hundred": 10**2,
    "thousand": 10**3,
    "million": 10**6,
    "billion": 10**9,
    "trillion": 10**12,
}
PERCENT_WORDS = frozenset(("percent", "percentage", "pct", "percents"))

_NAMES = {
    "cm": "centimeter centimetre",
    "mm": "millimeter millimetre",
    "dm": "decimeter decimetre",
    "km": "kilometer kilometre",
    "m": "meter metre",
    "in": "inch inches",
    "ft": "foot feet",
    "yd": "yard",
    "mi": "mile",
    "g": "gram gramme",
    "kg": "kilogram kilo",
    "mg": "milligram",
    "pound": "lb lbs pounds",
    "oz": "ounce",
    "l": "liter litre",
    "ml": "milliliter millilitre",
    "gal": "gallon",
    "s": "second sec secs",
    "min": "minute mins",
    "h": "hour hr hrs",
    "day": "days",
    "dollar": "dollars usd buck",
    "cent": "cents",
    "degree": "deg degrees",
    "unit": "units",
    "person": "people persons",
}
_MATHEMATICS = frozenset((
    "plus", "minus", "times", "over", "divided", "multiplied", "factorial", "root", "half", "halves",
    "third", "thirds", "quarter", "quarters", "tenth", "tenths", "hundredth", "hundredths",
    "thousandth", "thousandths", "dozen", "tens", "hundreds", "thousands", "millionth", "billionth",
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
    "twelve", "twenty", "not", "wrong", "but", "instead", "sqrt", "choose", "modulo", "mod",
))  # fmt: skip
"""Words that change a number, or take it back."""

_ONE_NAME = {other: name for name, others in _NAMES.items() for other in others.split()}
_RATIOS = {"mph": {"mi": 1, "h": -1}, "kmph": {"km": 1, "h": -1}, "kph": {"km": 1, "h": -1}}
_POWERS = {"square": 2, "sq": 2, "squared": 2, "cubic": 3, "cu": 3, "cubed": 3}
_EXPONENT = re.compile(r"\{?(-?[0-9]{1,2})\}?")
_IDLE = frozenset(("of", "the", "a", "an", "in"))


def split_unit(tokens: Sequence[Token]) -> tuple[Sequence[Token], Sequence[Token]]:
    """The value's tokens and those of the unit behind it, which begins with the first word.

    Both parts are the whole and nothing where what follows the first word is no unit.
    """
    start = next((i for i, token in enumerate(tokens) if token.kind is Kind.WORD), len(tokens))
    tail = tokens[start:]
    is_unit = all(map(_may_be_in_unit, tail)) and not _MATHEMATICS & {t.text.lower() for t in tail}
    if start and is_unit:
        return tokens[:start], tail
    return tokens, ()


def read_unit(tokens: Sequence[Token]) -> tuple[str, int]:
    """The unit in one spelling such as `m^1 s^-1`, empty for none, and what number words multiply by."""
    if _has_number(tokens):
        raise Unreadable("a number within a unit")
    words = [token for token in tokens if token.kind is not Kind.SPACE]
    factor = 1
    while words and (word := words[0].text.lower()) in NUMBER_WORDS:
        factor *= NUMBER_WORDS[word]
        words = words[1:]
    powers = _powers(words)
    return " ".join(f"{name}^{power}" for name, power in sorted(powers.items())), factor


def _powers(tokens: Sequence[Token]) -> dict[str, int]:
    """The power of each unit, which is negative behind a slash."""
    powers: dict[str, int] = {}
    last, sign, pending = "", 1, 1
    for position, token in enumerate(tokens):
        word = token.text.lower()
        if token.text == "^" and last:
            powers[last] *= _exponent(tokens[position + 1 :])
        elif token.text == "/" or word == "per":
            sign = -1
        elif word in ("squared", "cubed"):
            if not last:
                raise Unreadable("a power in words")
            powers[last] *= _POWERS[word]
        elif word in _POWERS:
            pending = _POWERS[word]
        elif word in _RATIOS:
            powers |= _RATIOS[word]
        elif token.kind is Kind.WORD and word not in _IDLE:
            last = _one_name(token.text)
            powers[last] = powers.get(last, 0) + sign * pending
            pending = 1
    return powers


def _has_number(tokens: Sequence[Token]) -> bool:
    """Whether a number stands anywhere but in an exponent."""
    texts = re.sub(r"\^\{?-?[0-9]+\}?", "", text_of(tokens))
    return any(character.isdigit() for character in texts)


def _may_be_in_unit(token: Token) -> bool:
    if token.kind in (Kind.WORD, Kind.SPACE, Kind.NUMBER):
        return True
    return token.text in ("^", "/", "{", "}", "-", "(", ")", ".", r"\cdot")


def _exponent(tokens: Sequence[Token]) -> int:
    match = _EXPONENT.match(text_of(tokens))
    if match is None:
        raise Unreadable("a unit to no power")
    return int(match[1])


def _one_name(word: str) -> str:
    lower = word.lower()
    for candidate in (lower, lower.removesuffix("s"), lower.removesuffix("es")):
        if candidate in _ONE_NAME:
            return _ONE_NAME[candidate]
        if candidate in _NAMES:
            return candidate
    if len(word) <= 2:
        return word  # symbols such as J and K have a case
    return lower.removesuffix("s")
