"""The structure of an answer: lists, tuples, sets, intervals, matrices, relations, quantities, words.

`read` splits an answer at the outermost separators down to expressions, which SymPy holds.
"""

from collections.abc import Sequence
from typing import Any

import sympy
from sympy import Expr, S, Symbol

from understand_r1_zero.grading.reading.expressions import parse_expression
from understand_r1_zero.grading.reading.forms import (
    Bracketed,
    Form,
    Listing,
    NamedSet,
    Relation,
    Rows,
    SetOf,
    SetOperation,
    Value,
)
from understand_r1_zero.grading.reading.latex import BRACKETS, Kind, Token, Unreadable, tokenize
from understand_r1_zero.grading.reading.nesting import depths, inside, split, stripped, text_of
from understand_r1_zero.grading.reading.quantities import read_colon, read_in_base, read_quantity

_RELATIONS = {
    "=": "=", r"\approx": "=", r"\equiv": "=", "<": "<", ">": ">", r"\lt": "<", r"\gt": ">",
    r"\leq": "<=", r"\le": "<=", r"\leqslant": "<=", r"\geq": ">=", r"\ge": ">=",
    r"\geqslant": ">=", r"\neq": "!=", r"\ne": "!=", r"\in": "in", r"\to": "->",
    r"\rightarrow": "->", r"\mapsto": "->",
}  # fmt: skip
_SET_OPERATIONS = {
    r"\cup": "union", r"\cap": "intersection", r"\setminus": "minus", r"\backslash": "minus",
}  # fmt: skip
_SETS = {
    r"\emptyset": S.EmptySet, r"\varnothing": S.EmptySet, r"\mathbb{R}": S.Reals,
    r"\mathbb{Z}": S.Integers, r"\mathbb{N}": S.Naturals, r"\mathbb{Q}": S.Rationals,
    r"\mathbb{C}": S.Complexes,
}  # fmt: skip
_MATRICES = frozenset((
    "matrix", "pmatrix", "bmatrix", "Bmatrix", "smallmatrix", "array", "cases", "aligned",
))  # fmt: skip
_DETERMINANT = "vmatrix"
_SUCH_THAT = frozenset(("|", ":", r"\mid", r"\colon"))
_SIGNS = {r"\pm": "+-", r"\mp": "-+"}


def read(text: str) -> Form:
    """The form of an answer. Raises `Unreadable`, and `NeedsLibraryError` (expressions.py)."""
    tokens = tokenize(text)
    depths(tokens)
    return _read_list(stripped(tokens))


def _read_list(tokens: Sequence[Token]) -> Form:
    pieces = list(split(tokens, _separates))
    if len(pieces) == 1:
        return _read_item(pieces[0])
    is_union = any(token.text.lower() in ("or", r"\lor", r"\vee") for token in tokens)
    items: list[Form] = []
    for piece in filter(None, pieces):  # `1, 2, and 3` has an empty piece
        item = _read_item(piece)
        items.extend(item.items if isinstance(item, Listing) else [item])
    if not items:
        raise Unreadable("only separators")
    return items[0] if len(items) == 1 else Listing(tuple(items), is_union)


def _separates(token: Token) -> bool:
    if token.kind is Kind.WORD:
        return token.text.lower() in ("or", "and")
    return token.text in (",", ";", r"\lor", r"\vee", r"\land")


def _read_item(tokens: Sequence[Token]) -> Form:
    if not tokens:
        raise Unreadable("empty")
    inner = inside(tokens)
    if inner is not None and tokens[0].text == "{":
        return _read_list(stripped(inner))
    if inner is not None and tokens[0].text == r"\{":
        return _read_set(stripped(inner))
    if (relation := _read_relation(tokens)) is not None:
        return relation
    if any(token.text in _SIGNS for token in tokens):
        return Listing(tuple([_read_item(_with_sign(tokens, which)) for which in (0, 1)]))
    for reader in (_read_set_operation, read_colon, read_in_base, _read_bracketed,
                   _read_scaled_matrix):  # fmt: skip
        if (form := reader(tokens)) is not None:
            return form
    if (named := _SETS.get(text_of(tokens))) is not None:
        return NamedSet(named)
    return read_quantity(tokens)


def _with_sign(tokens: Sequence[Token], which: int) -> list[Token]:
    return [
        Token(Kind.OTHER, _SIGNS[token.text][which]) if token.text in _SIGNS else token
        for token in tokens
    ]


