import pytest
from hypothesis import given
from hypothesis import strategies as st

from understand_r1_zero.search.codecs.registry import load_codec
from understand_r1_zero.search.codecs.self_explore import split_math
from understand_r1_zero.search.codecs.step import Fault, Reason
from understand_r1_zero.search.step import Step
from understand_r1_zero.templates import TEMPLATES

CODEC = load_codec("self_explore")

# The pieces are those of `get_final_steps` in the published code.
SPLITS = [
    ["x = 5"],
    [
        "Since $x + 2 = 5$, we subtract 2 on both sides of it, which",
        " gives the value of $x$.\n",
        "The answer is $3$",
    ],
    [
        "The first factor must be zero: $x - 2 = 0$. ",
        "The second factor may be zero: $x + 3 = 0.$ ",
        "So the two roots are 2 and -3, all of them.\n",
        "Only the first of these two roots is positive.\n",
        "The answer is $2$",
    ],
    [
        "\n\nThe first line is long enough to be one, and so on.\n\nOK.\n\n",
        "The second line is as long as the first.\n\n",
        "The third line is as long as the second one.\n\nThe last line.",
    ],
    ["short\nand short\n", "and another one of more than twenty characters, and so it is."],
    [
        "The first line is as long as the second one, which makes the two of them equal.\n",
        "It is a short line.--\nThe other line is as long as the first one, so that the two are thus equal now.\n",
        "The third line is longer than these two, so that the mean of all the lengths is great enough"
        " for the one in between to be called short by this rule, which takes three tenths of it.\n",
        "The last line is here because there must be more than three of them at the end.\n",
    ],
    ["It is 5. ", "The answer is $5$"],
    [
        "First note that the sum of all of them is even.\nIt is 6. ",
        "The answer is $6$",
    ],
    [
        *(f"line {digit} of the solution, long enough.\n" for digit in range(8)),
        "line 8 of the solution, long enough.\nline 9 of the solution, long enough.",
    ],
    [
        *(f"line {digit} of the solution, long enough.\n" for digit in range(8)),
        "line 8 of the solution, long enough. ",
        "The answer is $8$",
    ],
]


@pytest.mark.parametrize("pieces", SPLITS)
def test_solutions_are_cut_as_in_the_published_code(pieces):
    assert split_math("".join(pieces)) == pieces


@given(
    st.lists(
        st.one_of(
            st.sampled_from(
                ["\n", "\n\n", ".$ ", "$. ", " so", " = ", " = = ", ",$", "Thus", "The answer is"]
            ),
            st.text(max_size=30),
        ),
        max_size=40,
    )
)
def test_pieces_join_to_the_solution_and_are_ten_at_most(fragments):
    solution = "".join(fragments)
    pieces = split_math(solution)
    assert "".join(pieces) == solution
    assert all(pieces)
    assert len(pieces) <= 10


def test_a_given_solution_ends_in_its_answer():
    steps = CODEC.split("".join(SPLITS[2]))
    assert [step.text for step in steps] == SPLITS[2]
    assert [step.answer for step in steps] == [None, None, None, None, "$2$"]
    assert CODEC.split("") == []


def test_a_sample_is_the_rest_of_the_solution():
    prefix = CODEC.split("".join(SPLITS[2]))[:2]
    rest = "The roots are 2 and -3.\nThe answer is $2$"
    assert CODEC.parse(rest, prefix) == Step(rest, answer="$2$")
    assert CODEC.prompt("Solve.", prefix) == "Solve." + SPLITS[2][0] + SPLITS[2][1]
    assert CODEC.stop == ()


@pytest.mark.parametrize(
    ("sample", "reason"),
    [
        ("", Reason.EMPTY),
        ("The roots are 2 and -3.", Reason.NO_ANSWER),
        ("\nProblem: 1 + 1?", Reason.REPEATS_PROMPT),
    ],
)
def test_why_a_sample_is_no_step(sample, reason):
    parsed = load_codec("self_explore", TEMPLATES["few_shot"]).parse(sample)
    assert isinstance(parsed, Fault)
    assert parsed.reason == reason


def test_a_truncated_sample_is_no_step():
    assert CODEC.parse("The answer is $2$", is_truncated=True).reason == Reason.TRUNCATED
