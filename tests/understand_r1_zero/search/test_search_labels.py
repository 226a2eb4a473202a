"""Labels and answers: ReST-MCTS*'s vectors, estimates, first errors, votes."""

import asyncio

import pytest

from understand_r1_zero.search.answers import AGGREGATES, solution_score, vote
from understand_r1_zero.search.step import Step
from understand_r1_zero.search.step_values import (
    StepLabel,
    first_error_binary,
    first_error_linear,
    hard_estimate,
    rest_labels,
    rest_values,
    simple_value,
    soft_estimate,
    weighted_values,
)
from understand_r1_zero.search.tree import ROOT, Node, SearchTree


def chain(tree: SearchTree, parent: int, texts: str) -> list[int]:
    found = []
    for text in texts:
        parent = tree.add(parent, Node(Step(text)))
        found.append(parent)
    return found


def test_the_weighted_values_of_rest_mcts():
    """Found by running the authors' `treeNode` class: see shared/reference/methods.md, section 1.4."""
    tree = SearchTree({})
    right = chain(tree, ROOT, "abcd")
    wrong = chain(tree, right[1], "xy")
    tree.nodes[right[-1]].reward = 1.0
    tree.nodes[wrong[-1]].reward = -1.0
    values = rest_values(tree)
    assert [values[n] for n in right] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert [values[n] for n in wrong] == pytest.approx([1 / 3, 1 / 9])


def test_a_bad_step_inherits_the_way_that_was_left_at_its_deepest_good_ancestor():
    tree = SearchTree({})
    right, wrong, unfinished = (
        chain(tree, ROOT, "abc"),
        chain(tree, ROOT, "xy"),
        chain(tree, ROOT, "z"),
    )
    tree.nodes[right[-1]].reward, tree.nodes[wrong[-1]].reward = 1.0, -1.0
    labels = rest_labels(tree)
    assert [labels[n] for n in right] == [StepLabel(m, True) for m in (2, 1, 0)]
    assert [labels[n] for n in wrong] == [StepLabel(3, False)] * 2
    assert unfinished[0] not in labels
    assert all(rest_values(tree)[n] == 0.0 for n in wrong)


def test_a_tree_without_a_right_end_has_no_weighted_values():
    tree = SearchTree({})
    tree.nodes[chain(tree, ROOT, "ab")[-1]].reward = 0.0
    assert rest_labels(tree) == {}


def test_values_by_the_formula_itself():
    assert weighted_values([1, 1, 0], [True, False, True]) == pytest.approx([0.5, 0.25, 1.0])
    assert weighted_values([5], [False]) == [0.0]
    assert [simple_value(k, 4, k <= 2) for k in (1, 2, 3, 4)] == [0.25, 0.5, 0.25, 0.5]
    assert simple_value(1, 4, is_good=False) == 0.0


def test_estimates_of_completions():
    completions = [[False] * 4, [True, False, False, False], [True] * 4]
    assert [hard_estimate(each) for each in completions] == [0, 1, 1]
    assert [soft_estimate(each) for each in completions] == [0, 0.25, 1]


def first_errors(answers: list[bool]) -> list[int | None]:
    found = []
    for search in (first_error_linear, first_error_binary):
        asked: list[int] = []

        async def is_right(k: int, asked: list[int] = asked) -> bool:
            asked.append(k)
            return answers[k - 1]

        found.append(asyncio.run(search(len(answers), is_right)))
        assert len(asked) <= (
            len(answers) if search is first_error_linear else len(answers).bit_length()
        )
    return found


@pytest.mark.parametrize("num_right", range(9))
def test_both_ways_to_the_first_error_agree_where_it_stays_wrong(num_right):
    answers = [True] * num_right + [False] * (8 - num_right)
    expected = num_right + 1 if num_right < 8 else None
    assert first_errors(answers) == [expected, expected]


def test_they_differ_where_it_does_not():
    assert first_errors([False, True, True, True]) == [1, None]
    assert first_errors([False, True, False, False]) == [1, 3]


def voting_tree():
    tree = SearchTree({})
    for text, answer, values, count in (
        ("a", "1", (0.9, 0.8), 1),
        ("b", "2", (0.6, 0.5), 1),
        ("c", "2.0", (0.4, 0.6), 1),
        ("d", "3", (0.2, 0.2), 4),
    ):
        step = tree.add(ROOT, Node(Step(text), value=values[0]))
        tree.add(step, Node(Step(text, answer=answer), value=values[1], count=count))
    return tree, tree.finals()


def are_equal(one, other):
    return float(one) == float(other)


@pytest.mark.parametrize(
    ("how", "aggregate", "answer"),
    [
        ("best", "min", "1"),
        ("best", "last", "1"),
        ("majority", "last", "3"),
        ("weighted", "last", "2.0"),
        ("weighted", "min", "2"),
        ("weighted", "product", "1"),
    ],
)
def test_votes(how, aggregate, answer):
    tree, finals = voting_tree()
    scores = [solution_score(tree, n, aggregate) for n in finals]
    chosen = vote(tree, finals, are_equal, scores, how)
    assert chosen is not None
    assert tree.nodes[chosen].answer == answer


def test_no_end_no_answer():
    assert vote(SearchTree({}), [], are_equal, [], "majority") is None


def test_aggregates_by_hand():
    found = {name: aggregate([0.5, 0.8, 0.4]) for name, aggregate in AGGREGATES.items()}
    expected = {"last": 0.4, "min": 0.4, "product": 0.16, "sum": 1.7, "mean": 1.7 / 3}
    assert found == pytest.approx(expected)
