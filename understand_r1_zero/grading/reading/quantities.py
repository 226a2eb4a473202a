"""Numbers with what stands around them: currency, percent sign, unit, degrees, base, colon."""

import re
from collections.abc import Sequence

import sympy
from sympy import Expr, S, Symbol

from understand_r1_zero.grading.reading.expressions import parse_expression
from understand_r1_zero.grading.reading.forms import (
    Clock,
    Form,
    InBase,
    NamedSet,
    Ratio,
    Value,
    Words,
)
from understand_r1_zero.grading.reading.latex import Kind, Token, Unreadable
from understand_r1_zero.grading.reading.nesting import split, stripped, text_of
from understand_r1_zero.grading.reading.operations import DEGREE
from understand_r1_zero.grading.reading.units import (
    NUMBER_WORDS,
    PERCENT_WORDS,
    read_unit,
    split_unit,
)
from understand_r1_zero.grading.reading.words import plain_words

_CURRENCIES = {r"\$": "dollar^1", r"\euro": "euro^1", r"\pounds": "pound^1"}
_SETS_IN_WORDS = {
    "no solution": S.EmptySet, "no solutions": S.EmptySet, "none": S.EmptySet,
    "empty set": S.EmptySet, "all real numbers": S.Reals, "real numbers": S.Reals,
    "all reals": S.Reals,
}  # fmt: skip
_IN_BASE = re.compile(
    r"(?P<sign>-?)\(?(?P<digits>[0-9][0-9A-F]*(?:\.[0-9A-F]+)?)\)?_\{?(?P<base>[0-9]{1,3})\}?"
)


def read_quantity(tokens: Sequence[Token]) -> Form:
    """A number or expression with its currency, percent sign or unit; or words."""
    if (value := _read_money(tokens)) is not None:
        return value
    tokens, unit_tokens = split_unit(tokens)
    tokens = stripped(tokens)
    if not tokens or any(token.kind is Kind.WORD for token in tokens):
        return _read_words([*tokens, *unit_tokens])
    if (half := _half_of_day(unit_tokens)) and (hour := text_of(tokens)).isdecimal():
        return Clock((int(hour), 0), half)
    if tokens[-1].text == r"\%" and len(tokens) > 1:
        return _percentage(tokens[:-1])
    if unit_tokens and unit_tokens[0].text.lower() in PERCENT_WORDS:
        return _percentage(tokens)
    if (arc := _read_arc(tokens)) is not None:
        return arc
    unit, factor = read_unit(unit_tokens)
    expression, text = parse_expression(tokens), text_of(tokens)
    if expression.has(DEGREE):
        expression, text = _without_degree(expression), text.partition("^")[0]
        unit = f"degree {unit}" if unit else "degree^1"
    return Value(expression * factor, text, unit)


def read_in_base(tokens: Sequence[Token]) -> InBase | None:
    """`1011_2`, `1011_{2}`, `2A_{16}`, or None."""
    match = _IN_BASE.fullmatch(text_of(tokens))
    if match is None:
        return None
    whole, point, rest = match["digits"].partition(".")
    return InBase(f"{match['sign']}{whole.lstrip('0')}{point}{rest}", int(match["base"]))


def read_colon(tokens: Sequence[Token]) -> Clock | Ratio | None:
    """`3:30`, `3:30 p.m.` or `2:3`, or None; what may be a time of day is one."""
    *parts, last = split(tokens, lambda token: token.text in (":", r"\colon"))
    if not parts:
        return None
    last, words = split_unit(last)
    half = _half_of_day(words)
    if words and not half:
        return None
    texts = [text_of(part) for part in [*parts, last]]
    if all(re.fullmatch("[0-9]{1,2}", text) for text in texts):
        hour, *rest = map(int, texts)
        if hour <= 24 and all(
            n < 60 and len(text) == 2 for n, text in zip(rest, texts[1:], strict=True)
        ):
            return Clock((hour, *rest), half)
    return Ratio(tuple(parse_expression(stripped(part)) for part in [*parts, last]))


def _half_of_day(words: Sequence[Token]) -> str:
    """`am`, `pm` or nothing."""
    half = text_of(words).lower()
    return half if half in ("am", "pm") else ""


def _read_money(tokens: Sequence[Token]) -> Value | None:
    """`\\$5`, `-\\$5` or `5\\$`, or None."""
    texts = [token.text for token in tokens]
    marks = [text for text in texts if text in _CURRENCIES]
    if len(marks) != 1 or len(tokens) == 1:
        return None
    place = texts.index(marks[0])
    if place not in (0, len(texts) - 1) and texts[:place] not in (["-"], ["+"]):
        raise Unreadable("a currency sign within an expression")
    value = read_quantity(stripped([*tokens[:place], *tokens[place + 1 :]]))
    currency = _CURRENCIES[marks[0]]
    if not isinstance(value, Value) or value.unit not in ("", currency) or value.is_percent:
        raise Unreadable("a currency sign beside no number")
    return Value(value.expression, value.text, currency)


def _percentage(tokens: Sequence[Token]) -> Value:
    return Value(parse_expression(tokens), text_of(tokens), is_percent=True)


def _read_arc(tokens: Sequence[Token]) -> Value | None:
    """`5'` and `5''`, minutes and seconds of arc (or feet and inches), or None."""
    num_primes = 0
    while len(tokens) > 1 and tokens[-1].text == "'":
        tokens, num_primes = stripped(tokens[:-1]), num_primes + 1
    if num_primes not in (1, 2) or tokens[-1].kind is not Kind.NUMBER:
        return None
    return Value(parse_expression(tokens), text_of(tokens), f"prime^{num_primes}")


def _without_degree(expression: Expr) -> Expr:
    number = expression / DEGREE
    if number.has(DEGREE):
        raise Unreadable("a degree sign within an expression")
    return number


def _read_words(tokens: Sequence[Token]) -> Form:
    words = [token.text for token in tokens if token.kind is not Kind.SPACE]
    if len(words) == 1 and len(words[0]) == 1:  # `\text{A}`
        return Value(Symbol(words[0]), words[0])
    if len(words) == 1 and words[0].lower() in NUMBER_WORDS:
        return Value(sympy.Integer(NUMBER_WORDS[words[0].lower()]), words[0])
    text = plain_words(" ".join(words))
    return NamedSet(_SETS_IN_WORDS[text]) if text in _SETS_IN_WORDS else Words(text)
