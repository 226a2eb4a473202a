"""Names before a value, `x = 5`, and whether they may be left out."""

import re
from collections.abc import Sequence

from sympy import Symbol

from understand_r1_zero.grading.comparison.values import same_value
from understand_r1_zero.grading.reading.forms import Bracketed, Form, Relation, Value, Words

CHAIN_TOLERANCE = 1e-3
"""A rounded step `\\pi = 3.14` of a chain of equalities is as good as an exact one."""

_CALL = re.compile(r"[A-Za-z](?:_\w|_\{\w+\})?(?:'*|\^\{-1\})\([^()]*\)")


def without_label(form: Form, other: Form) -> Form:
    """The value of `x = 5`, or of the chain `x = 2 + 3 = 5`, beside a form that names nothing else.

    Another relation must be about the same name, or one must be about `y` and the other about
    `f(x)`.
    """
    if not isinstance(form, Relation):
        return form
    if form.operators == ("in",) and not isinstance(other, Relation) and is_label(form.sides[0]):
        return form.sides[1]
    if set(form.operators) != {"="} or (
        isinstance(other, Relation) and not _are_alike(form, other)
    ):
        return form
    first, *steps, value = form.sides
    if (is_label(first) or _is_equal(first, value)) and all(_may_equal(s, value) for s in steps):
        return value
    return first if not steps and is_label(value) else form


def without_common_label(items: Sequence[Form]) -> Sequence[Form]:
    """`x = 1, x = 2` and `x = 1, 2` as `1, 2`."""
    relations = [item for item in items if isinstance(item, Relation)]
    labels = {relation.sides[0] for relation in relations}
    if len(labels) != 1 or not _is_assignment(items[0]) or not all(map(_is_assignment, relations)):
        return items
    return [item.sides[1] if isinstance(item, Relation) else item for item in items]


def by_label(items: Sequence[Form]) -> Sequence[Form] | None:
    """The values of `y = 2, x = 1` in the alphabetical order of the names, or None for other items."""
    assignments = [item for item in items if isinstance(item, Relation) and _is_assignment(item)]
    values = {str(item.sides[0]): item.sides[1] for item in assignments}
    if len(values) < 2 or len(values) < len(items):
        return None
    return [values[name] for name in sorted(values)]


def is_label(form: Form) -> bool:
    """Whether a form only names something: a variable, `f(x)`, words, a tuple of names."""
    match form:
        case Value():
            return isinstance(form.expression, Symbol) or _is_call(form)
        case Words():
            return True
        case Bracketed():
            return all(map(is_label, form.items))
    return False


def _is_assignment(form: Form) -> bool:
    return isinstance(form, Relation) and form.operators == ("=",) and is_label(form.sides[0])


def _is_call(form: Form) -> bool:
    return isinstance(form, Value) and _CALL.fullmatch(form.text) is not None


def _are_alike(left: Relation, right: Relation) -> bool:
    if set(right.operators) != {"="}:
        return False
    first, second = left.sides[0], right.sides[0]
    return (
        first == second
        or (_is_call(first) and _is_y(second))
        or (_is_y(first) and _is_call(second))
    )


def _is_y(form: Form) -> bool:
    return isinstance(form, Value) and form.expression == Symbol("y")


def _may_equal(step: Form, value: Form) -> bool:
    """Whether a step of a chain is about variables, or equal to its end."""
    has_variables = isinstance(step, Value) and bool(step.expression.free_symbols)
    return has_variables or _is_equal(step, value)


def _is_equal(step: Form, value: Form) -> bool:
    if not (isinstance(step, Value) and isinstance(value, Value)):
        return False
    is_rounded = step.has_decimal or value.has_decimal
    return same_value(step.expression, value.expression, CHAIN_TOLERANCE if is_rounded else 0.0)