def _read_relation(tokens: Sequence[Token]) -> Form | None:
    operators: list[str] = []
    sides = list(split(tokens, lambda token: token.text in _RELATIONS, operators))
    if len(sides) == 1:
        return None
    if not sides[0] and len(sides) == 2 and _RELATIONS[operators[0]] == "=":  # `= 5`, `\approx 5`
        return _read_item(sides[1])
    forms = tuple([_read_list(side) for side in sides])
    return Relation(tuple(_RELATIONS[operator] for operator in operators), forms)


def _read_set_operation(tokens: Sequence[Token]) -> Form | None:
    operators: list[str] = []
    first, *parts = split(tokens, lambda token: token.text in _SET_OPERATIONS, operators)
    if not parts:
        return None
    form = _read_item(first)
    for operator, part in zip(operators, parts, strict=True):
        form = SetOperation(_SET_OPERATIONS[operator], form, _read_item(part))
    return form


def _read_set(inner: Sequence[Token]) -> Form:
    if not inner:
        return NamedSet(S.EmptySet)
    parts = list(split(inner, lambda token: token.text in _SUCH_THAT))
    if len(parts) == 2:
        element, condition = map(_read_list, parts)
        if _names_any_number(element):
            return condition
        return Bracketed("such that", "", (element, condition))
    form = _read_list(inner)
    return SetOf(form.items if isinstance(form, Listing) else (form,))


def _names_any_number(element: Form) -> bool:
    """Whether the `x` or `x \\in \\mathbb{R}` of a set leaves all to its condition."""
    if isinstance(element, Relation) and element.operators == ("in",):
        element, numbers = element.sides
        if numbers != NamedSet(S.Reals):
            return False
    return isinstance(element, Value) and isinstance(element.expression, Symbol)


def _read_bracketed(tokens: Sequence[Token]) -> Form | None:
    inner = inside(tokens)
    if inner is None:
        return None
    opening, closing = tokens[0].text, tokens[-1].text
    if opening == _DETERMINANT:
        return _determinant(_read_rows(opening, inner))
    if opening in _MATRICES:
        return _read_rows(opening, inner)
    if opening not in ("(", "[", r"\langle"):
        return None
    pieces = list(split(inner, lambda token: token.text in (",", ";")))
    if len(pieces) > 1:
        round_brackets = {r"\langle": "(", r"\rangle": ")"}
        items = tuple([_read_item(piece) for piece in pieces])
        return Bracketed(
            round_brackets.get(opening, opening), round_brackets.get(closing, closing), items
        )
    if BRACKETS[opening] != closing:
        raise Unreadable("an interval with one end")
    return _read_list(pieces[0])


def _read_rows(environment: str, inner: Sequence[Token]) -> Rows:
    inner = stripped(inner)
    if environment == "array" and inner and inner[0].text == "{":
        columns = [token.text for token in inner].index("}")
        inner = inner[columns + 1 :]
    rows = [row for row in split(inner, lambda token: token.text == r"\\") if row]
    if not rows:
        raise Unreadable("no rows")
    cells = [split(row, lambda token: token.text == "&") for row in rows]
    return Rows(tuple(tuple([_read_list(cell) for cell in row]) for row in cells))


def _read_scaled_matrix(tokens: Sequence[Token]) -> Form | None:
    """A matrix with a factor before it, or None."""
    start = next((i for i, token in enumerate(tokens) if token.text in _MATRICES), 0)
    inner = inside(tokens[start:]) if start and tokens[start].kind is Kind.OPEN else None
    if inner is None:
        return None
    is_sign = tokens[start - 1].text in ("+", "-")
    factor = parse_expression([*tokens[:start], *[Token(Kind.NUMBER, "1")] * is_sign])
    rows = _read_rows(tokens[start].text, inner).rows
    return Rows(tuple(tuple(Value(factor * _entry(cell), "entry") for cell in row) for row in rows))


def _determinant(rows: Rows) -> Value:
    entries = [[_entry(cell) for cell in row] for row in rows.rows]
    if any(len(row) != len(entries) for row in entries):
        raise Unreadable("a determinant that is not square")
    determinant: Any = sympy.Matrix(entries).det(method="berkowitz")
    return Value(determinant, _DETERMINANT)


def _entry(cell: Form) -> Expr:
    if not isinstance(cell, Value):
        raise Unreadable("a matrix of other things than numbers")
    return cell.expression
