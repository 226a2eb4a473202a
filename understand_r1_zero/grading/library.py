"""math-verify as it is, behind guards against what it is known to read wrongly.

It evaluates text that a model wrote: only a grading worker may call it. Its own timeouts need
SIGALRM in the main thread; the pool's deadline replaces them.
"""

import re
from functools import cache
from typing import Any

from understand_r1_zero.grading.exact import without_delimiters
from understand_r1_zero.grading.reading.latex import MAX_ANSWER_CHARS, Unreadable

_MAX_RELATIVE_GAP = 1e-5

_SPACED_DIGITS = re.compile(r"(?<!\\frac)[0-9]\s+[0-9]")
_BRACE = re.compile(r"\\.|([{}])", re.DOTALL)
_EXPONENT = re.compile(r"(?<![\w.])([0-9]+(?:\.[0-9]+)?)[eE]([+-]?[0-9]{1,3})(?![\w.])")


def agrees(answer: str, gold: str) -> bool:
    """Whether math-verify calls both the same.

    It compares numbers by six decimals, so that 1.6e-19 equals 9.1e-31; what it accepts must also
    agree to five digits, and exactly where both are rational. Raises `Unreadable` for a gold answer
    that it cannot parse.
    """
    gold_value = _parse(gold)
    if gold_value is None:
        raise Unreadable("math-verify cannot parse it")
    value = _parse(answer)
    if value is None or not _math_verify().verify(gold_value, value, timeout_seconds=None):
        return False
    return "%" in answer + gold or not _differ_in_value(value, gold_value)


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
    text = without_delimiters(text)
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
