"""Numbers as they are written: decimals, periods, mixed numbers; always exact."""

from sympy import Expr, Rational

from understand_r1_zero.grading.reading.cursor import Cursor
from understand_r1_zero.grading.reading.latex import Kind, Token, Unreadable


def read_numeral(token: Token, cursor: Cursor) -> Expr:
    """The number that begins with the token just taken: `2.5`, `0.1\\overline{6}`, `2\\frac13`, `2 1/3`."""
    value = Rational(token.text.removesuffix("."))
    whole, point, decimals = token.text.partition(".")
    if cursor.takes(r"\overline") or (point and cursor.takes(r"\bar")):
        if not point:
            raise Unreadable("a period without decimals")
        digits = _period(cursor)
        return value + Rational(int(digits), (10 ** len(digits) - 1) * 10 ** len(decimals))
    if not point and whole.isdecimal():
        return value + (_latex_fraction(cursor) or _slashed_fraction(cursor) or 0)
    return value


def _period(cursor: Cursor) -> str:
    digits = cursor.until_closed() if cursor.takes("{") else cursor.take().text
    if not (digits.isascii() and digits.isdecimal()):
        raise Unreadable("a period that is no digits")
    return digits


def _latex_fraction(cursor: Cursor) -> Expr | None:
    """The proper fraction of a mixed number, or None where a factor follows."""
    start = cursor.position
    if cursor.takes(r"\frac"):
        terms = [_term(cursor), _term(cursor)]
        if terms[0] and terms[1] and terms[0] < terms[1]:
            return Rational(terms[0], terms[1])
    cursor.position = start
    return None


def _term(cursor: Cursor) -> int | None:
    if not cursor.takes("{"):
        digit = cursor.take_digit()
        return int(digit.text) if digit else None
    token = cursor.take()
    is_whole = token.kind is Kind.NUMBER and token.text.isdecimal() and cursor.takes("}")
    return int(token.text) if is_whole else None


def _slashed_fraction(cursor: Cursor) -> Expr | None:
    ahead = cursor.ahead(4)
    kinds = [token.kind for token in ahead]
    if kinds != [Kind.SPACE, Kind.NUMBER, Kind.OTHER, Kind.NUMBER] or ahead[2].text != "/":
        return None
    if not (ahead[1].text.isdecimal() and ahead[3].text.isdecimal()):
        return None
    top, bottom = int(ahead[1].text), int(ahead[3].text)
    if not 0 < top < bottom:
        return None
    cursor.position += 4
    return Rational(top, bottom)
