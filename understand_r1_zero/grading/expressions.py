"""Tokens to a SymPy expression: exact numbers, implicit products, functions, subscripts.

Products and quotients are read from the left, implicit ones too, as computer algebra reads them:
`1/2x` is x/2. `i` is the imaginary unit, `e` Euler's number, `\\log` without a base is decimal. Powers
and factorials that would not fit into memory stay unevaluated.
"""

from collections.abc import Callable, Sequence

import sympy
from sympy import Expr, Integer, Rational, S, Symbol

from understand_r1_zero.grading.latex import FUNCTIONS, Kind, Token, Unreadable, closing

DEGREE = Symbol("degree", positive=True)
"""Stands for `^\\circ` until a function takes it as an angle or reading.py as a unit."""

MAX_BITS = 20_000
"""Larger integer powers stay unevaluated."""

LIBRARY_COMMANDS = frozenset(
    rf"\{name}" for name in ["int", "iint", "oint", "sum", "prod", "lim", "partial", "nabla", "det"]
)
"""Mathematics that this reader leaves to math-verify."""

_GREEK = frozenset(
    rf"\{name}"
    for name in [
        "alpha",
        "beta",
        "gamma",
        "delta",
        "epsilon",
        "varepsilon",
        "zeta",
        "eta",
        "theta",
        "vartheta",
        "iota",
        "kappa",
        "lambda",
        "mu",
        "nu",
        "xi",
        "rho",
        "sigma",
        "tau",
        "upsilon",
        "phi",
        "varphi",
        "chi",
        "psi",
        "omega",
        "Gamma",
        "Delta",
        "Theta",
        "Lambda",
        "Xi",
        "Sigma",
        "Phi",
        "Psi",
        "Omega",
        "hbar",
        "ell",
        "odot",
        "oplus",
        "star",
        "infty",
        "pi",
    ]
)
_DECORATIONS = frozenset(
    rf"\{name}"
    for name in [
        "overline",
        "bar",
        "vec",
        "hat",
        "tilde",
        "dot",
        "ddot",
        "overrightarrow",
        "widehat",
        "mathcal",
    ]
)
_CONSTANTS = {r"\pi": S.Pi, r"\infty": S.Infinity}
_PRODUCT = {"*": True, r"\cdot": True, r"\times": True, "/": False, r"\div": False}
_CALLED = frozenset("fghFG")
_BARS = frozenset(("|", r"\vert", r"\lvert", r"\rvert", r"\mid"))
_FUNCTIONS: dict[str, Callable[..., Expr]] = {
    "arcsin": sympy.asin, "arccos": sympy.acos, "arctan": sympy.atan, "exp": sympy.exp,
    "ln": sympy.log, "max": sympy.Max, "min": sympy.Min, "gcd": sympy.gcd, "lcm": sympy.lcm,
    **{name: getattr(sympy, name) for name in ["sin", "cos", "tan", "cot", "sec", "csc", "sinh", "cosh", "tanh"]},
}  # fmt: skip
_INVERSE = {"sin": sympy.asin, "cos": sympy.acos, "tan": sympy.atan}


class NeedsLibraryError(Exception):
    """The text holds mathematics that math-verify reads and this reader does not."""


def parse_expression(tokens: Sequence[Token]) -> Expr:
    """The expression that all the tokens denote.

    Raises `Unreadable`, also for what has no finite or infinite value such as 1/0, and
    `NeedsLibraryError`.
    """
    reader = _Reader([token for token in tokens])
    value = reader.sum()
    if reader.next is not None:
        raise Unreadable(f"unexpected {reader.next.text!r}")
    if value.has(S.NaN, S.ComplexInfinity):
        raise Unreadable("no value")
    return value


