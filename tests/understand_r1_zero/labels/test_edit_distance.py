"""Edit distances against the table that defines them."""

import random
import time

import pytest

from understand_r1_zero.labels.edit_distance import edit_distance, normalised_distance


def by_table(one, other):
    row = list(range(len(other) + 1))
    for i, first in enumerate(one, 1):
        above, row[0] = row[0], i
        for j, second in enumerate(other, 1):
            above, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above + (first != second))
    return row[-1]


@pytest.mark.parametrize(
    ("one", "other", "distance"),
    [
        ("", "", 0),
        ("", "abc", 3),
        ("abc", "abc", 0),
        ("kitten", "sitting", 3),
        ("sunday", "saturday", 3),
        ("12+3=15", "12+4=16", 2),
        ("aab", "ab", 1),
        ("ab", "ba", 2),
        ("步骤1", "步骤2", 1),
    ],
)
def test_distances_known_by_hand(one, other, distance):
    assert edit_distance(one, other) == edit_distance(other, one) == distance


@pytest.mark.parametrize("letters", ["ab", "abcdefgh"])
def test_random_texts_have_the_distance_of_the_table(letters):
    drawn = random.Random(letters)
    for _ in range(300):
        one, other = ("".join(drawn.choices(letters, k=drawn.randrange(90))) for _ in range(2))
        assert edit_distance(one, other) == by_table(one, other)


def test_the_normalised_distance_is_of_both_lengths():
    assert normalised_distance("kitten", "sitting") == 3 / 13
    assert normalised_distance("", "abc") == 1
    assert normalised_distance("", "") == 0


def test_a_thousand_characters_take_milliseconds():
    drawn = random.Random(0)
    one, other = ("".join(drawn.choices("0123456789+-= \n", k=1000)) for _ in range(2))
    times_s = []
    for _ in range(5):
        start = time.perf_counter()
        assert 500 < edit_distance(one, other) < 1000
        times_s.append(time.perf_counter() - start)
    # The table takes a quarter of a second.
    assert min(times_s) < 0.05
