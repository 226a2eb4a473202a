"""When two answers are the same: one rule for each pair of forms, by conventions."""

import itertools
from collections.abc import Sequence

from sympy import Integer, S

from understand_r1_zero.grading.comparison.labels import (
    by_label,
    without_common_label,
    without_label,
)
from understand_r1_zero.grading.comparison.sets import FLIPPED, same_set
from understand_r1_zero.grading.comparison.values import proportional, same_value
from understand_r1_zero.grading.conventions import Conventions
from understand_r1_zero.grading.exact import equally_simple
from understand_r1_zero.grading.reading.forms import (
    Bracketed,
    Clock,
    Form,
    Listing,
    Ratio,
    Relation,
    Rows,
    SetOf,
    Value,
    Words,
)
from understand_r1_zero.grading.reading.words import plain_words

MAX_ITEMS = 60
"""Longer unordered collections are compared in order only: all pairs would take too long."""


def same_answer(left: Form, right: Form, conventions: Conventions) -> bool:
    """Whether both forms are the same answer; symmetric."""
    left, right = without_label(left, right), without_label(right, left)
    match left, right:
        case Value(), Value():
            return _same_quantity(left, right, conventions)
        case Ratio() | Clock(), Ratio() | Clock():
            return _same_colon(left, right)
        case (Rows() | Bracketed(), Rows() | Bracketed()) if Rows in (type(left), type(right)):
            return _same_matrix(left, right, conventions)
        case (Value(), Words() | SetOf()):
            return _same_as_value(left, right, conventions)
        case (Words() | SetOf(), Value()):
            return _same_as_value(right, left, conventions)
    return left == right or _same_composite(left, right, conventions) or same_set(left, right)


def _same_as_value(value: Value, other: Words | SetOf, conventions: Conventions) -> bool:
    """`Amy` reads as a product of variables beside words; a set of one answer stands for it."""
    if isinstance(other, SetOf):
        return len(other.items) == 1 and same_answer(value, other.items[0], conventions)
    text = plain_words(value.text).replace(" ", "")
    return not value.unit and text.isalnum() and text == other.text.replace(" ", "")


def _same_composite(left: Form, right: Form, conventions: Conventions) -> bool:
    match left, right:
        case Relation(), Relation():
            return _same_relation(left, right, conventions)
        case Bracketed(), Bracketed():
            return _same_bracketed(left, right, conventions)
        case (Bracketed(), Listing()):
            return _same_listed(left, right, conventions)
        case (Listing(), Bracketed()):
            return _same_listed(right, left, conventions)
        case (Listing() | SetOf(), Listing() | SetOf()):
            return _same_collection(left, right, conventions)
    return False


def _same_quantity(left: Value, right: Value, conventions: Conventions) -> bool:
    if not _same_unit(left, right, conventions):
        return False
    if conventions.simplified and not equally_simple(left.text, right.text):
        return False
    tolerance = conventions.relative_tolerance if left.has_decimal or right.has_decimal else 0.0
    if same_value(left.expression, right.expression, tolerance):
        return conventions.percent != "exact" or left.is_percent == right.is_percent
    if left.is_percent == right.is_percent or conventions.percent == "ignored":
        return False
    part, whole = (left, right) if left.is_percent else (right, left)
    return same_value(part.expression / 100, whole.expression, tolerance)


def _same_unit(left: Value, right: Value, conventions: Conventions) -> bool:
    match conventions.units:
        case "ignored":
            return True
        case "required":
            return left.unit == right.unit
        case "optional":
            if (left.is_percent and right.unit) or (right.is_percent and left.unit):
                return False
            return left.unit == right.unit or not left.unit or not right.unit


def _same_colon(left: Ratio | Clock, right: Ratio | Clock) -> bool:
    if isinstance(left, Clock) and isinstance(right, Clock):
        is_same_half = left.half == right.half or not left.half or not right.half
        return left.parts == right.parts and is_same_half
    return _same_ratio(_as_ratio(left), _as_ratio(right))


def _as_ratio(form: Ratio | Clock) -> Ratio:
    return form if isinstance(form, Ratio) else Ratio(tuple(map(Integer, form.parts)))


def _same_ratio(left: Ratio, right: Ratio) -> bool:
    """Whether the parts are proportional, and not all zero."""
    if len(left.parts) != len(right.parts) or not (any(left.parts) and any(right.parts)):
        return False
    pairs = list(zip(left.parts, right.parts, strict=True))
    return all(
        same_value(a * other, b * one) for (a, b), (one, other) in itertools.combinations(pairs, 2)
    )


def _same_matrix(left: Rows | Bracketed, right: Rows | Bracketed, conventions: Conventions) -> bool:
    if isinstance(left, Rows):
        if isinstance(right, Rows):
            return _same_rows(left, right, conventions)
        return _same_as_rows(left, right, conventions)
    assert isinstance(right, Rows)
    return _same_as_rows(right, left, conventions)


