"""Levenshtein's distance, against the table that defines it."""

import random

import pytest

from understand_r1_zero.labels.edit_distance import edit_distance, normalised_distance


def by_table(one, other):
    row = list(range(len(other) + 1))
    for i, char in enumerate(one, 1):
        above, row = row, [i]
        for j, char2 in enumerate(other, 1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (char != char2)))
    return row[-1]


@pytest.mark.parametrize(
    ("one", "other", "distance"),
    [("", "", 0), ("", "abc", 3), ("kitten", "sitting", 3), ("flaw", "lawn", 2), ("ab", "ba", 2)],
)
def test_known_distances(one, other, distance):
    assert edit_distance(one, other) == edit_distance(other, one) == distance


def test_random_texts_have_the_distance_of_the_table():
    rng = random.Random(0)
    for _ in range(300):
        one, other = ("".join(rng.choices("abcé", k=rng.randrange(70))) for _ in range(2))
        assert edit_distance(one, other) == by_table(one, other), (one, other)


def test_normalised_by_both_lengths():
    assert normalised_distance("aaaa", "bbbb") == 0.5
    assert normalised_distance("", "abc") == 1
    assert normalised_distance("", "") == 0
