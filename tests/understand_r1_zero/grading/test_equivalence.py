import time
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understand_r1_zero.grading.conventions import Conventions
from understand_r1_zero.grading.equivalence import UnparsableGoldError, is_equivalent
from understand_r1_zero.grading.exact import (
    is_exact_match,
    normalise,
    read_number,
)
from understand_r1_zero.grading.reading.latex import MAX_ANSWER_CHARS

DEFAULT = Conventions()

# (answer, gold, by the exact path, by math-verify)
CASES = [
    ("5", "5", True, True),
    (" $5$. ", "5", True, True),
    ("5.0", "5", True, True),
    ("033", "33", True, True),
    ("+7", "7", True, True),
    ("−7", "-7", True, True),
    ("1,234,567", "1234567", True, True),
    (r"1{,}234", "1234", True, True),
    (r"10,\!080", "10080", True, True),
    (r"1\,000", "1000", True, True),
    (r"\$1,000.50", "1000.5", True, True),
    (r"\text{Evelyn}", "Evelyn", True, True),
    (r"\text{ even }", "even", True, True),
    (r"\left( 3, \frac{\pi}{2} \right)", r"(3,\frac{\pi}{2})", True, True),
    (r"\dfrac{1}{2}", r"\frac12", True, True),
    ("1/2", "0.5", True, True),
    ("10/2", "5", True, True),
    ("2/4", r"\frac{1}{2}", True, True),
    (r"-\frac{3}{2}", "-3/2\n", True, True),
    (r"\frac{-3}{2}", "-1.5", True, True),
    ("1e-5", "0.00001", True, True),
    ("1e-5\n", "10^{-5}", True, True),
    (r"4 \times 10^5", "400000", True, True),
    (r"7.5\cdot 10^{7}", r"7.5 \times 10^7", True, True),
    ("6", "5", False, False),
    ("0.333333", "1/3", False, False),
    ("1e-5", "1e-6", False, False),
    (r"1.6\times10^{-19}", r"9.1\times10^{-31}", False, False),
    ("0.0000001", "0.0000002", False, False),
    ("1,000", "1", False, False),
    ("N", "n", False, False),
    ("A", "B", False, False),
    ("", "5", False, False),
    ("2^{10}", "1024", None, True),
    ("5!", "120", None, True),
    (r"1\frac{1}{2}", "3/2", None, True),
    ("x=5", "5", None, True),
    ("5", "x=5", None, True),
    (r"5\text{ cm}", "5", None, True),
    (r"50\%", "50", None, True),
    (r"50\%", "0.5", None, True),
    ("x^2+2x+1", "(x+1)^2", None, True),
    (r"\sin^2 x+\cos^2 x", "1", None, True),
    (r"x=1 \text{ or } x=2", "1,2", None, True),
    (r"\{2, 1\}", r"\{1, 2\}", None, True),
    ("3,5", "5, 3", None, True),
    (r"x \in [1,2]", "[1,2]", None, True),
    (r"(-\infty,2)\cup(3,\infty)", r"(3,\infty) \cup (-\infty,2)", None, True),
    ("2x+y=3", "4x+2y=6", None, True),
    ("x<2", "2>x", None, True),
    ("3.14159265", r"\pi", None, True),
    (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{bmatrix}1\\2\end{bmatrix}", None, True),
    (r"\frac{\cos (2 t)}{15}", r"\frac{1}{15} \cos(2t)", None, True),
    ("3.14", r"\pi", None, False),
    ("(2,1)", "(1,2)", None, False),
    ("[1,2]", "(1,2)", None, False),
    ("1, 234", "1234", None, False),
    ("1 2", "3", None, False),
    ("1 2", "12", None, False),
    ("1 1/2", "1", None, False),
    ("c+1", "a+1", None, False),
    ("3a", "2c", None, False),
    ("x=5", "y=5", None, False),
    ("monday", "mon", None, False),
    (r"\frac12x", "1/(2x)", None, False),
    (r"1+\sqrt5/2", r"(1+\sqrt5)/2", None, False),
    (r"\frac{1}{2004!}", r"\frac{1}{2006!}", None, False),
    (r"\frac{1}{3\cdot 2^{2006}}", r"\frac{2^{2005}+1}{3\cdot 2^{2006}}", None, False),
    ("E=10^{-19}", r"E=2\cdot 10^{-20}", None, False),
    ("2", r"\pm 2", None, False),
    ("5 or 6", "6", None, False),
    ("answer: 5", "5", None, False),
    ("5} \\boxed{6", "6", None, False),
    (r"\sqrt{", "2", None, False),
]


@pytest.mark.parametrize(("answer", "gold", "exact", "equivalent"), CASES)
def test_cases(answer: str, gold: str, exact: bool | None, equivalent: bool) -> None:
    assert is_exact_match(answer, gold, DEFAULT) is exact
    assert is_equivalent(answer, gold, DEFAULT) is equivalent


@pytest.mark.parametrize(
    "gold", ["", " $ $ ", ".", r"\foo", r"\frac{1", "t(0,4]", "1 2", "2/0", "{" * 50]
)
def test_unparsable_gold_judges_nothing(gold: str) -> None:
    assert is_exact_match("5", gold, DEFAULT) is None
    with pytest.raises(UnparsableGoldError):
        is_equivalent("5", gold, DEFAULT)


def test_unparsable_gold_still_equals_itself() -> None:
    assert is_equivalent(r"$E_1,E_2$", "E_1, E_2", DEFAULT)


@pytest.mark.parametrize(
    "text",
    [
        "{" * 100_000,
        r"\text{" * 20_000,
        "9" * 100_000,
        "1," * 50_000,
        "1,234" * 20_000,
        "\\ " * 50_000,
        "1e" * 50_000,
        r"\frac{1}{" * 10_000,
        " " * 100_000,
        "1/" * 50_000,
        "$" * 100_000,
    ],
)
def test_exact_path_takes_no_time(text: str) -> None:
    start_s = time.perf_counter()
    assert not is_exact_match(text, "5", DEFAULT)
    is_exact_match("5", text, DEFAULT)
    assert is_exact_match(text, text, DEFAULT) is not False
    assert time.perf_counter() - start_s < 5.0


def test_too_long_answers_are_wrong_but_equal_themselves() -> None:
    answer = "1+" * MAX_ANSWER_CHARS + "1"
    assert is_exact_match(answer, "5", DEFAULT) is False
    assert is_exact_match(answer, answer, DEFAULT) is True


def test_numbers_are_bounded() -> None:
    assert read_number("9" * 200) == 10**200 - 1
    assert read_number("9" * 201) is None
    assert read_number("1e999") == 10**999
    assert read_number("1e1000") is None
    assert read_number("9**9**9**9") is None
    assert read_number("99999999!") is None
    assert read_number("١٢") is None
    assert read_number("1/0") is None


@given(st.integers(), st.integers())
def test_integers_are_equal_only_to_themselves(left: int, right: int) -> None:
    if max(abs(left), abs(right)) < 10**200:
        assert is_exact_match(str(left), f"${right:,}$", DEFAULT) is (left == right)


@given(
    st.decimals(
        allow_nan=False, allow_infinity=False, places=6, min_value=-(10**9), max_value=10**9
    )
)
def test_decimals_are_exact_fractions(value: Decimal) -> None:
    exact = Fraction(value)
    assert is_exact_match(
        f"{value:f}", rf"\frac{{{exact.numerator}}}{{{exact.denominator}}}", DEFAULT
    )


@given(st.text(max_size=60))
def test_every_text_equals_itself_and_normalising_terminates(text: str) -> None:
    assert is_exact_match(text, text, DEFAULT) is (True if normalise(text) else None)
