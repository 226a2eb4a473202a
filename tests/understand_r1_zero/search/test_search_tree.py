"""Trees: merging, closing, and names."""

import math

import pytest

from tests.understand_r1_zero.search.grown_trees import grown
from understand_r1_zero.search.step import Step
from understand_r1_zero.search.tree import ROOT, Node, SearchTree


@pytest.mark.parametrize("seed", range(20))
def test_a_node_is_open_where_something_below_it_may_still_be_expanded(seed):
    tree = grown(seed)
    for number in range(len(tree.nodes)):
        leaves = [n for n in tree.below(number) if not tree.nodes[n].is_expanded]
        expected = not tree.nodes[number].terminal and any(
            all(not tree.nodes[step].terminal for step in [*tree.path(leaf)]) for leaf in leaves
        )
        assert tree.is_open(number) == expected


def test_equal_siblings_are_one_node_that_counts():
    tree = SearchTree({})
    first = tree.add(ROOT, Node(Step("a = 1\n")))
    assert tree.add(ROOT, Node(Step("a = 1"))) == first
    other = tree.add(ROOT, Node(Step("a = 2")))
    assert tree.add(first, Node(Step("a = 1\n"))) not in (first, other)
    assert [tree.nodes[n].count for n in (first, other)] == [2, 1]


def test_an_exhausted_subtree_closes_its_ancestors_and_no_others():
    tree = SearchTree({})
    left, right = (tree.add(ROOT, Node(Step(text))) for text in "lr")
    tree.expanded(ROOT)
    ends = [tree.add(left, Node(Step(text))) for text in "ab"]
    tree.expanded(left)
    tree.end(ends[0], "answer")
    assert tree.is_open(left)
    tree.end(ends[1], "depth")
    assert not tree.is_open(left)
    assert tree.is_open(ROOT)
    assert tree.open_children(ROOT) == [right]
    tree.expanded(right)
    assert tree.is_exhausted()


def test_names_paths_and_texts():
    tree = SearchTree({})
    a = tree.add(ROOT, Node(Step("a")))
    b = tree.add(ROOT, Node(Step("b")))
    ba = tree.add(b, Node(Step("c")))
    assert [tree.tag(n) for n in (ROOT, a, b, ba)] == ["0", "0.0", "0.1", "0.1.0"]
    assert tree.path(ba) == [b, ba]
    assert tree.text(ba) == "bc"
    assert tree.ends() == [a, ba]
    assert list(tree.below(ROOT)) == [ROOT, a, b, ba]


def test_a_prior_is_normalised_for_length():
    assert Node(logprob=-3.0, num_tokens=3).prior == pytest.approx(math.exp(-1))
    assert Node().prior == 1.0
