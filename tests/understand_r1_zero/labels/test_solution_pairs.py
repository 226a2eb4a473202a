"""Pairs of solutions, on texts whose distances are known by hand."""

from collections import Counter

import pytest

from understand_r1_zero.args_rounds import LabelArgs
from understand_r1_zero.labels.solution_pairs import farthest, read_distances, rows, shortest_beyond
from understand_r1_zero.labels.sources import GivenResponse, ProblemGroup
from understand_r1_zero.search.step import Step
from understand_r1_zero.search.tree import ROOT, Node, SearchTree


def response(text, is_right, is_truncated=False):
    return GivenResponse(text, None, is_right, is_truncated)


def group(right, wrong, *others):
    given = [response(text, True) for text in right] + [response(text, False) for text in wrong]
    return ProblemGroup("Q", ("7",), (), (*given, *others))


def pairs(groups, codec, **flags):
    made = rows(groups, LabelArgs(label="solution_pairs", **flags), codec, Counter())
    return [(row["chosen"], row["rejected"]) for row in made]


def test_a_row_is_of_whole_solutions(codec):
    [row] = rows([group(["a7"], ["b8"])], LabelArgs(), codec, Counter())
    assert row == {
        "prompt": "Q",
        "chosen": "a7",
        "rejected": "b8",
        "chosen_is_whole": True,
        "rejected_is_whole": True,
        "problem": "Q",
        "answer": "7",
    }


def test_the_farthest_is_the_last_of_several():
    assert farthest("aaaa", ["aaab", "bbbb", "aabb", "cccc"]) == 3
    # Edits are counted, not shares: 6 of 10 characters against 4 of 8.
    assert farthest("aaaa", ["bbbb", "aaaabbbbbb"]) == 1


def test_the_shortest_beyond_the_first_distance_that_any_exceeds():
    # Shares of "aaaa": 4/8, 5/9, 8/12 = 2/3, 1/8.
    pool = ["bbbb", "bbbbb", "bbbbbbbb", "aaab"]
    assert shortest_beyond("aaaa", pool, [0.5, 0.4]) == 1
    assert shortest_beyond("aaaa", pool, [0.6, 0.4]) == 2
    assert shortest_beyond("aaaa", pool, [0.7, 0.4]) == 0
    # None is: the shortest, of two the nearer one.
    assert shortest_beyond("aaaa", pool, [0.7]) == 3
    assert shortest_beyond("aaaa", ["aaaab", "aaac", "aabc"], [0.5, 0.4, 0.3]) == 1


def test_each_wrong_solution_is_used_once(codec):
    given = group(["aaaa", "aaaab", "aab"], ["bbbb", "aabb"])
    assert pairs([given], codec) == [("aaaa", "bbbb"), ("aaaab", "aabb")]
    assert pairs([given, given], codec, pairs_per_problem=1) == [("aaaa", "bbbb")] * 2
    assert pairs([given], codec, pair_distances="0.9,0.4") == [("aaaa", "bbbb"), ("aaaab", "aabb")]


def test_equal_solutions_are_one_on_both_sides(codec):
    given = group(["a a", "A  a", "c"], ["b", "b\n", "d"])
    assert pairs([given], codec) == [("a a", "d"), ("c", "b")]
    assert len(pairs([given], codec, label_distinct="none")) == 3


def test_with_distances_wrong_solutions_are_apart_too(codec):
    given = group(["aaaaaaaa", "cccccccc"], ["bbbbbbbb", "bbbbbbbc", "dddddddd", "eeeeeeee"])
    flags = {"label_distinct": "distance", "pair_distances": "0.4"}
    # One edit over 8 + 8 // 2 = 12 is no other solution.
    assert pairs([given], codec, **flags) == [("aaaaaaaa", "bbbbbbbb"), ("cccccccc", "dddddddd")]
    assert pairs([given], codec, **flags, pair_wrong=1) == [("aaaaaaaa", "bbbbbbbb")]


def test_right_solutions_are_selected_as_for_fine_tuning(codec):
    given = group(["1+2=4", "1+2=3", "well, 1+2=3", "2+1=3"], ["b", "bb"])
    flags = {"label_distinct": "equations"}
    assert [chosen for chosen, _ in pairs([given], codec, **flags)] == ["1+2=3", "2+1=3"]


def test_cut_and_ungraded_responses_are_left_out(codec):
    given = group(["a", "a", "c"], ["b"], response("cut", False, True), response("?", None))
    left_out = Counter()
    assert [row["rejected"] for row in rows([given], LabelArgs(), codec, left_out)] == ["b"]
    assert left_out == {
        "responses that were cut": 1,
        "responses of unknown worth": 1,
        "right solutions like another one, or beyond --pairs_per_problem": 1,
        "right solutions without a wrong one": 1,
    }


def test_graded_ends_of_trees_are_solutions(codec):
    tree = SearchTree({})
    step = tree.add(ROOT, Node(Step("3\n")))
    for text, reward in (("so 7", 1.0), ("so 8", -1.0), ("so 9", None)):
        tree.add(step, Node(Step(text, answer=text[-1]), reward=reward))
    tree.add(ROOT, Node(Step("no step"), reward=-1.0))
    given = ProblemGroup("Q", ("7",), (tree,))
    assert pairs([given], codec) == [("3\nso 7", "3\nso 8")]


@pytest.mark.parametrize("text", ["0.5;0.4", "a", "1.5", "-0.1", "nan", "0.5,"])
def test_distances_that_are_none_are_refused(text):
    with pytest.raises(ValueError, match="--pair_distances must be numbers from 0 to 1"):
        read_distances(text)


def test_distances_are_read_in_their_order():
    assert read_distances(" ") == []
    assert read_distances("0.5, 0.4,0.3") == [0.5, 0.4, 0.3]


def valued(*solutions):
    """A tree of whole solutions, each (text, value)."""
    tree = SearchTree({"question": "Q", "answer": "7"})
    for text, value in solutions:
        tree.add(ROOT, Node(Step(text, answer="7"), value=value, terminal="answer"))
    return ProblemGroup("Q", ("7",), (tree,), ())


def test_the_most_valued_against_the_least_whatever_they_answer(codec):
    given = valued(("a", 0.4), ("b", 0.9), ("c", 0.9), ("d", 0.2), ("e", None))
    assert pairs([given], codec, pair_by="value") == [("b", "d")]
    assert pairs([given], codec, pair_by="value", pair_margin=0.6) == [("b", "d")]
    left_out = Counter()
    flags = LabelArgs(label="solution_pairs", pair_by="value", pair_margin=0.7)
    assert not list(rows([given, valued()], flags, codec, left_out))
    assert left_out["problems whose solutions are of one value"] == 2
