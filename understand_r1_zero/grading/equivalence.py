r"""Whether an answer equals a gold answer: an exact path that cannot hang, and math-verify.

`is_exact_match` is linear in the length of its texts and safe in any process. `is_equivalent`
evaluates text that a model wrote, which may take for ever or all memory: only a grading worker
(worker.py) may call it.

Conventions: `1e-5` is scientific notation, `1,234` and `1\,234` are one number, two plain numbers
are equal only when exactly equal, a lone letter keeps its case. The rest is math-verify's: `50\%`
equals both 50 and 0.5, units are dropped, `x=5` equals `5`, other numbers agree to six decimals.
"""

import re
from fractions import Fraction
from functools import cache
from typing import Any

from understand_r1_zero.grading.conventions import Conventions

MAX_ANSWER_CHARS = 2000
"""Longer text is not read as mathematics; the longest gold of our benchmarks has 204 characters."""

_MAX_RELATIVE_GAP = 1e-5

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
_FRACTION = re.compile(r"([+-]?)\\frac\{([^{}/]*)\}\{([^{}/]*)\}")

_SPACED_DIGITS = re.compile(r"(?<!\\frac)[0-9]\s+[0-9]")
_BRACE = re.compile(r"\\.|([{}])", re.DOTALL)
_EXPONENT = re.compile(r"(?<![\w.])([0-9]+(?:\.[0-9]+)?)[eE]([+-]?[0-9]{1,3})(?![\w.])")


class UnparsableGoldError(ValueError):
    """The gold answer cannot be read, so no answer can be judged by it."""


def is_exact_match(answer: str, gold: str, conventions: Conventions) -> bool | None:
    """Whether both texts are the same after cosmetics, or the same plain number.

    None where only mathematics can tell, that is where they differ and are neither both plain
    numbers nor both single letters. An empty gold decides nothing; a differing answer over
    `MAX_ANSWER_CHARS` is wrong, and so is an empty one.
    """
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
    return None if value is None or gold_value is None else value == gold_value


def normalise(text: str) -> str:
    r"""The text without math delimiters, `\text{}`, idle white space and a trailing period."""
    text = _without_delimiters(text)
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


def _without_delimiters(text: str) -> str:
    text = _MATH_DELIMITERS.sub("", text.strip()).replace("−", "-")
    return text.strip().removesuffix(".").rstrip()


def is_equivalent(answer: str, gold: str, conventions: Conventions) -> bool:
    """Whether both are the same mathematics, by the exact path where it decides, else math-verify.

    May never return and may take all memory. Raises `UnparsableGoldError`. math-verify compares
    numbers by six decimals, so that 1.6e-19 equals 9.1e-31; what it accepts must also agree to
    five digits, and exactly where both are rational.
    """
    is_exact = is_exact_match(answer, gold, conventions)
    if is_exact is not None:
        return is_exact
    gold_value = _parse(gold)
    if gold_value is None:
        raise UnparsableGoldError(f"cannot parse the gold answer {gold!r}")
    value = _parse(answer)
    if value is None:
        return False
    # math-verify's own timeouts need SIGALRM in the main thread; the pool's deadline replaces them.
    if not _math_verify().verify(gold_value, value, timeout_seconds=None):
        return False
    return "%" in answer + gold or not _differ_in_value(value, gold_value)


def warm_up() -> None:
    """Load math-verify and fill its parser's caches, which takes a second."""
    is_equivalent(r"-\frac{1}{2}x^{2}+\sqrt{3}", r"\sqrt{3}-x^2/2", Conventions())
    is_equivalent(r"(-\infty, 2] \cup \{3, 4\}", r"\{3\}", Conventions())
    is_equivalent(r"y=2\sin(\pi x)", r"\pi", Conventions())


@cache
def _math_verify() -> Any:
    """math-verify, imported late: it takes a second and only workers need it."""
    import math_verify

    return math_verify


@cache
def _extraction_config() -> tuple[Any, ...]:
    """Read exactly the box that `_parse` puts around its text, never some number found nearby."""
    return (
        _math_verify().LatexExtractionConfig(
            try_extract_without_anchor=False, boxed_match_priority=0
        ),
    )


def _parse(text: str) -> Any:
    """The SymPy object that a text denotes, or None."""
    text = _without_delimiters(text)
    if not text or len(text) > MAX_ANSWER_CHARS or not _has_balanced_braces(text):
        return None
    if _SPACED_DIGITS.search(text):  # math-verify reads `1 2` as 3 and `1 1/2` as 1
        return None
    text = _EXPONENT.sub(r"\1\\times 10^{\2}", text)
    parsed = _math_verify().parse(
        rf"\boxed{{{text}}}",
        extraction_config=_extraction_config(),
        fallback_mode="no_fallback",
        extraction_mode="first_match",
        parsing_timeout=None,
    )
    return parsed[0] if parsed else None


def _has_balanced_braces(text: str) -> bool:
    depth = 0
    for brace in _BRACE.findall(text):
        depth += {"{": 1, "}": -1, "": 0}[brace]
        if depth < 0:
            return False
    return depth == 0


def _differ_in_value(left: Any, right: Any) -> bool:
    """Whether both are numbers, or assign one to a symbol, and those are not close."""
    from sympy import Eq, Expr

    values = []
    for side in (left, right):
        value = side.rhs if isinstance(side, Eq) and side.lhs.is_Symbol else side
        if not (isinstance(value, Expr) and value.is_number):
            return False
        values.append(value.doit())
    value, other = values
    if value.is_Rational and other.is_Rational:
        return value != other
    return bool(abs(value - other).evalf() > _MAX_RELATIVE_GAP * abs(other).evalf())
