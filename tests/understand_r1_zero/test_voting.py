from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understand_r1_zero.voting import best_of, class_labels, majority, weighted_majority

labels_and_scores = st.lists(
    st.tuples(st.none() | st.integers(0, 4), st.integers(0, 9)), min_size=1, max_size=12
)


def never(answer: str, other: str) -> bool:
    raise AssertionError(f"{answer!r} and {other!r} need no comparison")


def same_value(answer: str, other: str) -> bool:
    return Fraction(answer) == Fraction(other)


def test_equal_texts_are_one_class_without_a_comparison():
    assert class_labels(["7", "7", None, "7"], never) == [0, 0, None, 0]
    assert class_labels([], never) == []
    assert class_labels([None, None], never) == [None, None]


def test_equal_values_are_one_class_however_they_are_written():
    answers = ["1/2", "3", None, "0.5", "6/2", "1/2", "2/4", "4"]
    assert class_labels(answers, same_value) == [0, 1, None, 0, 1, 0, 0, 2]


def test_a_text_is_compared_once_with_the_first_answer_of_each_class():
    compared = []

    def are_equal(answer: str, other: str) -> bool:
        compared.append((answer, other))
        return same_value(answer, other)

    class_labels(["1", "2", "1.0", "1.0", "2", "2.0", "1.0"], are_equal)
    assert compared == [("2", "1"), ("1.0", "1"), ("2.0", "1"), ("2.0", "2")]


def test_where_equality_is_not_transitive_the_first_answers_decide():
    def near(answer: str, other: str) -> bool:
        return abs(int(answer) - int(other)) <= 1

    assert class_labels(["1", "2", "3"], near) == [0, 0, 1]
    assert class_labels(["2", "1", "3"], near) == [0, 0, 0]


@given(st.lists(st.none() | st.integers(-3, 3).map(str), max_size=20))
def test_labels_number_classes_in_order_and_keep_equal_answers_together(answers):
    labels = class_labels(answers, lambda answer, other: abs(int(answer)) == abs(int(other)))
    for answer, label in zip(answers, labels, strict=True):
        assert (answer is None) == (label is None)
    known = [
        (abs(int(answer)), label) for answer, label in zip(answers, labels, strict=True) if answer
    ]
    assert len(dict(known)) == len({label for _, label in known})
    assert all(dict(known)[value] == label for value, label in known)
    firsts = list(dict.fromkeys(label for _, label in known))
    assert firsts == sorted(firsts)


@pytest.mark.parametrize(
    ("labels", "winner"),
    [
        ([0, 1, 1], 1),
        ([0, 1], 0),
        ([1, 0], 1),
        ([None, None, 0], 0),
        ([None], None),
        ([], None),
    ],
)
def test_majority(labels, winner):
    assert majority(labels) == winner


@pytest.mark.parametrize(
    ("labels", "scores", "winner"),
    [
        ([0, 1, 1], [0.9, 0.4, 0.4], 0),
        ([0, 1, 1], [0.9, 0.4, 0.6], 1),
        ([0, 1], [0.5, 0.5], 0),
        ([None, 0], [1.0, 0.0], 0),
        ([None], [1.0], None),
        ([0, 1], [-2.0, -1.0], 1),
    ],
)
def test_weighted_majority(labels, scores, winner):
    assert weighted_majority(labels, scores) == winner


@given(labels_and_scores)
def test_weighted_majority_is_a_sum_and_equal_weights_are_the_majority(pairs):
    labels, scores = map(list, zip(*pairs, strict=True))
    sums = {
        own: sum(score for label, score in pairs if label == own)
        for own in labels
        if own is not None
    }
    expected = max(sums, key=lambda own: sums[own], default=None)
    assert weighted_majority(labels, scores) == expected
    assert weighted_majority(labels, [1.0] * len(labels)) == majority(labels)


def test_best_of_takes_the_first_of_equal_scores():
    assert best_of([0.1, 0.7, 0.7, 0.2]) == 1
    assert best_of([-3.0]) == 0


def test_scores_must_be_one_a_response():
    with pytest.raises(ValueError, match="shorter"):
        weighted_majority([0, 1], [1.0])
