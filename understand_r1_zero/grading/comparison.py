"""When two answers are the same: one rule for each pair of forms (reading.py), by conventions."""

import re
from collections.abc import Sequence

import sympy
from sympy import Interval, S, Set, Symbol

from understand_r1_zero.grading.conventions import Conventions
from understand_r1_zero.grading.exact import equally_simple
from understand_r1_zero.grading.reading import (
    Bracketed,
    Colon,
    Form,
    InBase,
    Listing,
    NamedSet,
    Relation,
    Rows,
    SetOf,
    SetOperation,
    Value,
    Words,
)
from understand_r1_zero.grading.values import proportional, same_number, same_value

MAX_ITEMS = 60
"""Longer unordered collections are compared in order only: all pairs would take too long."""

_CALL = re.compile(r"[A-Za-z](?:_\w|_\{\w+\})?(?:'*|\^\{-1\})\([^()]*\)")
_FLIPPED = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}


def same_form(left: Form, right: Form, conventions: Conventions) -> bool:
    """Whether both forms are the same answer; symmetric."""
    left, right = _without_label(left, right), _without_label(right, left)
    match left, right:
        case Value(), Value():
            return _same_quantity(left, right, conventions)
        case Words(), Words():
            return left == right
        case Colon(), Colon():
            return _same_colon(left, right)
        case InBase(), InBase():
            return left == right
        case Rows(), Rows():
            return _same_rows(left, right, conventions)
        case (Rows(), Bracketed()) | (Bracketed(), Rows()):
            rows, tuple_ = (left, right) if isinstance(left, Rows) else (right, left)
            return _same_as_rows(rows, tuple_, conventions)
        case Relation(), Relation():
            if _same_relation(left, right, conventions):
                return True
        case Bracketed(), Bracketed():
            if _same_bracketed(left, right, conventions):
                return True
        case (Listing() | SetOf() | Bracketed(), Listing() | SetOf() | Bracketed()):
            if _same_collection(left, right, conventions):
                return True
    return _same_set(left, right)


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
        case "optional":
            if (left.is_percent and right.unit) or (right.is_percent and left.unit):
                return False
            return left.unit == right.unit or not left.unit or not right.unit
        case "required":
            return left.unit == right.unit


def _same_colon(left: Colon, right: Colon) -> bool:
    if len(left.parts) != len(right.parts):
        return False
    if left.suffix and right.suffix and left.suffix != right.suffix:
        return False
    if left.parts == right.parts:
        return True
    if left.is_clock or right.is_clock:
        return False
    products = zip(left.parts, right.parts, strict=True)
    first, second = left.parts[0], right.parts[0]
    return all(same_value(a * second, b * first) for a, b in products)


def _same_rows(left: Rows, right: Rows, conventions: Conventions) -> bool:
    return [len(row) for row in left.rows] == [len(row) for row in right.rows] and all(
        _in_order(row, other, conventions) for row, other in zip(left.rows, right.rows, strict=True)
    )


def _same_as_rows(rows: Rows, tuple_: Bracketed, conventions: Conventions) -> bool:
    """A row or column is a tuple, a matrix the tuple of its rows."""
    if len(rows.rows) == 1:
        return _in_order(rows.rows[0], tuple_.items, conventions)
    if all(len(row) == 1 for row in rows.rows) and not isinstance(tuple_.items[0], Bracketed):
        return _in_order([row[0] for row in rows.rows], tuple_.items, conventions)
    inner = [item.items for item in tuple_.items if isinstance(item, Bracketed)]
    is_nested = len(inner) == len(tuple_.items)
    return is_nested and _same_rows(rows, Rows(tuple(inner)), conventions)


def _same_bracketed(left: Bracketed, right: Bracketed, conventions: Conventions) -> bool:
    is_interval = len(left.items) == 2
    if is_interval and (left.opening, left.closing) != (right.opening, right.closing):
        return False
    return _in_order(left.items, right.items, conventions)


def _same_collection(
    left: Listing | SetOf | Bracketed, right: Listing | SetOf | Bracketed, conventions: Conventions
) -> bool:
    kinds = {type(left), type(right)}
    if Bracketed in kinds:
        tuple_ = left if isinstance(left, Bracketed) else right
        if SetOf in kinds or (isinstance(tuple_, Bracketed) and tuple_.opening != "("):
            return False
        return _in_order(_in_named_order(left), _in_named_order(right), conventions)
    is_ordered = conventions.order == "ordered" and SetOf not in kinds
    left_items, right_items = _without_common_label(left.items), _without_common_label(right.items)
    if SetOf in kinds:
        left_items = _distinct(left_items, conventions)
        right_items = _distinct(right_items, conventions)
    if is_ordered or len(left_items) > MAX_ITEMS:
        return _in_order(left_items, right_items, conventions)
    return _in_any_order(left_items, right_items, conventions)


