"""Units of measurement behind a number: recognised, and written in one way.

Units are compared by name, never converted: 100 cm is not 1 m here, since a problem asks for one.
"""

from collections.abc import Sequence

from understand_r1_zero.grading.reading.latex import Kind, Token, Unreadable

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
_ONE_NAME = {other: name for name, others in _NAMES.items() for other in others.split()}
_RATIOS = {"mph": {"mi": 1, "h": -1}, "kmph": {"km": 1, "h": -1}, "kph": {"km": 1, "h": -1}}
_POWERS = {"square": 2, "sq": 2, "squared": 2, "cubic": 3, "cu": 3, "cubed": 3}
_IDLE = frozenset(("of", "the", "a", "an", "in"))


def split_unit(tokens: Sequence[Token]) -> tuple[Sequence[Token], Sequence[Token]]:
    """The value's tokens and those of the unit behind it, which begins with the first word.

    Both parts are the whole and nothing where what follows the first word is no unit.
    """
    start = next((i for i, token in enumerate(tokens) if token.kind is Kind.WORD), len(tokens))
    tail = tokens[start:]
    if start and all(_may_be_in_unit(token) for token in tail):
        return tokens[:start], tail
    return tokens, ()


def read_unit(tokens: Sequence[Token]) -> tuple[str, int]:
    """The unit in one spelling such as `m s^-1`, empty for none, and what number words multiply by."""
    powers: dict[str, int] = {}
    factor, sign, pending = 1, 1, 1
    last = ""
    position = 0
    while position < len(tokens):
        token = tokens[position]
        word = token.text.lower()
        position += 1
        if token.text == "^":
            exponent, position = _exponent(tokens, position)
            if not last:
                raise Unreadable("an exponent without a unit")
            powers[last] = powers[last] * exponent
        elif token.text == "/" or word == "per":
            sign = -1
        elif word in NUMBER_WORDS and not powers:
            factor *= NUMBER_WORDS[word]
        elif word in _POWERS:
            if word in ("squared", "cubed") and last:
                powers[last] *= _POWERS[word]
            else:
                pending = _POWERS[word]
        elif word in _RATIOS:
            powers |= _RATIOS[word]
        elif token.kind in (Kind.WORD, Kind.LETTER) and word not in _IDLE | {"-"}:
            last = _one_name(token.text)
            powers[last] = powers.get(last, 0) + sign * pending
            pending = 1
    return " ".join(f"{name}^{power}" for name, power in sorted(powers.items())), factor


def _may_be_in_unit(token: Token) -> bool:
    if token.kind in (Kind.WORD, Kind.SPACE, Kind.NUMBER):
        return True
    return token.text in ("^", "/", "{", "}", "-", "(", ")", ".", r"\cdot")


def _exponent(tokens: Sequence[Token], position: int) -> tuple[int, int]:
    sign = 1
    while position < len(tokens):
        token = tokens[position]
        position += 1
        if token.text == "-":
            sign = -1
        elif token.kind is Kind.NUMBER and token.text.isdecimal():
            if position < len(tokens) and tokens[position].text == "}":
                position += 1
            return sign * int(token.text), position
        elif token.text != "{" and token.kind is not Kind.SPACE:
            break
    raise Unreadable("a unit to no power")


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
