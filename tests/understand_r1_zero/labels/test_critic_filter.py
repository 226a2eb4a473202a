"""What a critic keeps."""

import pytest

from understand_r1_zero.args_rounds import LabelArgs
from understand_r1_zero.labels.critic_filter import is_kept, kept_ends
from understand_r1_zero.search.step import Step
from understand_r1_zero.search.tree import ROOT, Node, SearchTree

PUBLISHED = LabelArgs(label_min_value=0.2, label_min_chars=50)


@pytest.mark.parametrize(
    ("num_chars", "value", "is_good"),
    [(50, 0.2, True), (49, 0.9, False), (50, 0.19, False), (200, 1.0, True)],
)
def test_the_published_thresholds(num_chars, value, is_good):
    assert is_kept("x" * num_chars, value, PUBLISHED) is is_good


def test_nothing_is_asked_by_default():
    assert is_kept("", None, LabelArgs())
    assert is_kept("", -1.0, LabelArgs())


def test_a_missing_value_is_refused():
    with pytest.raises(ValueError, match=r"--label_min_value 0\.2 needs solutions with a value"):
        is_kept("a", None, LabelArgs(label_min_value=0.2))


def test_ends_of_trees_are_valued_by_their_last_step():
    tree = SearchTree({})
    step = tree.add(ROOT, Node(Step("1+2=3\n"), value=0.1))
    ends = [
        tree.add(step, Node(Step(text, answer="7"), value=value))
        for text, value in (("so 7", 0.9), ("so it is 7", 0.9), ("hence it is 7", 0.1))
    ]
    # Characters are those of the whole solution.
    assert kept_ends(tree, ends, LabelArgs(label_min_value=0.2, label_min_chars=11)) == [ends[1]]
    assert kept_ends(tree, ends, LabelArgs(label_min_value=0.2, label_min_chars=10)) == ends[:2]
