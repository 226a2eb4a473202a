"""What an explored tree says of its given solution."""

import pytest

from understand_r1_zero.labels.explored import completions, first_pit, given_chain, text_after
from understand_r1_zero.search.records import from_record, to_record
from understand_r1_zero.search.step import Step
from understand_r1_zero.search.tree import ROOT, SearchTree

STEPS = ["1+2=3\n", "3+4=8\n", "so 8"]
RIGHT, WRONG = ("3+4=7\nso 7", 1.0), ("so 9", -1.0)


def texts(tree, number):
    return [text_after(tree, number, end) for end in completions(tree, number)]


def test_the_chain_is_found_again_behind_completions(explored):
    tree = explored(STEPS, [[RIGHT, WRONG], [WRONG]], at_root=[RIGHT])
    for each in (tree, from_record(to_record(tree))):
        chain = given_chain(each)
        assert [each.nodes[n].text for n in chain] == STEPS
        assert texts(each, chain[0]) == ["3+4=7\nso 7", "so 9"]
        assert texts(each, chain[1]) == ["so 9"]
        assert texts(each, chain[2]) == []
        assert texts(each, ROOT) == ["3+4=7\nso 7"]


@pytest.mark.parametrize(
    ("drawn", "reward", "pit"),
    [
        ([[WRONG, WRONG]], -1.0, 0),
        ([[RIGHT], [WRONG, WRONG]], -1.0, 1),
        # One of many will do.
        ([[WRONG, WRONG, RIGHT], [WRONG, RIGHT]], -1.0, 2),
        ([[RIGHT], [RIGHT]], 1.0, None),
        # A binary scan asked for the second step first, and no more.
        ([None, [RIGHT]], -1.0, 2),
        ([[RIGHT], [WRONG], None], -1.0, 1),
        # The first of several.
        ([[RIGHT], [WRONG], [WRONG]], -1.0, 1),
    ],
)
def test_the_first_step_without_a_right_completion_is_the_pit(explored, drawn, reward, pit):
    assert first_pit(explored(STEPS, drawn, reward=reward)) == pit


def test_a_step_that_was_cut_is_no_pit(explored):
    tree = explored(STEPS, [[RIGHT], [RIGHT]])
    last = tree.nodes[given_chain(tree)[-1]]
    assert first_pit(tree) == 2
    last.step = Step(last.text)
    assert first_pit(tree) is None


def test_a_tree_that_was_not_explored_is_refused(explored):
    with pytest.raises(ValueError, match="--collect explore"):
        given_chain(SearchTree({"question": "1+2"}))
    tree = explored(STEPS, [])
    tree.record["search"]["given"] = "0.0.5"
    with pytest.raises(ValueError, match=r"no node 0\.0\.5"):
        given_chain(tree)