def _in_order(left: Sequence[Form], right: Sequence[Form], conventions: Conventions) -> bool:
    return len(left) == len(right) and all(
        same_form(a, b, conventions) for a, b in zip(left, right, strict=True)
    )


def _in_any_order(left: Sequence[Form], right: Sequence[Form], conventions: Conventions) -> bool:
    if len(left) != len(right):
        return False
    rest = list(right)
    for item in left:
        found = next(
            (i for i, other in enumerate(rest) if same_form(item, other, conventions)), None
        )
        if found is None:
            return False
        del rest[found]
    return True


def _distinct(items: Sequence[Form], conventions: Conventions) -> Sequence[Form]:
    kept: list[Form] = []
    for item in items[: MAX_ITEMS + 1]:
        if not any(same_form(item, other, conventions) for other in kept):
            kept.append(item)
    return kept


def _same_relation(left: Relation, right: Relation, conventions: Conventions) -> bool:
    if len(left.operators) == len(right.operators):
        for candidate in (right, _flipped(right)):
            if left.operators == candidate.operators and _in_order(
                left.sides, candidate.sides, conventions
            ):
                return True
    if len(left.operators) == len(right.operators) == 1:
        return _same_up_to_scale(left, right)
    return False


def _flipped(relation: Relation) -> Relation:
    operators = tuple(_FLIPPED.get(operator, operator) for operator in reversed(relation.operators))
    return Relation(operators, tuple(reversed(relation.sides)))


def _same_up_to_scale(left: Relation, right: Relation) -> bool:
    """Whether left - right side of one is a constant times that of the other."""
    sides = [*left.sides, *right.sides]
    values = [side.expression for side in sides if isinstance(side, Value)]
    if len(values) < 4 or left.operators[0] in ("in", "->"):
        return False
    if any(value.has(S.Infinity, S.NegativeInfinity) for value in values):
        return False
    factor = proportional(values[0] - values[1], values[2] - values[3])
    if factor is None:
        return False
    operator, other = left.operators[0], right.operators[0]
    if operator in ("=", "!="):
        return operator == other
    return operator == (other if factor.is_positive else _FLIPPED.get(other))


def _without_label(form: Form, other: Form) -> Form:
    """The right side of `x = 5` beside what names no variable, and of a chain of equal values."""
    if not isinstance(form, Relation):
        return form
    if set(form.operators) == {"="}:
        if isinstance(other, Relation) and not _name_the_same(form, other):
            return form
        *labels, value = form.sides
        if _is_label(labels[0]) or _is_equal_value(labels[0], value):
            if all(_may_equal(label, value) for label in labels[1:]):
                return value
        value, *labels = form.sides
        if len(labels) == 1 and _is_label(labels[0]):
            return value
    elif form.operators == ("in",) and not isinstance(other, Relation) and _is_label(form.sides[0]):
        return form.sides[1]
    return form


def _name_the_same(left: Relation, right: Relation) -> bool:
    """Whether both sides name one thing, or one `y` and the other `f(x)`."""
    if set(right.operators) != {"="}:
        return False
    a, b = left.sides[0], right.sides[0]
    if a == b:
        return True
    is_function = [
        isinstance(side, Value) and "(" in side.text and _is_label(side) for side in (a, b)
    ]
    is_y = [isinstance(side, Value) and side.expression == Symbol("y") for side in (a, b)]
    return (is_function[0] and is_y[1]) or (is_function[1] and is_y[0])


def _is_label(form: Form) -> bool:
    match form:
        case Value():
            return isinstance(form.expression, Symbol) or bool(_CALL.fullmatch(form.text))
        case Words():
            return True
        case Bracketed():
            return all(map(_is_label, form.items))
    return False


def _is_equal_value(left: Form, right: Form) -> bool:
    """Whether a step of a chain such as `2 + 3 = 5` is true, so that both sides are the answer."""
    if not (isinstance(left, Value) and isinstance(right, Value)):
        return False
    has_decimal = left.has_decimal or right.has_decimal
    return same_value(left.expression, right.expression, 1e-3 if has_decimal else 0.0)


def _may_equal(step: Form, value: Form) -> bool:
    """Whether a step of a chain is about variables, or equal to its end."""
    has_variables = isinstance(step, Value) and bool(step.expression.free_symbols)
    return has_variables or _is_equal_value(step, value)


def _without_common_label(items: Sequence[Form]) -> Sequence[Form]:
    """`x = 1, x = 2` and `x = 1, 2` as `1, 2`."""
    first = items[0]
    if not (
        isinstance(first, Relation) and first.operators == ("=",) and _is_label(first.sides[0])
    ):
        return items
    label = first.sides[0]
    values: list[Form] = []
    for item in items:
        if isinstance(item, Relation):
            if item.operators != ("=",) or item.sides[0] != label:
                return items
            values.append(item.sides[1])
        else:
            values.append(item)
    return values


