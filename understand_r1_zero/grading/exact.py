"""The cheap path: same text after cosmetics, or same plain number. Linear in time, cannot hang.

It decides most answers without SymPy and without a process, and is safe in any of them.
"""

import math
import re
from fractions import Fraction

from understand_r1_zero.grading.conventions import Conventions
from understand_r1_zero.grading.reading.latex import MAX_ANSWER_CHARS

NO_ANSWER = "the response gives no answer"
"""Why a response is unparsable."""

_COSMETICS = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"(?<!\\)\\!|\\(?:left|right)(?![A-Za-z])", ""),
        (r"\\[dt]frac(?![A-Za-z])", r"\\frac"),
        (r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mbox)\s*\{([^{}]*)\}", r"\1"),
        (r"\{,\}", ","),
        (r"(?:(?<!\\)\\[,;: ]|~|\s)+", " "),
        (r"(?<![A-Za-z0-9,]) | (?![A-Za-z0-9])", ""),
        (r"(\\[A-Za-z]+) (?=[0-9])", r"\1"),
        (r"\\frac([0-9])([0-9])", r"\\frac{\1}{\2}"),
        (r"\\sqrt([0-9])(?![0-9])", r"\\sqrt{\1}"),
        # A comma before exactly three digits separates thousands, with a space behind it a list.
        (r",(?! |[0-9]{3}(?![0-9]))", ", "),
    )
)
_PLAIN = re.compile(r"[^\\\s~,]*")  # what no cosmetic changes
_MATH_DELIMITERS = re.compile(r"\\?\$|^\\[(\[]|\\[)\]]$")
_LETTER = re.compile(r"[A-Za-z]")

_DIGITS = r"(?:[1-9][0-9]{0,2}(?:[, ][0-9]{3}){1,60}|[0-9]{1,200})"
_NUMBER = re.compile(
    rf"(?P<mantissa>[+-]?(?:{_DIGITS}(?:\.[0-9]{{0,200}})?|\.[0-9]{{1,200}}))"
    r"(?:(?:[eE]|(?:\\times|\\cdot|\*|×)10\^)\{?(?P<exponent>[+-]?[0-9]{1,3})\}?)?"
    r"|(?P<sign>[+-]?)10\^\{?(?P<power>[+-]?[0-9]{1,3})\}?"
)
_SMALL_INTEGER = re.compile(r"-?[0-9]{1,18}")
_INTEGER = re.compile(rf"[+-]?{_DIGITS}")
_INTEGER_FRACTION = re.compile(
    r"[+-]?(?:\\frac\{[+-]?([0-9]{1,200})\}\{([0-9]{1,200})\}|([0-9]{1,200})/([0-9]{1,200}))"
)
_FRACTION = re.compile(r"([+-]?)\\frac\{([^{}/]*)\}\{([^{}/]*)\}")


def is_exact_match(answer: str, gold: str, conventions: Conventions) -> bool | None:
    """Whether both texts are the same after cosmetics, or the same plain number.

    None where only mathematics can tell, that is where they differ and are neither both plain
    numbers nor both single letters. An empty gold decides nothing; a differing answer over
    `MAX_ANSWER_CHARS` is wrong, and so is an empty one.
    """
    if _SMALL_INTEGER.fullmatch(answer) and _SMALL_INTEGER.fullmatch(gold):  # most of all
        return int(answer) == int(gold)
    if conventions.units == "required" and (r"\$" in answer) != (r"\$" in gold):
        return None
    answer, gold = normalise(answer), normalise(gold)
    if not gold:
        return None
    if answer == gold:
        return True
    if not answer or len(answer) > MAX_ANSWER_CHARS:
        return False
    if _LETTER.fullmatch(answer) and _LETTER.fullmatch(gold):
        return False
    value, gold_value = read_number(answer), read_number(gold)
    if value is None or gold_value is None:
        return None
    if value != gold_value:
        # A float's ratio is exact: numbers of hundreds of digits neither overflow nor round.
        is_rounded = "." in answer + gold and not value.denominator == gold_value.denominator == 1
        tolerance = Fraction(conventions.relative_tolerance) if is_rounded else 0
        return abs(value - gold_value) <= tolerance * max(abs(value), abs(gold_value))
    return not conventions.simplified or equally_simple(answer, gold)


def is_plain_number(text: str) -> bool:
    """Whether a text is one number, which every way of grading can read."""
    return bool(_SMALL_INTEGER.fullmatch(text)) or read_number(normalise(text)) is not None


def equally_simple(left: str, right: str) -> bool:
    """Whether two equal numbers are both integers as written, or neither is and both are reduced."""
    is_integer = [_INTEGER.fullmatch(text) is not None for text in (left, right)]
    if any(is_integer):
        return all(is_integer)
    return _is_reduced(left) and _is_reduced(right)


def _is_reduced(text: str) -> bool:
    terms = _INTEGER_FRACTION.fullmatch(text)
    if terms is None:
        return True
    top, bottom = (int(term) for term in terms.groups() if term is not None)
    return bottom > 1 and math.gcd(top, bottom) == 1


def normalise(text: str) -> str:
    r"""The text without math delimiters, `\text{}`, idle white space and a trailing period."""
    text = without_delimiters(text)
    if _PLAIN.fullmatch(text):
        return text
    for pattern, replacement in _COSMETICS:
        text = pattern.sub(replacement, text)
    return text


def read_number(text: str) -> Fraction | None:
    """The exact value of a normalised integer, decimal, fraction or scientific notation, else None.

    At most 200 digits and three of the exponent, so that it cannot take long.
    """
    if match := _FRACTION.fullmatch(text):
        text = f"{match[1]}{match[2]}/{match[3]}"
    if "/" in text and " " in text:  # `2 106/108` is a mixed number
        return None
    values = [_read_decimal(part) for part in text.split("/", maxsplit=2)]
    match values:
        case [Fraction() as value]:
            return value
        case [Fraction() as numerator, Fraction() as denominator] if denominator:
            return numerator / denominator
    return None


def _read_decimal(text: str) -> Fraction | None:
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    mantissa = match["mantissa"] or f"{match['sign']}1"
    exponent = int(match["exponent"] or match["power"] or 0)
    value = Fraction(re.sub("[, ]", "", mantissa))
    return value * Fraction(10) ** exponent if exponent else value


def without_delimiters(text: str) -> str:
    """The text without dollar signs, spaces around it and a trailing period."""
    text = _MATH_DELIMITERS.sub(" ", text.strip()).replace("−", "-")
    return text.strip().removesuffix(".").rstrip()
