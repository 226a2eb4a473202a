"""Which solutions are kept, on texts whose distances are known by hand."""

import pytest

from understand_r1_zero.args_rounds import LabelArgs
from understand_r1_zero.labels.distinct import (
    distant,
    distinct,
    distinct_equations,
    exactly_distinct,
)


def test_texts_that_differ_in_white_space_are_one():
    assert exactly_distinct(["a\n", "b", " a", "A"]) == [0, 1, 3]


def test_of_equal_equations_the_one_farther_from_the_others_is_kept():
    texts = [
        "So 1+2=<<1+2=3>>3",
        "Then 4*5=<<4*5=20>>20",
        # The first one's equations, and more to write to make it the second.
        "Now, to begin with, 1+2=<<1+2=3>>3",
        # Nearer to the second one again.
        "1+2=<<1+2=3>>3",
    ]
    assert distinct_equations(texts) == [2, 1]
    assert distinct_equations(texts[:2]) == [0, 1]
    # With no others all distances are 0: the first one stays.
    assert distinct_equations([texts[0], texts[2]]) == [0]


def test_equations_that_do_not_hold_leave_a_text_out():
    assert distinct_equations(["1+2=4", "1+2=3", "1+2=3 and 2+2=5"]) == [1]


def test_lists_of_equations_are_counted_after_the_exchange():
    texts = ["1+2=3", "2+2=4", "3+3=6", "to say it at length, 1+2=3"]
    assert distinct_equations(texts, 2) == [3, 1]


def test_a_distant_text_is_so_by_the_odd_denominator():
    # One replacement; the denominator is 4 + 4 // 2 = 6, the share 1/6.
    assert distant(["aaaa", "aaab"], 0.16) == [0, 1]
    assert distant(["aaaa", "aaab"], 1 / 6) == [0]
    # Three insertions over 5 + 2 // 2 = 6, and over 2 + 5 // 2 = 4 the other way round.
    assert distant(["aa", "aabbb"], 0.5) == [0]
    assert distant(["aabbb", "aa"], 0.5) == [0, 1]


def test_a_text_must_be_far_from_all_that_are_kept():
    assert distant(["aaaa", "bbbb", "aaab", "cccc"], 0.2) == [0, 1, 3]
    assert distant(["aaaa", "bbbb", "aaab", "cccc"], 0.2, limit=2) == [0, 1]


@pytest.mark.parametrize(
    ("flags", "kept"),
    [
        ({"label_distinct": "text"}, [0, 2, 3]),
        ({"label_distinct": "equations"}, [0, 3]),
        ({"label_distinct": "distance", "label_distance": 0.2}, [0, 2]),
        ({"label_distinct": "none"}, [0, 1, 2, 3]),
    ],
)
def test_the_flag_names_the_kind(flags, kept):
    texts = ["one: 1+2=3", "One:  1+2=3", "it is so that 1+2=3", "one: 1+1=2"]
    assert distinct(texts, LabelArgs(**flags)) == kept
    assert distinct(texts, LabelArgs(**flags), 1) == kept[:1]