class _Reader:
    """Recursive descent over one list of tokens."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = tokens
        self._position = 0
        self._open_bars = 0

    @property
    def next(self) -> Token | None:
        """The next token that is no space, or None at the end."""
        while self._position < len(self._tokens):
            token = self._tokens[self._position]
            if token.kind is not Kind.SPACE:
                return token
            self._position += 1
        return None

    def sum(self) -> Expr:
        value = self._product()
        while (token := self.next) is not None and token.text in ("+", "-"):
            self._take()
            term = self._product()
            value = value + term if token.text == "+" else value - term
        if (token := self.next) is not None and token.text in (r"\over", r"\choose"):
            self._take()
            rest = self.sum()
            return _quotient(value, rest) if token.text == r"\over" else _binomial(value, rest)
        return value

    def _product(self) -> Expr:
        if (token := self.next) is not None and token.text in ("+", "-"):
            self._take()
            value = self._product()
            return -value if token.text == "-" else value
        value = self._power()
        while (token := self.next) is not None:
            if token.text in _PRODUCT:
                self._take()
                factor = self._signed_power()
                value = value * factor if _PRODUCT[token.text] else _quotient(value, factor)
            elif self._starts_factor(token):
                if token.kind is Kind.NUMBER and self._follows_number():
                    raise Unreadable("two numbers in a row")
                value = value * self._power()
            else:
                break
        return value

    def _signed_power(self) -> Expr:
        sign = 1
        while (token := self.next) is not None and token.text in ("+", "-"):
            self._take()
            sign = -sign if token.text == "-" else sign
        return sign * self._power()

    def _starts_factor(self, token: Token) -> bool:
        if token.text in _BARS:
            return not self._open_bars
        if token.kind in (Kind.NUMBER, Kind.LETTER):
            return True
        if token.kind is Kind.OPEN:
            return token.text in ("(", "[", "{", r"\lfloor", r"\lceil")
        return token.kind is Kind.COMMAND and (
            token.text in _GREEK
            or token.text in _DECORATIONS
            or token.text[1:] in FUNCTIONS
            or token.text in (r"\frac", r"\sqrt", r"\binom", r"\dbinom", r"\angle", r"\triangle")
        )

    def _follows_number(self) -> bool:
        index = self._position - 1
        while index >= 0 and self._tokens[index].kind is Kind.SPACE:
            index -= 1
        return index >= 0 and self._tokens[index].kind is Kind.NUMBER

    def _power(self) -> Expr:
        return self._with_exponent(self._atom())

    def _with_exponent(self, value: Expr) -> Expr:
        while (token := self.next) is not None:
            if token.text == "!":
                self._take()
                value = _factorial(value, self._takes("!"))
            elif token.text == "^":
                self._take()
                if self._takes_degree():
                    value = value * DEGREE
                else:
                    value = power(value, self._argument())
            else:
                break
        return value

    def _takes(self, text: str) -> bool:
        is_next = self.next is not None and self.next.text == text
        if is_next:
            self._take()
        return is_next

    def _takes_degree(self) -> bool:
        ahead = [token.text for token in self._tokens[self._position : self._position + 4]]
        ahead = [text for text in ahead if text != " "]
        for form in ([r"\circ"], ["{", r"\circ", "}"]):
            if ahead[: len(form)] == form:
                for _ in form:
                    self._take()
                return True
        return False

    def _atom(self) -> Expr:
        token = self._take()
        if token.kind is Kind.NUMBER:
            return self._number(token)
        if token.kind is Kind.LETTER:
            return self._letter(token)
        if token.kind is Kind.OPEN:
            return self._group(token)
        if token.text in _BARS:
            return self._absolute()
        if token.kind is Kind.COMMAND:
            return self._command(token)
        raise Unreadable(f"unexpected {token.text!r}")

    def _number(self, token: Token) -> Expr:
        value = Rational(token.text.removesuffix("."))
        if self._takes(r"\overline") or ("." in token.text and self._takes(r"\bar")):
            digits = self._plain_digits()
            _, point, decimals = token.text.partition(".")
            if not point:
                raise Unreadable("a period without decimals")
            period = Rational(int(digits), 10 ** len(digits) - 1)
            return value + period / 10 ** len(decimals)
        if "." in token.text or self.next is None:
            return value
        if self.next.text == r"\frac" and (fraction := self._plain_fraction()) is not None:
            return value + fraction
        if (fraction := self._spaced_fraction()) is not None:
            return value + fraction
        return value

    def _plain_digits(self) -> str:
        inner = self._until("}") if self._takes("{") else [self._take()]
        digits = "".join(token.text for token in inner)
        if not (digits.isascii() and digits.isdecimal()):
            raise Unreadable("no period of digits")
        return digits

    def _plain_fraction(self) -> Expr | None:
        """The proper fraction of a mixed number `2\\frac{1}{3}`, or None where it is another factor."""
        before = self._position
        self._take()
        parts = [self._fraction_part(), self._fraction_part()]
        if all(part.is_Integer and part > 0 for part in parts) and parts[0] < parts[1]:
            return parts[0] / parts[1]
        self._position = before
        return None

    def _spaced_fraction(self) -> Expr | None:
        """The fraction of a mixed number `2 1/3`, or None."""
        ahead = self._tokens[self._position - 1 : self._position + 3]
        kinds = [token.kind for token in ahead]
        if kinds != [Kind.SPACE, Kind.NUMBER, Kind.OTHER, Kind.NUMBER] or ahead[2].text != "/":
            return None
        top, bottom = Rational(ahead[1].text), Rational(ahead[3].text)
        if not (top.is_Integer and bottom.is_Integer and 0 < top < bottom):
            return None
        self._position += 3
        return top / bottom

    def _letter(self, token: Token) -> Expr:
        name = token.text + self._subscript()
        if (
            self.next is not None
            and self.next.text == "("
            and (token.text in _CALLED or self._is_list())
        ):
            self._take()
            return sympy.Function(name)(*self._arguments())
        if name == "i":
            return S.ImaginaryUnit
        if name == "e":
            return S.Exp1
        return Symbol(name)

    def _names(self) -> str:
        """The letters of points, in a group or not."""
        if self.next is not None and self.next.text == "{":
            self._take()
            return "".join(token.text for token in self._until("}") if token.kind is not Kind.SPACE)
        name = ""
        while (token := self.next) is not None and token.kind is Kind.LETTER:
            self._take()
            name += token.text + self._subscript()
        return name

    def _subscript(self) -> str:
        """Primes and a subscript, as part of a name."""
        name = ""
        while (token := self.next) is not None and token.text in ("'", "_", r"\prime"):
            self._take()
            if token.text != "_":
                name += "'"
                continue
            inner = self._take()
            if inner.kind is Kind.OPEN and inner.text == "{":
                name += f"_{''.join(token.text for token in self._until('}'))}"
            elif inner.kind in (Kind.NUMBER, Kind.LETTER, Kind.COMMAND, Kind.WORD):
                name += f"_{inner.text}"
            else:
                raise Unreadable("an empty subscript")
        return name

    def _until(self, end: str) -> list[Token]:
        depth, taken = 0, []
        while (token := self._take()).text != end or depth:
            depth += (token.kind is Kind.OPEN) - (token.kind is Kind.CLOSE)
            taken.append(token)
        return taken

    def _is_list(self) -> bool:
        """Whether the bracket that opens next holds a comma of its own."""
        depth = 0
        for token in self._tokens[self._position :]:
            depth += (token.kind is Kind.OPEN) - (token.kind is Kind.CLOSE)
            if depth == 0:
                break
            if depth == 1 and token.text == ",":
                return True
        return False

    def _arguments(self) -> list[Expr]:
        arguments = [self.sum()]
        while (token := self._take()).text == ",":
            arguments.append(self.sum())
        if token.text != ")":
            raise Unreadable(f"unexpected {token.text!r}")
        return arguments

    def _group(self, token: Token) -> Expr:
        bars, self._open_bars = self._open_bars, 0
        value = self.sum()
        self._open_bars = bars
        if token.text not in ("(", "[", "{", r"\lfloor", r"\lceil"):
            raise Unreadable(f"unexpected {token.text!r}")
        self._expect(closing(token))
        if token.text == r"\lfloor":
            return sympy.floor(value)
        return sympy.ceiling(value) if token.text == r"\lceil" else value

    def _absolute(self) -> Expr:
        self._open_bars += 1
        value = self.sum()
        if self._take().text not in _BARS:
            raise Unreadable("an open bar")
        self._open_bars -= 1
        return sympy.Abs(value)

    def _command(self, token: Token) -> Expr:
        name = token.text[1:]
        if token.text in _CONSTANTS and not (self.next and self.next.text == "_"):
            return _CONSTANTS[token.text]
        if token.text in _GREEK:
            return Symbol(name + self._subscript())
        if token.text in _DECORATIONS:
            return self._decorated(name)
        if name in FUNCTIONS:
            return self._function(name)
        match name:
            case "angle" | "triangle":
                return Symbol(f"{name} {self._names()}")
            case "frac":
                return self._fraction()
            case "sqrt":
                return self._root()
            case "binom" | "dbinom":
                top, bottom = self._fraction_part(), self._fraction_part()
                return _binomial(top, bottom)
        if token.text in LIBRARY_COMMANDS:
            raise NeedsLibraryError(token.text)
        raise Unreadable(f"unknown command {token.text!a}")

    def _decorated(self, name: str) -> Expr:
        token = self._take()
        inner = self._until("}") if token.text == "{" else [token]
        text = "".join(piece.text for piece in inner if piece.kind is not Kind.SPACE)
        return Symbol(f"{name}({text}){self._subscript()}")

    def _function(self, name: str) -> Expr:
        if name in ("log", "lg"):
            base: Expr = Integer(10)
            if name == "log" and self.next is not None and self.next.text == "_":
                self._take()
                base = self._argument()
            function: Callable[..., Expr] = lambda x: sympy.log(x) / sympy.log(base)  # noqa: E731
        else:
            function = _FUNCTIONS[name]
        exponent = None
        if self.next is not None and self.next.text == "^":
            self._take()
            exponent = self._argument()
            if exponent == -1 and name in _INVERSE:
                function, exponent = _INVERSE[name], None
        arguments = [_as_angle(argument) for argument in self._function_arguments()]
        if len(arguments) > 1 and name not in ("max", "min", "gcd", "lcm"):
            raise Unreadable(f"{name} of several arguments")
        value = function(*arguments)
        return value if exponent is None else power(value, exponent)

    def _function_arguments(self) -> list[Expr]:
        """What is in brackets, or else the implicit product that follows."""
        if self.next is not None and self.next.text == "(":
            self._take()
            return self._arguments()
        value = self._signed_power()
        while (token := self.next) is not None and self._starts_factor(token):
            is_function = token.kind is Kind.COMMAND and token.text[1:] in FUNCTIONS
            if is_function or token.text == "(":
                break
            value = value * self._power()
        return [value]

    def _fraction(self) -> Expr:
        if (derivative := self._derivative()) is not None:
            return derivative
        top, bottom = self._fraction_part(), self._fraction_part()
        return _quotient(top, bottom)

    def _derivative(self) -> Expr | None:
        """`\\frac{dy}{dx}` as one symbol, or None."""
        ahead = [token for token in self._tokens[self._position :] if token.kind is not Kind.SPACE][
            :8
        ]
        texts = [token.text for token in ahead]
        is_derivative = (
            texts[::4] == ["{", "{"] and texts[1::4] == ["d", "d"] and texts[3::4] == ["}"] * 2
        )
        if not is_derivative:
            return None
        for _ in ahead:
            self._take()
        return Symbol(f"d{texts[2]}/d{texts[6]}")

    def _fraction_part(self) -> Expr:
        """A group, or the single digit or atom that LaTeX takes; `\\frac12` has two digits."""
        token = self.next
        if (
            token is not None
            and token.kind is Kind.NUMBER
            and len(token.text) > 1
            and "." not in token.text
        ):
            rest = Token(Kind.NUMBER, token.text[1:])
            self._tokens = [
                *self._tokens[: self._position],
                rest,
                *self._tokens[self._position + 1 :],
            ]
            return Integer(token.text[0])
        return self._argument()

    def _root(self) -> Expr:
        degree: Expr = Integer(2)
        if self.next is not None and self.next.text == "[":
            self._take()
            degree = self.sum()
            self._expect("]")
        radicand = self._argument()
        if degree.is_Integer and degree.is_odd and radicand.is_number and radicand.is_negative:
            return -power(-radicand, 1 / degree)
        return power(radicand, 1 / degree)

    def _argument(self) -> Expr:
        """What a command or `^` takes: a group, or one signed number, letter or command."""
        token = self.next
        if token is not None and token.text in ("+", "-"):
            self._take()
            value = self._argument()
            return -value if token.text == "-" else value
        return self._atom()

    def _take(self) -> Token:
        token = self.next
        if token is None:
            raise Unreadable("it ends too early")
        self._position += 1
        return token

    def _expect(self, text: str) -> None:
        if (token := self._take()).text != text:
            raise Unreadable(f"expected {text!r}, found {token.text!r}")


def power(base: Expr, exponent: Expr) -> Expr:
    """base^exponent, left unevaluated where it is a number of over `MAX_BITS` bits."""
    if base.is_Rational and exponent.is_Integer:
        bits = max(int(base.p).bit_length(), int(base.q).bit_length())
        if bits * abs(int(exponent)) > MAX_BITS:
            return sympy.Pow(base, exponent, evaluate=False)
    return base**exponent


def _quotient(top: Expr, bottom: Expr) -> Expr:
    if bottom.is_zero:
        raise Unreadable("division by zero")
    return top / bottom


def _factorial(value: Expr, is_double: bool) -> Expr:
    function = sympy.factorial2 if is_double else sympy.factorial
    if value.is_Integer and value > MAX_BITS // 10:
        return function(value, evaluate=False)
    return function(value)


def _binomial(top: Expr, bottom: Expr) -> Expr:
    if top.is_Integer and bottom.is_Integer and max(abs(top), abs(bottom)) > MAX_BITS // 10:
        return sympy.binomial(top, bottom, evaluate=False)
    return sympy.binomial(top, bottom)


def _as_angle(argument: Expr) -> Expr:
    return argument.subs(DEGREE, S.Pi / 180) if argument.has(DEGREE) else argument
