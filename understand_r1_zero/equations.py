"""The equations written in a solution, and whether they hold: `12 + 34 = 46`, `46*2=92`."""

import ast
import operator
import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from itertools import pairwise

# Whole, and not a part of something else: `3+4=15` of `x+3+4=15`, `2+5=3` of `2+5=3^2-2`.
_CHAIN = re.compile(r"(?<![^\s=:;,<>\[\]{|&\"'])[\d.(+\-*/)=]++(?![\w^%!\\{])")
_DECIMAL = re.compile(r"-?\d*\.(\d+)")
_OPERATOR = re.compile(r"[\d)][+\-*/]")
_REWRITES = (
    # What marks an item of a list is no sign.
    (re.compile(r"^[^\S\n]*[-+*][^\S\n]+", re.MULTILINE), ""),
    (re.compile(r"(?<=\d),(?=\d{3}(?!\d))"), ""),
    (re.compile(r"\\times|\\cdot|×|(?<=\d)\s+x\s+(?=\d)"), "*"),
    (re.compile(r"\\div|÷"), "/"),
    (re.compile("−"), "-"),
    (re.compile(r"\\?\$|\\left|\\right"), ""),
    # Between two numbers with nothing but a space, no operator is meant.
    (re.compile(r"(?<=[\d.)])[^\S\n]+(?=[\d.(])"), "\n"),
    (re.compile(r"[^\S\n]+(?=[-+*/=)])|(?<=[-+*/=(])[^\S\n]+"), ""),
)
_OPERATIONS: dict[type, Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
MAX_CHARS = 200
"""Of one side; a longer one is no equation of a pupil's."""


def equations(text: str) -> tuple[str, ...]:
    """The equations of a text in the order they are written, without spaces.

    An equation is two neighbouring sides of `=` that hold nothing but numbers, `+ - * /` and
    brackets, at least one of them with an operator: `3*4 = 12 = 10+2` has two, `x = 5` and `1 = 1`
    none. GSM8K's `48/2 = <<48/2=24>>24` is one; signs of multiplication and division are made
    alike, `$` and commas between thousands left out.
    """
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    found = []
    for chain in _CHAIN.findall(text):
        sides = [_balanced(side.rstrip(".")) for side in chain.split("=")]
        for left, right in pairwise(sides):
            is_sum = _OPERATOR.search(left) or _OPERATOR.search(right)
            if is_sum and _value(left) is not None and _value(right) is not None:
                found.append(f"{left}={right}")
    return tuple(found)


def _balanced(side: str) -> str:
    """Without a bracket that is closed on the other side of `=`: `(3+4=7)`."""
    surplus = side.count("(") - side.count(")")
    if surplus > 0 and side.startswith("(" * surplus):
        return side[surplus:]
    return side[:surplus] if surplus < 0 and side.endswith(")" * -surplus) else side


def holds(equation: str) -> bool:
    """Whether both sides are equal, exactly or, where one is a decimal, to its last digit."""
    left, _, right = equation.partition("=")
    values = _value(left), _value(right)
    if values[0] is None or values[1] is None:
        return False
    digits = [len(found[1]) for side in (left, right) if (found := _DECIMAL.fullmatch(side))]
    tolerance = Fraction(1, 2 * 10 ** min(digits)) if digits else Fraction(0)
    return abs(values[0] - values[1]) <= tolerance


def _value(side: str) -> Fraction | None:
    """The exact value of a side, or None where it is no arithmetic."""
    if not side or len(side) > MAX_CHARS or "//" in side or "**" in side:
        return None
    try:
        return _evaluate(ast.parse(re.sub(r"(?<![\d.])0+(?=\d)", "", side), mode="eval").body, side)
    except (SyntaxError, ZeroDivisionError, RecursionError, InvalidOperation):
        return None


def _evaluate(node: ast.expr, side: str) -> Fraction:
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATIONS:
        left, right = _evaluate(node.left, side), _evaluate(node.right, side)
        return _OPERATIONS[type(node.op)](left, right)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        operand = _evaluate(node.operand, side)
        return -operand if isinstance(node.op, ast.USub) else operand
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return Fraction(Decimal(repr(node.value)))
    raise SyntaxError(f"no arithmetic: {side}")
