"""Whether two SymPy expressions have the same value: by exact arithmetic and at random points.

Two expressions that agree at points drawn at random from a large set are the same with a
probability that no model meets by chance (Schwartz 1980, Zippel 1979). Numbers are compared exactly
where they are rational, else to 50 digits and, where those agree, to 1000.
"""

import random
import zlib
from collections.abc import Sequence
from typing import Any

import sympy
from sympy import Expr, Integer, Rational, S, Symbol
from sympy.core.function import AppliedUndef

_NUM_POINTS = 5
_NUM_POINTS_IF_STEPPED = 60
_MAX_DRAWS = 12
_DIGITS = 50
_MAX_DIGITS = 1000
_MAX_EXACT_EXPONENT = 2000
_STEPPED = (
    sympy.Abs,
    sympy.floor,
    sympy.ceiling,
    sympy.sign,
    sympy.Mod,
    sympy.Max,
    sympy.Min,
    sympy.Piecewise,
)
_SLOW = (sympy.gamma, sympy.factorial, sympy.factorial2, sympy.binomial)
"""Functions of which a thousand digits take seconds."""
_SEED = 0


def same_value(left: Expr, right: Expr, relative_tolerance: float = 0.0) -> bool:
    """Whether both are equal wherever both are real (anywhere, if either holds the imaginary unit).

    Numbers, and values at a point, may differ by |a - b| <= t max(|a|, |b|).
    """
    if left == right:
        return True
    symbols = _symbols(left, right)
    if not symbols:
        return same_number(left, right, relative_tolerance)
    for points in (_points(symbols, (left, right)), _integer_points(symbols)):
        found = 0
        for point in points:
            a, b = _at(left, point), _at(right, point)
            if a is None or b is None:
                continue
            if not same_number(a, b, relative_tolerance):
                return False
            found += 1
            if found == _num_points(left, right):
                return True
        if found:  # integers are for what is defined there alone, such as (-1)^n
            break
    return bool(sympy.simplify(left - right) == 0)


def proportional(left: Expr, right: Expr) -> Expr | None:
    """The constant c != 0 with left = c right, by values at random points, or None."""
    symbols = _symbols(left, right)
    values = []
    for point in _points(symbols, (left, right)) if symbols else []:
        a, b = _at(left, point), _at(right, point)
        if a is None or b is None:
            continue
        if same_number(a, S.Zero) or same_number(b, S.Zero):
            if not (same_number(a, S.Zero) and same_number(b, S.Zero)):
                return None
            continue
        values.append((a, b))
        if len(values) == _num_points(left, right):
            break
    if len(values) < 2:
        return None
    first, second = values[0]
    if all(same_number(a * second, b * first) for a, b in values[1:]):
        return first / second
    return None


def same_number(left: Expr, right: Expr, relative_tolerance: float = 0.0) -> bool:
    """Whether two numbers are equal, or differ by at most t times the larger; integers are exact."""
    if left == right:
        return True
    if (left.is_Integer and right.is_Integer) or left.is_infinite or right.is_infinite:
        return False
    if left.is_Rational and right.is_Rational:
        return bool(abs(left - right) <= Rational(relative_tolerance) * max(abs(left), abs(right)))
    try:
        return _same_digits(left, right, relative_tolerance)
    except (TypeError, ValueError):  # SymPy's way to say that it has no digits
        return False


def _same_digits(left: Expr, right: Expr, relative_tolerance: float) -> bool:
    a, b = sympy.N(left, _DIGITS), sympy.N(right, _DIGITS)
    gap, size = abs(a - b), max(abs(a), abs(b))
    if not (gap.is_number and gap.is_comparable):
        return False
    if relative_tolerance and gap <= relative_tolerance * size:
        return True
    if gap > size * sympy.Float(10) ** (10 - _DIGITS):
        return False
    if size < sympy.Float(10) ** -_DIGITS:  # cancellation: the digits say nothing
        return bool(sympy.simplify(left - right) == 0)
    if left.has(*_SLOW) or right.has(*_SLOW):
        return True
    difference = (left - right).evalf(2, maxn=_MAX_DIGITS)
    return bool(abs(difference) <= size * sympy.Float(10) ** (20 - _MAX_DIGITS))


def _symbols(*expressions: Expr) -> list[Any]:
    found = set().union(*(expression.free_symbols for expression in expressions))
    if not found and not any(expression.has(AppliedUndef) for expression in expressions):
        return []
    return sorted(found, key=str) or [Symbol("_")]


def _num_points(*expressions: Expr) -> int:
    is_stepped = any(expression.has(*_STEPPED) for expression in expressions)
    return _NUM_POINTS_IF_STEPPED if is_stepped else _NUM_POINTS


def _points(symbols: Sequence[Any], expressions: Sequence[Expr]) -> list[dict[Any, Any]]:
    """Random rational points, every other one positive, where roots and logarithms are real.

    Expressions with steps and bends get more of them, large ones and integers among them.
    """
    draw = random.Random(_SEED)
    num_points = _num_points(*expressions)
    is_stepped = num_points == _NUM_POINTS_IF_STEPPED
    points = []
    for index in range(_MAX_DRAWS * num_points // _NUM_POINTS):
        low = (1, -400)[index % 2]
        unit = Rational(1, 97)
        if is_stepped:
            unit = (unit, 10 * unit, Integer(1), Integer(10))[index // 2 % 4]
        points.append({s: unit * (draw.randint(low, 400) or 1) for s in symbols})
    return points


def _integer_points(symbols: Sequence[Any]) -> list[dict[Any, Any]]:
    draw = random.Random(_SEED)
    return [{s: Integer(draw.randint(1, 60)) for s in symbols} for _ in range(_MAX_DRAWS)]


def _at(expression: Expr, point: dict[Any, Any]) -> Expr | None:
    """The number there, or None where the expression has none or leaves the real numbers."""
    if not expression.has(S.ImaginaryUnit) and not _is_real_at(expression, point):
        return None
    try:
        value = _substituted(expression, point)
    except (ValueError, TypeError):  # SymPy's way to say that a function is not defined there
        return None
    for call in value.atoms(AppliedUndef):
        # An unknown function is some number that its argument fixes.
        value = value.subs(call, Rational(zlib.crc32(str(call).encode()) + 1, 2**31 - 1))
    if value.is_number and value.is_finite is not False and not value.has(S.NaN, S.ComplexInfinity):
        return value
    return None


def _substituted(expression: Expr, point: dict[Any, Any]) -> Any:
    """Exactly, unless a power would then have more digits than anybody wants."""
    powers = [node.exp for node in expression.atoms(sympy.Pow) if isinstance(node.exp, Integer)]
    if any(abs(int(exponent)) > _MAX_EXACT_EXPONENT for exponent in powers):
        return expression.evalf(_DIGITS, subs=point)
    return expression.subs(point)


def _is_real_at(expression: Expr, point: dict[Any, Any]) -> bool:
    """Whether every root and logarithm within is of a number that has a real one."""
    for node in sympy.preorder_traversal(expression):
        if isinstance(node, sympy.Pow):
            if node.exp.is_Integer or node.exp.subs(point).is_Integer:
                continue
            inner = node.base
        elif isinstance(node, sympy.log):
            inner = node.args[0]
        else:
            continue
        if inner.is_positive:
            continue
        value = sympy.N(inner.subs(point), 15)
        if not (value.is_comparable and value >= 0):
            return False
    return True