def _in_named_order(form: Listing | SetOf | Bracketed) -> Sequence[Form]:
    """The values of `x = 1, y = 2`, where the names are in alphabetical order, else the items."""
    names, values = [], []
    for item in form.items:
        if not (
            isinstance(item, Relation) and item.operators == ("=",) and _is_label(item.sides[0])
        ):
            return form.items
        names.append(str(item.sides[0]))
        values.append(item.sides[1])
    return values if names == sorted(set(names)) else form.items


def _same_set(left: Form, right: Form) -> bool:
    """Whether both denote the same set of numbers, at least one of them in other than a list."""
    if isinstance(left, Listing | Value | SetOf) and isinstance(right, Listing | Value | SetOf):
        if not any(_has_relation(form) for form in (left, right)):
            return False
    named, others = _variables(left), _variables(right)
    if named and others and named != others:
        return False
    a, b = _as_set(left), _as_set(right)
    if a is None or b is None:
        return False
    return a == b or _same_intervals(a, b)


def _same_intervals(left: Set, right: Set) -> bool:
    """Whether both are unions of as many intervals with equal ends."""
    first, second = _intervals(left), _intervals(right)
    return len(first) == len(second) > 0 and all(
        (a.left_open, a.right_open) == (b.left_open, b.right_open)
        and same_number(a.start, b.start)
        and same_number(a.end, b.end)
        for a, b in zip(first, second, strict=True)
    )


def _intervals(whole: Set) -> list[Interval]:
    parts = whole.args if isinstance(whole, sympy.Union) else [whole]
    intervals = [part for part in parts if isinstance(part, Interval)]
    return sorted(intervals, key=lambda part: part.start) if len(intervals) == len(parts) else []


def _variables(form: Form) -> set[sympy.Basic]:
    """What the relations in a form are about."""
    match form:
        case Relation():
            return {v for side in form.sides for v in _variables(side)}
        case Value():
            return set(form.expression.free_symbols)
        case Listing():
            return {v for item in form.items for v in _variables(item)}
    return set()


def _has_relation(form: Form) -> bool:
    return isinstance(form, Listing) and any(isinstance(item, Relation) for item in form.items)


def _as_set(form: Form) -> Set | None:
    """The set of real numbers that a form denotes, or None."""
    match form:
        case NamedSet():
            return form.value
        case SetOf():
            values = [_number(item) for item in form.items]
            return None if None in values else sympy.FiniteSet(*values)
        case Bracketed():
            return _as_interval(form)
        case SetOperation():
            return _as_operation(form)
        case Relation():
            return _as_solutions(form)
        case Listing():
            parts = [_as_set(item) for item in form.items]
            is_of_one = len(_variables(form)) <= 1
            return sympy.Union(*parts) if is_of_one and None not in parts else None
    return None


def _as_interval(form: Bracketed) -> Set | None:
    if len(form.items) != 2 or form.opening not in "([" or form.closing not in ")]":
        return None
    start, end = _number(form.items[0]), _number(form.items[1])
    if start is None or end is None or not (end - start).is_extended_positive:
        return None
    return Interval(start, end, form.opening == "(", form.closing == ")")


def _as_operation(form: SetOperation) -> Set | None:
    parts = [_as_set(part) for part in form.parts]
    if None in parts:
        return None
    left, right = parts
    operation = {
        "union": sympy.Union,
        "intersection": sympy.Intersection,
        "minus": sympy.Complement,
    }
    return operation[form.operator](left, right)


def _as_solutions(form: Relation) -> Set | None:
    """The numbers for which a relation of one variable with numbers holds."""
    if form.operators == ("in",):
        return _as_set(form.sides[1]) if _is_label(form.sides[0]) else None
    values = [side.expression if isinstance(side, Value) else None for side in form.sides]
    symbols = [value for value in values if isinstance(value, Symbol)]
    if len(symbols) != 1 or any(
        value is None or (value is not symbols[0] and not value.is_extended_real)
        for value in values
    ):
        return None
    solutions: Set = S.Reals
    middle = values.index(symbols[0])
    if middle not in (0, len(values) - 1) and len(values) != 3:
        return None
    for index, operator in enumerate(form.operators):
        left, right = values[index], values[index + 1]
        if left is symbols[0]:
            solutions &= _half_line(operator, right)
        elif right is symbols[0]:
            solutions &= _half_line(_FLIPPED.get(operator, operator), left)
    return solutions


def _half_line(operator: str, bound: sympy.Expr) -> Set:
    match operator:
        case "<":
            return Interval.open(S.NegativeInfinity, bound)
        case "<=":
            return Interval(S.NegativeInfinity, bound)
        case ">":
            return Interval.open(bound, S.Infinity)
        case ">=":
            return Interval(bound, S.Infinity)
        case "!=":
            return sympy.Complement(S.Reals, sympy.FiniteSet(bound))
    return sympy.FiniteSet(bound)


def _number(form: Form) -> sympy.Expr | None:
    if isinstance(form, Value) and not form.unit and form.expression.is_number:
        return form.expression
    return None
