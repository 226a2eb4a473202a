"""The structure of an answer: lists, tuples, sets, intervals, matrices, relations, quantities, words.

`read` splits an answer at the outermost separators down to expressions, which SymPy holds. What it
returns are the forms below; comparison.py says when two of them are the same answer.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import sympy
from sympy import Expr, S, Set, Symbol

from understand_r1_zero.grading.expressions import DEGREE, parse_expression
from understand_r1_zero.grading.latex import Kind, Token, Unreadable, closing, depths, tokenize
from understand_r1_zero.grading.units import NUMBER_WORDS, PERCENT_WORDS, read_unit, split_unit


@dataclass(frozen=True)
class Value:
    """An expression as written (`text`) and read, and its unit (empty: none)."""

    expression: Expr
    text: str
    unit: str = ""
    is_percent: bool = False

    @property
    def has_decimal(self) -> bool:
        """Whether it is written with a decimal point, so that it may be rounded."""
        return "." in self.text


@dataclass(frozen=True)
class Words:
    """Text that is no mathematics, as compared: lower case, letters and digits only."""

    text: str


@dataclass(frozen=True)
class Listing:
    """Values without brackets, `1, 2` or `1 or 2`, and both signs of `\\pm`."""

    items: "tuple[Form, ...]"


@dataclass(frozen=True)
class Bracketed:
    """A tuple, point, vector or interval: its brackets and what they hold, in order."""

    opening: str
    closing: str
    items: "tuple[Form, ...]"


@dataclass(frozen=True)
class SetOf:
    """A set by its elements."""

    items: "tuple[Form, ...]"


@dataclass(frozen=True)
class NamedSet:
    """A set that has a symbol, such as the real numbers."""

    value: Set


@dataclass(frozen=True)
class SetOperation:
    """Sets joined by `\\cup`, `\\cap` or `\\setminus`, read from the left."""

    operator: str
    parts: "tuple[Form, ...]"


@dataclass(frozen=True)
class Rows:
    """A matrix, or a definition by cases."""

    rows: "tuple[tuple[Form, ...], ...]"


@dataclass(frozen=True)
class Relation:
    """Sides with an operator between each two: `1 < x <= 2` has three sides."""

    operators: tuple[str, ...]
    sides: "tuple[Form, ...]"


@dataclass(frozen=True)
class Colon:
    """A clock time or a ratio; `suffix` is `am`, `pm` or empty."""

    parts: tuple[Expr, ...]
    suffix: str = ""

    @property
    def is_clock(self) -> bool:
        """Whether it may be hours and minutes."""
        hour, minute = self.parts[0], self.parts[-1]
        return bool(self.suffix) or (
            len(self.parts) == 2
            and all(part.is_Integer for part in self.parts)
            and 0 <= hour < 25
            and 0 <= minute < 60
            and self.minute_has_two_digits
        )

    minute_has_two_digits: bool = False


@dataclass(frozen=True)
class InBase:
    """Digits of a number in a base that is written as their subscript."""

    digits: str
    base: int


Form = (
    Value
    | Words
    | Listing
    | Bracketed
    | SetOf
    | NamedSet
    | SetOperation
    | Rows
    | Relation
    | Colon
    | InBase
)

_OPERATORS = {
    "=": "=", r"\approx": "=", r"\equiv": "=", "<": "<", ">": ">", r"\lt": "<", r"\gt": ">",
    r"\leq": "<=", r"\le": "<=", r"\leqslant": "<=", r"\geq": ">=", r"\ge": ">=",
    r"\geqslant": ">=", r"\neq": "!=", r"\ne": "!=", r"\in": "in", r"\to": "->",
    r"\rightarrow": "->", r"\mapsto": "->",
}  # fmt: skip
_SET_OPERATORS = {
    r"\cup": "union",
    r"\cap": "intersection",
    r"\setminus": "minus",
    r"\backslash": "minus",
}
_CURRENCIES = {r"\$": "dollar^1", r"\euro": "euro^1", r"\pounds": "pound^1"}
_SETS = {
    r"\emptyset": S.EmptySet, r"\varnothing": S.EmptySet, "R": S.Reals, "Z": S.Integers,
    "N": S.Naturals, "Q": S.Rationals, "C": S.Complexes,
}  # fmt: skip
_MATRICES = frozenset(
    ["matrix", "pmatrix", "bmatrix", "Bmatrix", "smallmatrix", "array", "cases", "aligned"]
)
_BUILDERS = frozenset(("|", ":", r"\mid", r"\colon"))
_CHOICE = re.compile(r"\s*(?:\(([A-J])\)|([A-J])[).:])(?:\s+(?P<content>\S.*))?", re.DOTALL)
_LETTER = re.compile(r"\s*\(?\s*([A-J])\s*\)?\s*")
_MARKUP = re.compile(r"\\(?:text|textbf|textrm|mathrm|mathbf|mbox)\s*(?=\{)|\\(?=\s)|[{}$~]")
_IN_BASE = re.compile(
    r"(?P<sign>-?)\(?(?P<digits>[0-9][0-9A-F]*(?:\.[0-9A-F]+)?)\)?_\{?(?P<base>[0-9]{1,3})\}?"
)
_Tokens = Sequence[Token]


def read(text: str) -> Form:
    """The form of an answer. Raises `Unreadable`, and `NeedsLibraryError` (expressions.py)."""
    tokens = tokenize(text)
    depths(tokens)
    return _read_list(tokens)


def chosen(left: str, right: str) -> tuple[str, str] | None:
    """The letters of two answers to a multiple choice, or None where they are none.

    One of them names a choice with its content, as `(B) 12` or `B. 12` do, the other at least the
    letter.
    """
    texts = [_MARKUP.sub("", text) for text in (left, right)]
    with_content = [_CHOICE.fullmatch(text) for text in texts]
    letters = [
        match or _LETTER.fullmatch(text) for match, text in zip(with_content, texts, strict=True)
    ]
    if not any(with_content) or letters[0] is None or letters[1] is None:
        return None
    first, second = (next(filter(None, match.groups())) for match in letters if match)
    return first, second


def plain_words(text: str) -> str:
    """The text as words are compared: lower case, letters and digits only."""
    return " ".join(re.findall(r"[a-z0-9]+", _MARKUP.sub("", text).lower()))


def _read_list(tokens: _Tokens) -> Form:
    pieces = list(_split(tokens, _separates))
    if len(pieces) == 1:
        return _read_item(pieces[0])
    # `1, 2, and 3` has an empty piece between comma and word.
    items: list[Form] = []
    for piece in filter(None, map(_stripped, pieces)):
        item = _read_item(piece)
        items.extend(item.items if isinstance(item, Listing) else [item])
    if not items:
        raise Unreadable("only separators")
    return items[0] if len(items) == 1 else Listing(tuple(items))


def _separates(token: Token) -> bool:
    if token.kind is Kind.WORD:
        return token.text.lower() in ("or", "and")
    return token.text in (",", ";", r"\lor", r"\vee", r"\land")


def _read_item(tokens: _Tokens) -> Form:
    tokens = _stripped(tokens)
    if not tokens:
        raise Unreadable("empty")
    inner = _inside(tokens)
    if inner is not None and tokens[0].text == "{":
        return _read_list(inner)
    is_set = inner is not None and tokens[0].text == r"\{"
    if not is_set and any(token.text in (r"\pm", r"\mp") for token in tokens):
        return Listing(
            tuple(_read_item(_with_sign(tokens, is_upper)) for is_upper in (True, False))
        )
    for reader in (_read_relation, _read_set_operation, _read_colon, _read_base):
        if (form := reader(tokens)) is not None:
            return form
    if inner is not None and (form := _read_bracketed(tokens, inner)) is not None:
        return form
    if (form := _read_scaled_matrix(tokens)) is not None:
        return form
    if (named := _named_set(tokens)) is not None:
        return named
    return _read_quantity(tokens)


def _read_relation(tokens: _Tokens) -> Form | None:
    operators: list[str] = []

    def is_operator(token: Token) -> bool:
        return token.text in _OPERATORS and token.kind is not Kind.WORD

    sides = list(_split(tokens, is_operator, operators))
    if len(sides) == 1:
        return None
    if not _stripped(sides[0]):  # `= 5`
        return _read_item(sides[1]) if len(sides) == 2 and operators == ["="] else None
    forms = tuple(_read_list(_stripped(side)) for side in sides)
    return Relation(tuple(_OPERATORS[operator] for operator in operators), forms)


def _read_set_operation(tokens: _Tokens) -> Form | None:
    operators: list[str] = []
    parts = list(_split(tokens, lambda token: token.text in _SET_OPERATORS, operators))
    if len(parts) == 1:
        return None
    form = _read_item(parts[0])
    for operator, part in zip(operators, parts[1:], strict=True):
        form = SetOperation(_SET_OPERATORS[operator], (form, _read_item(part)))
    return form


def _read_colon(tokens: _Tokens) -> Form | None:
    """`3:30`, `3:30 p.m.`, `2:3`."""
    parts = list(_split(tokens, lambda token: token.text in (":", r"\colon")))
    if len(parts) == 1:
        return None
    last, words = split_unit(_stripped(parts[-1]))
    suffix = "".join(token.text.lower() for token in words if token.kind is Kind.WORD)
    if suffix not in ("", "am", "pm"):
        return None
    values = tuple(parse_expression(_stripped(part)) for part in [*parts[:-1], last])
    minute = "".join(token.text for token in last).strip()
    return Colon(values, suffix, bool(re.fullmatch(r"[0-9]{2}", minute)))


def _read_base(tokens: _Tokens) -> Form | None:
    """`1011_2`, `1011_{2}`, `2A_{16}`."""
    text = "".join(token.text for token in tokens if token.kind is not Kind.SPACE)
    if (match := _IN_BASE.fullmatch(text)) is None:
        return None
    whole, point, rest = match["digits"].partition(".")
    return InBase(f"{match['sign']}{whole.lstrip('0')}{point}{rest}", int(match["base"]))


def _read_bracketed(tokens: _Tokens, inner: _Tokens) -> Form | None:
    opening, end = tokens[0].text, tokens[-1].text
    if opening == "vmatrix":
        return _determinant(_read_rows(opening, inner))
    if opening in _MATRICES:
        return _read_rows(opening, inner)
    if opening == r"\{":
        return _read_set(inner)
    pieces = [_stripped(piece) for piece in _split(inner, lambda token: token.text in (",", ";"))]
    if opening not in ("(", "[", r"\langle") or (len(pieces) == 1 and _has_partner(tokens)):
        return _read_list(inner) if opening in ("(", "[") and not _is_power(inner) else None
    if len(pieces) == 1:
        raise Unreadable("an interval with one end")
    items: list[Form] = []
    for piece in pieces:
        items.append(_read_item(piece))
    return Bracketed(
        "(" if opening == r"\langle" else opening, ")" if end == r"\rangle" else end, tuple(items)
    )


def _is_power(inner: _Tokens) -> bool:
    return not _stripped(inner)


def _has_partner(tokens: _Tokens) -> bool:
    return closing(tokens[0]) == tokens[-1].text


def _read_rows(environment: str, inner: _Tokens) -> Rows:
    tokens = list(inner)
    if environment == "array" and tokens and tokens[0].text == "{":
        tokens = tokens[next(i for i, token in enumerate(tokens) if token.text == "}") + 1 :]
    rows = []
    for row in _split(tokens, lambda token: token.text == r"\\"):
        if _stripped(row):
            cells = _split(row, lambda token: token.text == "&")
            rows.append(tuple(_read_list(_stripped(cell)) for cell in cells))
    return Rows(tuple(rows))


def _read_scaled_matrix(tokens: _Tokens) -> Form | None:
    """A matrix with a factor before it."""
    start = next((i for i, token in enumerate(tokens) if token.text in _MATRICES), 0)
    inner = _inside(tokens[start:]) if start and tokens[start].kind is Kind.OPEN else None
    if inner is None:
        return None
    is_sign = tokens[start - 1].text in ("+", "-")
    factor = parse_expression([*tokens[:start], *[Token(Kind.NUMBER, "1")] * is_sign])
    return Rows(
        tuple(
            tuple(_scaled(cell, factor) for cell in row)
            for row in _read_rows(tokens[start].text, inner).rows
        )
    )


def _scaled(cell: Form, factor: Expr) -> Value:
    if not isinstance(cell, Value):
        raise Unreadable("a multiple of no matrix of expressions")
    return Value(factor * cell.expression, cell.text)


def _determinant(rows: Rows) -> Value:
    if any(len(row) != len(rows.rows) for row in rows.rows):
        raise Unreadable("a determinant that is not square")
    cells = [[_scaled(cell, S.One).expression for cell in row] for row in rows.rows]
    return Value(sympy.Matrix(cells).det(), "determinant")


def _read_set(inner: _Tokens) -> Form:
    if not _stripped(inner):
        return NamedSet(S.EmptySet)
    parts = list(_split(inner, lambda token: token.text in _BUILDERS))
    if len(parts) == 2:  # the condition says what the set holds
        return _read_list(_stripped(parts[1]))
    form = _read_list(_stripped(inner))
    return SetOf(form.items if isinstance(form, Listing) else (form,))


def _named_set(tokens: _Tokens) -> Form | None:
    texts = [token.text for token in tokens if token.kind is not Kind.SPACE]
    if len(texts) == 1 and texts[0] in _SETS and texts[0].startswith("\\"):
        return NamedSet(_SETS[texts[0]])
    if (
        texts[:1] == [r"\mathbb"]
        and texts[1:2] == ["{"]
        and texts[3:] == ["}"]
        and texts[2] in _SETS
    ):
        return NamedSet(_SETS[texts[2]])
    return None


def _read_quantity(tokens: _Tokens) -> Form:
    """A number or expression with its currency, percent sign, unit; or words."""
    if tokens[0].text in _CURRENCIES and len(tokens) > 1:
        value = _read_quantity(_stripped(tokens[1:]))
        currency = _CURRENCIES[tokens[0].text]
        if not isinstance(value, Value) or value.unit not in ("", currency):
            raise Unreadable("a currency sign before no number")
        return Value(value.expression, value.text, currency)
    if tokens[0].text in ("-", "+") and len(tokens) > 2 and tokens[1].text in _CURRENCIES:
        return _read_quantity([tokens[1], tokens[0], *tokens[2:]])
    value_tokens, unit_tokens = split_unit(tokens)
    value_tokens = _stripped(value_tokens)
    is_percent = bool(value_tokens) and value_tokens[-1].text == r"\%"
    if is_percent:
        value_tokens = _stripped(value_tokens[:-1])
    words = [token.text.lower() for token in unit_tokens if token.kind is Kind.WORD]
    if words and words[0] in PERCENT_WORDS:
        is_percent, unit_tokens = True, ()
    if not value_tokens or any(token.kind is Kind.WORD for token in value_tokens):
        return _read_words(tokens)
    if value_tokens[-1].text == r"\$":
        value_tokens, unit_tokens = value_tokens[:-1], [Token(Kind.WORD, "dollar")]
    num_primes = 0
    while len(value_tokens) > 1 and value_tokens[-1].text == "'" and not unit_tokens:
        value_tokens, num_primes = _stripped(value_tokens[:-1]), num_primes + 1
    if num_primes and value_tokens[-1].kind is Kind.NUMBER:
        unit_tokens = [Token(Kind.WORD, f"prime{num_primes}")]
    expression = parse_expression(value_tokens)
    unit, factor = read_unit(unit_tokens)
    text = "".join(token.text for token in value_tokens if token.kind is not Kind.SPACE)
    if expression.has(DEGREE):
        expression = expression / DEGREE
        if expression.has(DEGREE):
            raise Unreadable("a degree sign within an expression")
        unit = f"degree {unit}" if unit else "degree^1"
        text = text.partition("^")[0]
    return Value(expression * factor, text, unit, is_percent)


def _read_words(tokens: _Tokens) -> Form:
    if not any(token.kind is Kind.WORD for token in tokens):
        raise Unreadable("neither mathematics nor words")
    words = [token.text.lower() for token in tokens if token.kind is not Kind.SPACE]
    if len(words) == 1 and len(words[0]) == 1:  # `\text{A}`
        return Value(Symbol(tokens[0].text), tokens[0].text)
    if len(words) == 1 and words[0] in NUMBER_WORDS:
        return Value(sympy.Integer(NUMBER_WORDS[words[0]]), words[0])
    return Words(plain_words(" ".join(words)))


def _inside(tokens: _Tokens) -> _Tokens | None:
    """What the first token's bracket holds, if the last token closes it, else None."""
    if tokens[0].kind is not Kind.OPEN or tokens[-1].kind is not Kind.CLOSE:
        return None
    levels = depths(tokens)
    is_whole = all(level > 0 for level in levels) and not any(
        token.kind is Kind.CLOSE and level == 1
        for token, level in zip(tokens[:-1], levels[:-1], strict=True)
    )
    return tokens[1:-1] if is_whole else None


def _split(
    tokens: _Tokens, separates: Callable[[Token], bool], separators: list[str] | None = None
) -> Iterator[_Tokens]:
    """The pieces between separators outside brackets; the separators' texts go into the list."""
    start = 0
    levels = depths(tokens)
    for index, (token, level) in enumerate(zip(tokens, levels, strict=True)):
        if level == 0 and separates(token):
            yield tokens[start:index]
            if separators is not None:
                separators.append(token.text)
            start = index + 1
    yield tokens[start:]


def _stripped(tokens: _Tokens) -> _Tokens:
    start, end = 0, len(tokens)
    while start < end and tokens[start].kind is Kind.SPACE:
        start += 1
    while end > start and tokens[end - 1].kind is Kind.SPACE:
        end -= 1
    return tokens[start:end]


def _with_sign(tokens: _Tokens, is_upper: bool) -> list[Token]:
    signs = {r"\pm": "+" if is_upper else "-", r"\mp": "-" if is_upper else "+"}
    return [
        Token(Kind.OTHER, signs[token.text]) if token.text in signs else token for token in tokens
    ]
