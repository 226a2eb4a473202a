"""Tokens to a SymPy expression: exact numbers, implicit products, functions, subscripts.

Products and quotients are read from the left, implicit ones too, as computer algebra reads them:
`1/2x` is x/2. `i` is the imaginary unit, `e` Euler's number, `\\log` without a base is decimal. `f`,
`g` and `h` before a bracket are functions, and so is any letter before a list or one number.
"""

from collections.abc import Sequence

import sympy
from sympy import Expr, Integer, Rational, S, Symbol

from understand_r1_zero.grading.reading import names, operations
from understand_r1_zero.grading.reading.cursor import Cursor
from understand_r1_zero.grading.reading.latex import BRACKETS, FUNCTIONS, Kind, Token, Unreadable
from understand_r1_zero.grading.reading.numerals import read_numeral
from understand_r1_zero.grading.reading.operations import binomial, factorial, power, quotient

LIBRARY_COMMANDS = frozenset((
    r"\int", r"\iint", r"\oint", r"\sum", r"\prod", r"\lim", r"\partial", r"\nabla", r"\det",
))  # fmt: skip
"""Mathematics that this reader leaves to math-verify."""

_CONSTANTS = {r"\pi": S.Pi, r"\infty": S.Infinity, "i": S.ImaginaryUnit, "e": S.Exp1}
_TIMES = frozenset(("*", r"\cdot", r"\times"))
_OVER = frozenset(("/", r"\div"))
_BARS = frozenset(("|", r"\vert", r"\lvert", r"\rvert", r"\mid"))
_GROUPS = frozenset(("(", "[", "{", r"\lfloor", r"\lceil"))
_CALLED = frozenset("fghFG")
_FACTORS = (
    frozenset((r"\frac", r"\sqrt", r"\binom", r"\dbinom", r"\pi", r"\infty"))
    | names.GREEK
    | names.ACCENTS
    | names.FIGURES
    | {f"\\{name}" for name in FUNCTIONS}
)
"""Commands that may begin a factor of an implicit product."""


class NeedsLibraryError(Exception):
    """The text holds mathematics that math-verify reads and this reader does not."""


def parse_expression(tokens: Sequence[Token]) -> Expr:
    """The expression that all the tokens denote.

    Raises `Unreadable`, also for what has no finite or infinite value such as 1/0, and
    `NeedsLibraryError`.
    """
    cursor = Cursor(tokens)
    value = _Parser(cursor).sum()
    if cursor.next is not None:
        raise Unreadable(f"unexpected {cursor.next.text!r}")
    if value.has(S.NaN, S.ComplexInfinity, sympy.AccumBounds):
        raise Unreadable("no value")
    return value


