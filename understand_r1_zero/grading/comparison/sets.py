"""Intervals, inequalities and unions as the sets of real numbers that they denote."""

from typing import Any

import sympy
from sympy import Expr, Interval, S, Set, Symbol

from understand_r1_zero.grading.comparison.labels import is_label
from understand_r1_zero.grading.comparison.values import same_number
from understand_r1_zero.grading.reading.forms import (
    Bracketed,
    Form,
    Listing,
    NamedSet,
    Relation,
    SetOf,
    SetOperation,
    Value,
)

FLIPPED = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}
"""The operator with its sides exchanged."""

_OPERATIONS = {
    "union": sympy.Union, "intersection": sympy.Intersection, "minus": sympy.Complement,
}  # fmt: skip


def same_set(left: Form, right: Form) -> bool:
    """Whether both denote the same set, about the same variable where both name one."""
    if _is_plain(left) and _is_plain(right):
        return False
    variables = _variables(left), _variables(right)
    if all(variables) and variables[0] != variables[1]:
        return False
    a, b = _as_set(left), _as_set(right)
    return a is not None and b is not None and (a == b or _same_intervals(a, b))


def _is_plain(form: Form) -> bool:
    """Whether a form lists values, which are compared one by one."""
    if isinstance(form, Listing):
        return not any(isinstance(item, Relation) for item in form.items)
    return isinstance(form, Value | SetOf)


def _variables(form: Form) -> set[sympy.Basic]:
    match form:
        case Relation():
            return {variable for side in form.sides for variable in _variables(side)}
        case Listing():
            return {variable for item in form.items for variable in _variables(item)}
        case Value():
            return set(form.expression.free_symbols)
    return set()


def _same_intervals(left: Set, right: Set) -> bool:
    """Whether both are unions of as many intervals with equal ends."""
    first, second = _intervals(left), _intervals(right)
    return len(first) == len(second) > 0 and all(
        (a.left_open, a.right_open) == (b.left_open, b.right_open)
        and same_number(a.start, b.start)
        and same_number(a.end, b.end)
        for a, b in zip(first, second, strict=True)
    )


def _intervals(whole: Set) -> list[Any]:
    parts = whole.args if isinstance(whole, sympy.Union) else [whole]
    intervals: list[Any] = [part for part in parts if isinstance(part, Interval)]
    return sorted(intervals, key=lambda part: part.start) if len(intervals) == len(parts) else []


def _as_set(form: Form) -> Set | None:
    """The set of real numbers that a form denotes, or None."""
    match form:
        case NamedSet():
            return form.value
        case SetOf():
            numbers = [_number(item) for item in form.items]
            return None if None in numbers else sympy.FiniteSet(*numbers)
        case Bracketed():
            return _as_interval(form)
        case SetOperation():
            left, right = _as_set(form.left), _as_set(form.right)
            return (
                None if left is None or right is None else _OPERATIONS[form.operator](left, right)
            )
        case Relation():
            return _as_solutions(form)
        case Listing():
            return _as_joint_set(form)
    return None


def _as_joint_set(form: Listing) -> Set | None:
    """`x < 1 or x > 2`; a comma means both conditions where both can hold."""
    parts = [_as_set(item) for item in form.items]
    if None in parts or len(_variables(form)) > 1:
        return None
    both = sympy.Intersection(*parts)
    return sympy.Union(*parts) if form.is_union or both == S.EmptySet else both


def _as_interval(form: Bracketed) -> Set | None:
    if len(form.items) != 2 or form.opening not in "([" or form.closing not in ")]":
        return None
    start, end = map(_number, form.items)
    if start is None or end is None or not (end - start).is_extended_positive:
        return None
    return Interval(start, end, form.opening == "(", form.closing == ")")


def _as_solutions(form: Relation) -> Set | None:
    """The numbers for which a relation between one variable and numbers holds."""
    if form.operators == ("in",):
        return _as_set(form.sides[1]) if is_label(form.sides[0]) else None
    values = [side.expression if isinstance(side, Value) else None for side in form.sides]
    places = [place for place, value in enumerate(values) if isinstance(value, Symbol)]
    bounds = [value for value in values if not isinstance(value, Symbol)]
    if len(places) != 1 or any(value is None or not value.is_extended_real for value in bounds):
        return None
    [place] = places
    is_within = place in (0, len(values) - 1) and len(values) == 2
    if not is_within and not (len(values) == 3 and place == 1):
        return None
    solutions: Set = S.Reals
    for index, operator in enumerate(form.operators):
        bound = values[index + 1] if index == place else values[index]
        solutions &= _half_line(
            operator if index == place else FLIPPED.get(operator, operator), bound
        )
    return solutions


def _half_line(operator: str, bound: Expr | None) -> Set:
    """The numbers x with `x operator bound`."""
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


def _number(form: Form) -> Expr | None:
    is_number = isinstance(form, Value) and not form.unit and form.expression.is_number
    return form.expression if isinstance(form, Value) and is_number else None