def _same_rows(left: Rows, right: Rows, conventions: Conventions) -> bool:
    return len(left.rows) == len(right.rows) and all(
        _in_order(row, other, conventions) for row, other in zip(left.rows, right.rows, strict=True)
    )


def _same_as_rows(matrix: Rows, brackets: Bracketed, conventions: Conventions) -> bool:
    """A row or a column is a tuple, a matrix the tuple of its rows."""
    if len(matrix.rows) == 1:
        return _in_order(matrix.rows[0], brackets.items, conventions)
    inner = [item.items for item in brackets.items if isinstance(item, Bracketed)]
    if inner:
        is_nested = len(inner) == len(brackets.items)
        return is_nested and _same_rows(matrix, Rows(tuple(inner)), conventions)
    is_column = all(len(row) == 1 for row in matrix.rows)
    return is_column and _in_order([row[0] for row in matrix.rows], brackets.items, conventions)


def _same_bracketed(left: Bracketed, right: Bracketed, conventions: Conventions) -> bool:
    """Two items may be an interval, whose brackets matter."""
    may_be_interval = len(left.items) == 2
    if may_be_interval and (left.opening, left.closing) != (right.opening, right.closing):
        return False
    return _in_order(left.items, right.items, conventions)


def _same_listed(brackets: Bracketed, listing: Listing, conventions: Conventions) -> bool:
    """`1, 2` and `x = 1, y = 2` may stand for the tuple `(1, 2)`, never for an interval `[1, 2]`."""
    items = by_label(listing.items) or listing.items
    return brackets.opening == "(" and _in_order(brackets.items, items, conventions)


def _same_collection(
    left: Listing | SetOf, right: Listing | SetOf, conventions: Conventions
) -> bool:
    named, others = by_label(left.items), by_label(right.items)
    if (named is None) != (others is None):  # `x = 1, y = 2` beside `1, 2`, which has an order then
        return _in_order(named or left.items, others or right.items, conventions)
    left_items, right_items = without_common_label(left.items), without_common_label(right.items)
    has_set = isinstance(left, SetOf) or isinstance(right, SetOf)
    if max(len(left_items), len(right_items)) > MAX_ITEMS:
        return _in_order(left_items, right_items, conventions)
    if has_set:
        left_items = _distinct(left_items, conventions)
        right_items = _distinct(right_items, conventions)
    elif conventions.order == "ordered":
        return _in_order(left_items, right_items, conventions)
    return _in_any_order(left_items, right_items, conventions)


def _in_order(left: Sequence[Form], right: Sequence[Form], conventions: Conventions) -> bool:
    return len(left) == len(right) and all(
        same_answer(a, b, conventions) for a, b in zip(left, right, strict=True)
    )


def _in_any_order(left: Sequence[Form], right: Sequence[Form], conventions: Conventions) -> bool:
    rest = list(right)
    for item in left:
        places = (i for i, other in enumerate(rest) if same_answer(item, other, conventions))
        if (place := next(places, None)) is None:
            return False
        del rest[place]
    return not rest


def _distinct(items: Sequence[Form], conventions: Conventions) -> Sequence[Form]:
    kept: list[Form] = []
    for item in items:
        if not any(same_answer(item, other, conventions) for other in kept):
            kept.append(item)
    return kept


def _same_relation(left: Relation, right: Relation, conventions: Conventions) -> bool:
    """The same sides, perhaps exchanged; one equation or inequality also up to scale."""
    if len(left.operators) != len(right.operators):
        return False
    for candidate in (right, _exchanged(right)):
        is_same = left.operators == candidate.operators
        if is_same and _in_order(left.sides, candidate.sides, conventions):
            return True
    return len(left.operators) == 1 and _same_up_to_scale(left, right)


def _exchanged(relation: Relation) -> Relation:
    operators = tuple(FLIPPED.get(operator, operator) for operator in reversed(relation.operators))
    return Relation(operators, tuple(reversed(relation.sides)))


def _same_up_to_scale(left: Relation, right: Relation) -> bool:
    """Whether the difference of the sides of one is a constant times that of the other."""
    sides = [*left.sides, *right.sides]
    values = [side.expression for side in sides if isinstance(side, Value)]
    [operator], [other] = left.operators, right.operators
    if len(values) < 4 or operator in ("in", "->"):
        return False
    if any(value.has(S.Infinity, S.NegativeInfinity) for value in values):
        return False
    factor = proportional(values[0] - values[1], values[2] - values[3])
    if factor is None:
        return False
    if operator in FLIPPED and factor.is_negative:
        return operator == FLIPPED.get(other)
    return operator == other
