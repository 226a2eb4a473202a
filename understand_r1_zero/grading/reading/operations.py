"""Operations on SymPy expressions, kept from numbers that fit into no memory."""

from collections.abc import Callable
from typing import Any

import sympy
from sympy import Expr, Integer, Rational, S, Symbol

from understand_r1_zero.grading.reading.latex import Unreadable

DEGREE = Symbol("degree", positive=True)
"""Stands for `^\\circ` until a function takes it as an angle, or quantities.py as a unit."""

MAX_BITS = 20_000
"""Larger integer powers stay unevaluated."""
MAX_FACTORIAL = 2_000
"""Factorials and binomials of larger numbers stay unevaluated."""

SEVERAL_ARGUMENTS = frozenset(("max", "min", "gcd", "lcm"))
INVERSES = {"sin": sympy.asin, "cos": sympy.acos, "tan": sympy.atan}
_FUNCTIONS: dict[str, Any] = {
    "arcsin": sympy.asin, "arccos": sympy.acos, "arctan": sympy.atan,
    "sin": sympy.sin, "cos": sympy.cos, "tan": sympy.tan, "cot": sympy.cot, "sec": sympy.sec,
    "csc": sympy.csc, "sinh": sympy.sinh, "cosh": sympy.cosh, "tanh": sympy.tanh,
    "exp": sympy.exp, "ln": sympy.log, "max": sympy.Max, "min": sympy.Min, "gcd": sympy.gcd,
    "lcm": sympy.lcm,
}  # fmt: skip


def function_named(name: str) -> Callable[..., Expr]:
    """The function of LaTeX's name, angles in degrees understood; for logarithms see `logarithm`."""
    function = _FUNCTIONS[name]

    def call(*arguments: Expr) -> Expr:
        try:
            return function(*map(_in_radians, arguments))
        except (TypeError, ValueError) as error:  # too few arguments, numbers without an order
            raise Unreadable(f"{name}: {error}") from error

    return call


def logarithm(base: Expr) -> Callable[[Expr], Expr]:
    """The logarithm to a base."""
    if base.is_zero or base == 1:
        raise Unreadable("a logarithm to no base")
    return lambda argument: quotient(sympy.log(argument), sympy.log(base))


def power(base: Expr, exponent: Expr) -> Expr:
    """base^exponent, left unevaluated where it is a number of over `MAX_BITS` bits."""
    if isinstance(base, Rational) and isinstance(exponent, Integer):
        num_bits = max(int(base.p).bit_length(), int(base.q).bit_length())
        if num_bits * abs(int(exponent)) > MAX_BITS:
            return sympy.Pow(base, exponent, evaluate=False)
    return base**exponent


def root(radicand: Expr, degree: Expr) -> Expr:
    """The real root where there is one."""
    is_negative = radicand.is_number and radicand.is_negative
    if isinstance(degree, Integer) and degree.is_odd and is_negative:
        return -power(-radicand, quotient(S.One, degree))
    return power(radicand, quotient(S.One, degree))


def quotient(top: Expr, bottom: Expr) -> Expr:
    """top / bottom; `Unreadable` where bottom is zero."""
    if bottom.is_zero:
        raise Unreadable("division by zero")
    return top / bottom


def factorial(value: Expr, is_double: bool = False) -> Expr:
    """value! or value!!."""
    function: Any = sympy.factorial2 if is_double else sympy.factorial
    if is_double and value.is_number and not isinstance(value, Integer):
        raise Unreadable("a double factorial of no integer")
    if isinstance(value, Integer) and value > MAX_FACTORIAL:
        return function(value, evaluate=False)
    return function(value)


def binomial(top: Expr, bottom: Expr) -> Expr:
    """The binomial coefficient."""
    function: Any = sympy.binomial
    if isinstance(top, Integer) and top > MAX_FACTORIAL:
        return function(top, bottom, evaluate=False)
    return function(top, bottom)


def _in_radians(argument: Expr) -> Expr:
    return argument.subs(DEGREE, S.Pi / 180) if argument.has(DEGREE) else argument  # pyright: ignore[reportReturnType]
