"""What an answer may be: the forms that answers.py reads and comparison/ compares."""

from dataclasses import dataclass

from sympy import Expr, Set


@dataclass(frozen=True)
class Value:
    """An expression as read and as written (`text`), and its unit (empty: none)."""

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
    """Values without brackets, `1, 2` or `1 or 2` (`is_union`), and both signs of `\\pm`."""

    items: "tuple[Form, ...]"
    is_union: bool = False


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
    """Two sets joined: `union`, `intersection` or `minus`."""

    operator: str
    left: "Form"
    right: "Form"


@dataclass(frozen=True)
class Rows:
    """A matrix, or a definition by cases."""

    rows: "tuple[tuple[Form, ...], ...]"


@dataclass(frozen=True)
class Relation:
    """Sides with an operator between each two: `1 < x <= 2` has three sides.

    Operators are `=`, `<`, `>`, `<=`, `>=`, `!=`, `in` and `->`.
    """

    operators: tuple[str, ...]
    sides: "tuple[Form, ...]"


@dataclass(frozen=True)
class Clock:
    """Hours, minutes and perhaps seconds; `half` is `am`, `pm` or empty."""

    parts: tuple[int, ...]
    half: str = ""


@dataclass(frozen=True)
class Ratio:
    """`2:3`, equal to all its multiples."""

    parts: tuple[Expr, ...]


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
    | Clock
    | Ratio
    | InBase
)
