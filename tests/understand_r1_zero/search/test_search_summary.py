"""The summary of a file of trees."""

import pytest

from tests.understand_r1_zero.search.grown_trees import searched
from understand_r1_zero.search.step import Step
from understand_r1_zero.search.summary import is_solved, summary_lines, tree_size
from understand_r1_zero.search.tree import ROOT, Node, SearchTree


def answered(search=None, *rewards):
    """A tree with an answer for each reward, below one step."""
    tree = SearchTree({} if search is None else {"search": search})
    step = tree.add(ROOT, Node(Step("a"), num_tokens=4, count=2))
    for place, reward in enumerate(rewards):
        tree.add(step, Node(Step(f"{place}", answer="1"), num_tokens=3, reward=reward))
    tree.root.visits = 1 + len(rewards)
    return tree


def test_lines_by_hand():
    trees = [
        answered({"status": "correct", "tokens": 40, "seconds": 2.0, "reason": "gate"}, 1.0, -1.0),
        answered({"chosen": "0.0.0", "seconds": 1.0, "reason": "simulations"}, -1.0, 1.0, None),
        answered({"seconds": 6.0, "reason": "simulations"}),
        answered(None, None),
    ]
    assert summary_lines(trees) == [
        "questions             4",
        "solved                1  33.3%",
        "a right answer found  2  50.0%",
        "without an answer     1  25.0%",
        "not graded            1  25.0%",
        "",
        "of a tree       mean  median  most",
        "nodes            2.5     2.5     4",
        "depth            1.8       2     2",
        "answers          1.5     1.5     3",
        "visits           2.5     2.5     4",
        "sampled tokens    19      14    40",
        "time            3.0s    2.0s  6.0s",
        "",
        "ended by  simulations 2, gate 1",
    ]


def test_a_file_without_trees_says_so():
    assert summary_lines([]) == ["no trees"]


@pytest.mark.parametrize(
    ("search", "rewards", "expected"),
    [
        ({"status": "correct"}, (), True),
        ({"status": "truncated", "chosen": "0.0.0"}, (1.0,), False),
        ({"status": "unknown", "chosen": "0.0.0"}, (1.0,), None),
        ({"chosen": "0.0.0"}, (1.0,), True),
        ({"chosen": "0.0.1"}, (1.0, -1.0), False),
        ({"chosen": "0.0.0"}, (None,), None),
        ({}, (1.0,), None),
        ({}, (), False),
    ],
)
def test_a_tree_is_solved_where_its_chosen_answer_is_right(search, rewards, expected):
    assert is_solved(answered(search, *rewards)) is expected


def test_the_size_of_a_search():
    tree = searched(30)
    size = tree_size(tree)
    assert (size.nodes, size.visits) == (len(tree.nodes) - 1, tree.root.visits)
    assert size.tokens == tree.record["search"]["tokens"]
