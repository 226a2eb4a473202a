"""Random values in random notation: equal ones are always equal, different ones never, both ways.

A kind of answer has a strategy for values, one for a value next to another, which a careless grader
confuses with it, and a printer that draws one of the value's notations.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import isclose
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from understand_r1_zero.grading.conventions import Conventions
from understand_r1_zero.grading.pool import GraderPool
from understand_r1_zero.types import Status

Draw = Callable[[st.SearchStrategy[Any]], Any]


def one_of(draw: Draw, *texts: str) -> str:
    return draw(st.sampled_from(texts))


def shuffled(draw: Draw, texts: list[str]) -> list[str]:
    return draw(st.permutations(texts))


def bracketed(draw: Draw, opening: str, inside: str, closing: str) -> str:
    left, right, space = draw(st.sampled_from([("", "", ""), (r"\left", r"\right", " ")]))
    return f"{left}{opening}{space}{inside}{space}{right}{closing}"


# Numbers


def print_integer(draw: Draw, value: int) -> str:
    factor, part = draw(st.integers(2, 9)), draw(st.integers(1, 99))
    return one_of(
        draw,
        str(value),
        f"${value}$",
        f"{value:,}",
        f"{value:,}".replace(",", "{,}"),
        f"{value:,}".replace(",", r"\,"),
        rf"\frac{{{value * factor}}}{{{factor}}}",
        f"{value - part}+{part}",
        f"{part}{value - part:+d}",
    )


def next_integers(value: int) -> st.SearchStrategy[int]:
    return st.sampled_from([value + 1, value - 1, -value, 10 * value, value + 1000])


def print_fraction(draw: Draw, value: Fraction) -> str:
    factor = draw(st.integers(1, 9))
    p, q = value.numerator * factor, value.denominator * factor
    sign, whole, rest = "-" * (value < 0), abs(p) // q, abs(p) % q
    is_mixed = whole and rest
    return one_of(
        draw,
        f"{p}/{q}",
        rf"\frac{{{p}}}{{{q}}}",
        rf"\dfrac{{{p}}}{{{q}}}",
        rf"{sign}\frac{{{abs(p)}}}{{{q}}}",
        rf"\frac{{{-p}}}{{{-q}}}",
        rf"{sign}{whole}\frac{{{rest}}}{{{q}}}" if is_mixed else f"({p})/{q}",
        f"{sign}{whole} {rest}/{q}" if is_mixed else f"{p} / {q}",
    )


def next_fractions(value: Fraction) -> st.SearchStrategy[Fraction]:
    p, q = value.numerator, value.denominator
    return st.sampled_from(
        [Fraction(p + 1, q), Fraction(p, q + 1), Fraction(q, p or 1), -value, value + 1]
    )


def print_decimal(draw: Draw, value: Decimal) -> str:
    plain, exact = f"{value:f}", Fraction(value)
    return one_of(
        draw,
        plain,
        f"{value:,f}",
        plain + ("00" if "." in plain else ".00"),
        rf"{value.scaleb(-3):f} \times 10^{{3}}",
        rf"{value.scaleb(2):f}\cdot10^{{-2}}",
        f"{value.scaleb(1):f}e-1",
        rf"\frac{{{exact.numerator}}}{{{exact.denominator}}}",
    )


def next_decimals(value: Decimal) -> st.SearchStrategy[Decimal]:
    return st.sampled_from([-value, value * 10, value / 10, value + 1, value + Decimal("0.1")])


surds = st.tuples(
    st.integers(-30, 30), st.integers(-9, 9).filter(bool), st.sampled_from([2, 3, 5, 6, 7, 30])
)


def print_surd(draw: Draw, value: tuple[int, int, int]) -> str:
    whole, factor, radicand = value
    scale = draw(st.integers(2, 5))
    root = rf"\sqrt{{{radicand}}}"
    inside = rf"\sqrt{{{factor * factor * radicand}}}"
    sign = "+" if factor > 0 else "-"
    return one_of(
        draw,
        rf"{whole}{sign}{abs(factor)}{root}",
        rf"{factor}{root}{whole:+d}",
        rf"{whole}{sign}{inside}",
        rf"\frac{{{whole * scale}{sign}{abs(factor) * scale}{root}}}{{{scale}}}",
        rf"{whole}{sign}\frac{{{abs(factor) * radicand}}}{{{root}}}",
    )


def next_surds(value: tuple[int, int, int]) -> st.SearchStrategy[tuple[int, int, int]]:
    a, b, n = value
    return st.sampled_from([(a + 1, b, n), (a, -b, n), (-a, b, n), (a, b + 1 or 2, n), (a, b, 29)])


# Polynomials: the factors of one, each a map from the exponents of x and y to a coefficient

Term = tuple[tuple[int, int], int]
Polynomial = tuple[tuple[Term, ...], ...]


def expand(value: Polynomial) -> frozenset[Term]:
    product = {(0, 0): 1}
    for factor in value:
        terms = dict[tuple[int, int], int]()
        for (i, j), a in product.items():
            for (k, m), b in factor:
                terms[i + k, j + m] = terms.get((i + k, j + m), 0) + a * b
        product = terms
    return frozenset(term for term in product.items() if term[1])


def print_term(draw: Draw, powers: tuple[int, int], coefficient: int) -> str:
    letters = [
        letter if power == 1 else f"{letter}^{one_of(draw, f'{{{power}}}', str(power))}"
        for letter, power in zip("xy", powers, strict=True)
        if power
    ]
    if letters and abs(coefficient) == 1:
        number = "-" if coefficient < 0 else "+"
        return number + one_of(draw, "", " ") + one_of(draw, "", r" \cdot ").join(letters)
    return f"{coefficient:+d}{one_of(draw, '', ' ').join(shuffled(draw, letters))}"


def print_sum(draw: Draw, terms: Iterable[Term]) -> str:
    printed = [print_term(draw, powers, coefficient) for powers, coefficient in sorted(terms)]
    return "".join(shuffled(draw, printed)).removeprefix("+").lstrip() or "0"


def print_polynomial(draw: Draw, value: Polynomial) -> str:
    factored = "".join(shuffled(draw, [f"({print_sum(draw, factor)})" for factor in value]))
    expanded = print_sum(draw, expand(value))
    scale = draw(st.integers(2, 5))
    scaled = print_sum(draw, [(powers, scale * a) for powers, a in expand(value)])
    return one_of(draw, factored, expanded, rf"\frac{{{scaled}}}{{{scale}}}")


def next_polynomials(value: Polynomial) -> st.SearchStrategy[Polynomial]:
    first, *rest = value
    (powers, coefficient), *terms = first
    return st.sampled_from(
        [
            (((powers, coefficient + 1 or 1), *terms), *rest),
            (tuple((powers[::-1], a) for powers, a in first), *rest),
            (tuple((powers, -a) for powers, a in first), *rest),
            tuple(rest) or ((((1, 0), 1),),),
        ]
    )


factors = st.dictionaries(
    st.sampled_from([(0, 0), (1, 0), (0, 1), (1, 1), (2, 0)]),
    st.integers(-9, 9).filter(bool),
    min_size=1,
    max_size=3,
).map(lambda terms: tuple(terms.items()))
polynomials = st.lists(factors, min_size=1, max_size=3).map(tuple)


# Collections of fractions

small = st.fractions(-20, 20, max_denominator=9)
Interval = tuple[Fraction, Fraction, str, str]
intervals = st.tuples(small, small, st.sampled_from("[("), st.sampled_from(")]")).filter(
    lambda value: value[0] < value[1]
)


def print_interval(draw: Draw, value: Interval) -> str:
    low, high = (print_fraction(draw, end) for end in value[:2])
    left, right = (r"\le " if end in "[]" else "<" for end in value[2:])
    interval = bracketed(draw, value[2], f"{low},{one_of(draw, '', ' ')}{high}", value[3])
    return one_of(draw, interval, rf"x \in {interval}", f"{low}{left}x{right}{high}")


def next_intervals(value: Interval) -> st.SearchStrategy[Interval]:
    low, high, left, right = value
    others = [(low, high + 1), (low - 1, high), (-high, -low)]
    return st.sampled_from(
        [
            (low, high, "[(".replace(left, ""), right),
            (low, high, left, ")]".replace(right, "")),
            *((*ends, left, right) for ends in others),
        ]
    )


def print_tuple(draw: Draw, value: tuple[Fraction, ...]) -> str:
    comma = one_of(draw, ",", ", ", r",\ ")
    return bracketed(draw, "(", comma.join(print_fraction(draw, part) for part in value), ")")


def print_set(draw: Draw, value: tuple[Fraction, ...]) -> str:
    parts = shuffled(draw, [print_fraction(draw, part) for part in value])
    return bracketed(draw, r"\{", one_of(draw, ",", ", ").join(parts), r"\}")


def print_list(draw: Draw, value: tuple[Fraction, ...]) -> str:
    parts = shuffled(draw, [print_fraction(draw, part) for part in value])
    last = one_of(draw, ", ", r" \text{ and } ", " and ")
    return last.join([", ".join(parts[:-1]), parts[-1]])


def are_distinct(parts: tuple[Fraction, ...]) -> bool:
    return len(set(parts)) == len(parts)


def next_tuples(value: tuple[Fraction, ...]) -> st.SearchStrategy[tuple[Fraction, ...]]:
    first, *rest = value
    return st.sampled_from(
        [(first + 1, *rest), (-first, *rest), (*rest, first), value[:-1] * 2, (*value, Fraction(7))]
    ).filter(lambda parts: len(parts) > 1)


tuples = st.lists(small, min_size=2, max_size=4).map(tuple)


@dataclass(frozen=True)
class Kind:
    values: st.SearchStrategy[Any]
    neighbours: Callable[[Any], st.SearchStrategy[Any]]
    printed: Callable[[Draw, Any], str]
    canonical: Callable[[Any], Hashable] = lambda value: value
    real: Callable[[Any], float] | None = None
    """Where the relative tolerance holds: values nearer than ten times that are left out."""

    def differ(self, left: Any, right: Any) -> bool:
        if self.real and isclose(self.real(left), self.real(right), rel_tol=1e-5):
            return False
        return self.canonical(left) != self.canonical(right)


KINDS = {
    "integers": Kind(st.integers(-(10**30), 10**30), next_integers, print_integer),
    "fractions": Kind(st.fractions(-999, 999, max_denominator=99), next_fractions, print_fraction),
    "decimals": Kind(
        st.decimals(-(10**6), 10**6, places=4), next_decimals, print_decimal, real=float
    ),
    "surds": Kind(
        surds, next_surds, print_surd, real=lambda value: value[0] + value[1] * value[2] ** 0.5
    ),
    "polynomials": Kind(polynomials, next_polynomials, print_polynomial, expand),
    "intervals": Kind(intervals, next_intervals, print_interval),
    "tuples": Kind(tuples, next_tuples, print_tuple),
    "sets": Kind(tuples, next_tuples, print_set, frozenset),
    "lists": Kind(
        tuples.filter(are_distinct),
        lambda value: next_tuples(value).filter(are_distinct),
        print_list,
        frozenset,
    ),
}


@pytest.fixture(scope="module")
def pool() -> Iterator[GraderPool]:
    with GraderPool(num_workers=1, deadline_s=10.0) as pool:
        yield pool


def both_ways(pool: GraderPool, left: str, right: str) -> set[Status]:
    futures = [pool.submit(*pair, Conventions()) for pair in [(left, [right]), (right, [left])]]
    return {future.result().status for future in futures}


each_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
bounded = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@each_kind
@bounded
@given(data=st.data())
def test_two_notations_of_a_value_are_equal(
    kind: Kind, data: st.DataObject, pool: GraderPool
) -> None:
    value = data.draw(kind.values)
    left, right = (kind.printed(data.draw, value) for _ in range(2))
    assert both_ways(pool, left, right) == {Status.CORRECT}, (left, right)


@each_kind
@bounded
@given(data=st.data())
def test_different_values_are_never_equal(
    kind: Kind, data: st.DataObject, pool: GraderPool
) -> None:
    value = data.draw(kind.values)
    other = data.draw(st.one_of(kind.neighbours(value), kind.values))
    assume(kind.differ(value, other))
    left, right = kind.printed(data.draw, value), kind.printed(data.draw, other)
    assert both_ways(pool, left, right) == {Status.INCORRECT}, (left, right)