class _Parser:
    """Recursive descent: a method for each rule of the grammar, the loosest operator first."""

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor
        self._num_open_bars = 0

    def sum(self) -> Expr:
        """Terms with + and -; `\\over` and `\\choose` divide all of it."""
        value = self._product()
        while (sign := self._sign()) is not None:
            value = value + sign * self._product()
        if self._cursor.takes(r"\over"):
            return quotient(value, self.sum())
        if self._cursor.takes(r"\choose"):
            return binomial(value, self.sum())
        return value

    def _product(self) -> Expr:
        """Factors from the left, after any signs."""
        if (sign := self._sign()) is not None:
            return sign * self._product()
        value = self._power()
        while (token := self._cursor.next) is not None:
            if token.text in _TIMES:
                self._cursor.take()
                value = value * self._signed_power()
            elif token.text in _OVER:
                self._cursor.take()
                value = quotient(value, self._signed_power())
            elif self._may_begin_factor(token):
                value = value * self._power()
            else:
                break
        return value

    def _may_begin_factor(self, token: Token) -> bool:
        if token.text in _BARS:
            return not self._num_open_bars
        if token.kind is Kind.NUMBER:
            behind = self._cursor.behind()
            if behind is not None and behind.kind is Kind.NUMBER:
                raise Unreadable("two numbers in a row")
            return True
        if token.kind is Kind.OPEN:
            return token.text in _GROUPS
        return token.kind is Kind.LETTER or token.text in _FACTORS

    def _sign(self) -> int | None:
        if self._cursor.takes("+"):
            return 1
        return -1 if self._cursor.takes("-") else None

    def _signed_power(self) -> Expr:
        sign = self._sign()
        return self._power() if sign is None else sign * self._signed_power()

    def _power(self) -> Expr:
        """An atom with what stands behind it: `!`, `^`, degrees."""
        value = self._atom()
        while (token := self._cursor.next) is not None:
            if self._cursor.takes("!"):
                value = factorial(value, is_double=self._cursor.takes("!"))
            elif self._cursor.takes("^", r"\circ") or self._cursor.takes("^", "{", r"\circ", "}"):
                value = value * operations.DEGREE
            elif token.text == "^":
                self._cursor.take()
                value = power(value, self._argument())
            else:
                break
        return value

    def _atom(self) -> Expr:
        token = self._cursor.take()
        if token.text in _BARS:
            return self._absolute()
        match token.kind:
            case Kind.NUMBER:
                return read_numeral(token, self._cursor)
            case Kind.LETTER:
                return self._letter(token)
            case Kind.OPEN:
                return self._group(token)
            case Kind.COMMAND:
                return self._command(token)
        raise Unreadable(f"unexpected {token.text!r}")

    def _letter(self, token: Token) -> Expr:
        name = token.text + names.read_affixes(self._cursor)
        is_called = token.text in _CALLED or self._cursor.opens_arguments()
        if is_called and self._cursor.takes("("):
            return sympy.Function(name)(*self._rest_of_arguments())
        return _CONSTANTS.get(name, Symbol(name))

    def _group(self, token: Token) -> Expr:
        if token.text not in _GROUPS:
            raise Unreadable(f"unexpected {token.text!r}")
        num_open_bars, self._num_open_bars = self._num_open_bars, 0
        value = self.sum()
        self._num_open_bars = num_open_bars
        self._cursor.expect(BRACKETS[token.text])
        if token.text == r"\lfloor":
            return sympy.floor(value)
        return sympy.ceiling(value) if token.text == r"\lceil" else value

    def _absolute(self) -> Expr:
        self._num_open_bars += 1
        value = self.sum()
        if self._cursor.take().text not in _BARS:
            raise Unreadable("an open bar")
        self._num_open_bars -= 1
        return sympy.Abs(value)

    def _command(self, token: Token) -> Expr:
        command, name = token.text, token.text[1:]
        if command in _CONSTANTS:
            return _CONSTANTS[command]
        if command in names.GREEK:
            return Symbol(name + names.read_affixes(self._cursor))
        if command in names.ACCENTS:
            return names.read_accented(name, self._cursor)
        if command in names.FIGURES:
            return names.read_figure(name, self._cursor)
        if name in FUNCTIONS:
            return self._function(name)
        match name:
            case "frac":
                derivative = names.read_derivative(self._cursor)
                return derivative or quotient(self._digit_or_argument(), self._digit_or_argument())
            case "binom" | "dbinom":
                return binomial(self._digit_or_argument(), self._digit_or_argument())
            case "sqrt":
                return self._root()
        if command in LIBRARY_COMMANDS:
            raise NeedsLibraryError(command)
        raise Unreadable(f"unknown command {command!a}")

    def _function(self, name: str) -> Expr:
        if name in ("log", "lg"):
            base = self._argument() if self._cursor.takes("_") else Integer(10)
            function = operations.logarithm(base)
        else:
            function = operations.function_named(name)
        exponent = self._argument() if self._cursor.takes("^") else None
        if exponent == -1 and name in operations.INVERSES:
            function, exponent = operations.INVERSES[name], None
        arguments = self._function_arguments()
        if len(arguments) > 1 and name not in operations.SEVERAL_ARGUMENTS:
            raise Unreadable(f"{name} of several arguments")
        value = function(*arguments)
        return value if exponent is None else power(value, exponent)

    def _function_arguments(self) -> list[Expr]:
        """What is in brackets, or else the implicit product that follows."""
        if self._cursor.takes("("):
            return self._rest_of_arguments()
        value = self._signed_power()
        while (token := self._cursor.next) is not None and self._may_begin_factor(token):
            if token.text == "(" or token.text[1:] in FUNCTIONS:
                break
            value = value * self._power()
        return [value]

    def _rest_of_arguments(self) -> list[Expr]:
        arguments = [self.sum()]
        while self._cursor.takes(","):
            arguments.append(self.sum())
        self._cursor.expect(")")
        return arguments

    def _root(self) -> Expr:
        degree: Expr = Integer(2)
        if self._cursor.takes("["):
            degree = self.sum()
            self._cursor.expect("]")
        return operations.root(self._argument(), degree)

    def _digit_or_argument(self) -> Expr:
        """`\\frac12` is 1/2: LaTeX takes one digit."""
        digit = self._cursor.take_digit()
        return Integer(digit.text) if digit else self._argument()

    def _argument(self) -> Expr:
        """What a command or `^` takes: a group, or one number, letter or command after any sign."""
        if (sign := self._sign()) is not None:
            return sign * self._argument()
        token = self._cursor.next
        if token is not None and token.kind is Kind.NUMBER:  # `x^2\frac13` has no mixed number
            return Rational(self._cursor.take().text)
        return self._atom()
