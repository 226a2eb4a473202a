"""Names of variables: subscripts and primes, accents, points, derivatives."""

from sympy import Symbol

from understand_r1_zero.grading.reading.cursor import Cursor
from understand_r1_zero.grading.reading.latex import Kind, Unreadable

GREEK = frozenset(
    rf"\{name}"
    for name in (
        "alpha", "beta", "gamma", "delta", "epsilon", "varepsilon", "zeta", "eta", "theta", "iota",
        "vartheta", "kappa", "lambda", "mu", "nu", "xi", "rho", "sigma", "tau", "upsilon", "phi",
        "varphi", "chi", "psi", "omega", "Gamma", "Delta", "Theta", "Lambda", "Xi", "Sigma", "Phi",
        "Psi", "Omega", "hbar", "ell", "odot", "oplus", "star",
    )
)  # fmt: skip
ACCENTS = frozenset(
    rf"\{name}"
    for name in (
        "overline", "bar", "vec", "hat", "tilde", "dot", "ddot", "overrightarrow", "widehat",
        "mathcal",
    )
)  # fmt: skip
FIGURES = frozenset((r"\angle", r"\triangle"))


def read_affixes(cursor: Cursor) -> str:
    """The primes and the subscript that follow a name, as part of it."""
    affixes = ""
    while (token := cursor.next) is not None and token.text in ("'", "_"):
        cursor.take()
        if token.text == "'":
            affixes += "'"
            continue
        inner = cursor.take()
        if inner.text == "{":
            affixes += f"_{cursor.until_closed()}"
        elif inner.kind in (Kind.NUMBER, Kind.LETTER, Kind.COMMAND, Kind.WORD):
            affixes += f"_{inner.text}"
        else:
            raise Unreadable("an empty subscript")
    return affixes


def read_accented(accent: str, cursor: Cursor) -> Symbol:
    """`\\overline{AB}` or `\\vec v` as one symbol."""
    inner = cursor.until_closed() if cursor.takes("{") else cursor.take().text
    return Symbol(f"{accent}({inner.replace(' ', '')}){read_affixes(cursor)}")


def read_figure(figure: str, cursor: Cursor) -> Symbol:
    """`\\angle ABC` or `\\triangle{ABC}` as one symbol."""
    if cursor.takes("{"):
        return Symbol(f"{figure} {cursor.until_closed().replace(' ', '')}")
    points = ""
    while (token := cursor.next) is not None and token.kind is Kind.LETTER:
        points += cursor.take().text + read_affixes(cursor)
    return Symbol(f"{figure} {points}")


def read_derivative(cursor: Cursor) -> Symbol | None:
    """The `{dy}{dx}` or `{d^2 y}{dx^2}` of a fraction as one symbol, or None."""
    start = cursor.position
    parts = []
    for _ in range(2):
        part = cursor.until_closed().replace(" ", "") if cursor.takes("{", "d") else ""
        if not part or part[0] in "+-/*=":
            cursor.position = start
            return None
        parts.append(part)
    return Symbol(f"d{parts[0]}/d{parts[1]}")
