"""Equations as pupils and models write them."""

import pytest

from understand_r1_zero.equations import equations, holds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12+34=46\n46-5=41\n\\boxed{41}", ["12+34=46", "46-5=41"]),
        ("She sold 48/2 = <<48/2=24>>24 clips in May.", ["48/2=24"]),
        ("3 * 4 = 12 = 10 + 2.", ["3*4=12", "12=10+2"]),
        ("so 2 × 3 = 6, 2 x 3 = 6, 2 \\times 3 = 6 and 6 ÷ 2 = 3", ["2*3=6"] * 3 + ["6/2=3"]),
        ("$1,200 + $34 = $1,234", ["1200+34=1234"]),
        ("\\$5 - \\$2 = \\$3", ["5-2=3"]),
        ("- 5 + 3 = 8\n- 8 - 1 = 7", ["5+3=8", "8-1=7"]),
        ("1. 5 + 3 = 8", ["5+3=8"]),
        ("(so 3+4=7)", ["3+4=7"]),
        ("y=3+4=7", ["3+4=7"]),
        ("(3+4)*2 = 14", ["(3+4)*2=14"]),
        ("-3+5=2", ["-3+5=2"]),
        ("10/3=3.33", ["10/3=3.33"]),
        # No equation of numbers, or a part of something else.
        ("x + 3 + 4 = 15, 2x+3=7, x = 5, 1 = 1", []),
        ("13+0=5+2^3, 2^3=4+4, 20% * 50 / 2 = 5, 5!=60+60", []),
        ("f(3)=x, 3+=4, 3+4=, =7, 5 6 = 30, 1//2=0, 2**3=8", []),
        ("1/0=5", []),
        ("", []),
    ],
)
def test_equations(text, expected):
    assert list(equations(text)) == expected


@pytest.mark.parametrize(
    ("equation", "expected"),
    [
        ("3+4=7", True),
        ("3+4=8", False),
        ("10/3=3.33", True),
        ("10/3=3.34", False),
        ("10/3=3", False),
        ("0.1+0.2=0.3", True),
        ("007+1=8", True),
        ("2*(3+4)=14", True),
        ("-3+5=2", True),
        ("1/0=5", False),
        ("1+1", False),
    ],
)
def test_holds(equation, expected):
    assert holds(equation) is expected


def test_a_very_long_side_is_no_equation():
    assert equations("1+" * 5000 + "1=5001") == ()
    assert equations("(" * 5000 + "1=5001") == ()
