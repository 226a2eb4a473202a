"""Selection and backup on trees drawn by hand."""

import math
import random

import pytest

from understand_r1_zero.search import backup
from understand_r1_zero.search.selection import (
    beam,
    descend,
    level_beams,
    own_value,
    puct,
    q_value,
    rest_ucb,
    uct,
)
from understand_r1_zero.search.step import Step
from understand_r1_zero.search.tree import ROOT, Node, SearchTree


def drawn() -> SearchTree:
    """A root visited 9 times with three children: visited 4 and 5 times, and never."""
    tree = SearchTree({})
    for visits, value_sum, value, logprob in (
        (4, 2.0, 0.5, -2.0),
        (5, -1.0, 0.1, -1.0),
        (0, 0, 0.3, -4.0),
    ):
        tree.add(
            ROOT,
            Node(
                Step(f"{visits}"),
                visits=visits,
                value_sum=value_sum,
                value=value,
                logprob=logprob,
                num_tokens=2,
            ),
        )
    tree.expanded(ROOT)
    tree.root.visits = 9
    return tree


def test_puct_by_hand():
    tree = drawn()
    p = [math.exp(-1), math.exp(-0.5), math.exp(-2)]
    expected = [2 / 4 + 1.25 * p[0] * 3 / 5, -1 / 5 + 1.25 * p[1] * 3 / 6, 1.25 * p[2] * 3]
    assert [puct(tree, n, c=1.25) for n in (1, 2, 3)] == pytest.approx(expected)
    total = sum(p)
    expected = [0.5 + p[0] / total * 3 / 5, -0.2 + p[1] / total * 3 / 6, p[2] / total * 3]
    assert [puct(tree, n, c=1, is_normalised=True) for n in (1, 2, 3)] == pytest.approx(expected)


def test_uct_by_hand_without_a_bonus_for_the_unvisited():
    tree = drawn()
    bonus = [2 * math.sqrt(math.log(9) / n) for n in (4, 5)]
    expected = [0.5 + bonus[0], -0.2 + bonus[1], 0.3]
    assert [uct(tree, n, c=2) for n in (1, 2, 3)] == pytest.approx(expected)
    tree.nodes[3].value = None
    assert uct(tree, 3, c=2) == 0.0


def test_rest_ucb_by_hand_with_an_additive_bonus_for_the_unvisited():
    tree = drawn()
    bonus = [0.7 * math.sqrt(2 * math.log(9) / n) for n in (4, 5)]
    expected = [0.5 + bonus[0], -0.2 + bonus[1], 0.3 + 0.9]
    assert [rest_ucb(tree, n, c=0.7, inf=0.9) for n in (1, 2, 3)] == pytest.approx(expected)


def test_a_virtual_loss_counts_as_a_visit_of_the_worst_value():
    tree = drawn()
    before = [puct(tree, n, c=1.25) for n in (1, 2, 3)]
    backup.begin(tree, 1)
    p = math.exp(-1)
    assert puct(tree, 1, c=1.25) == pytest.approx((2 - 1) / 5 + 1.25 * p * math.sqrt(10) / 6)
    backup.finish(tree, 1)
    assert [puct(tree, n, c=1.25) for n in (1, 2, 3)] == before


def test_the_way_down_passes_over_what_is_closed():
    tree = drawn()
    score = q_value
    assert descend(tree, score, random.Random(0)) == 1
    tree.expanded(1)
    assert not tree.is_open(1)
    assert descend(tree, score, random.Random(0)) == 2
    tree.end(2, "answer")
    assert descend(tree, score, random.Random(0)) == 3
    tree.end(3, "depth")
    assert descend(tree, score, random.Random(0)) is None


def test_ties_are_broken_by_the_seed():
    tree = SearchTree({})
    for text in "abc":
        tree.add(ROOT, Node(Step(text)))
    tree.expanded(ROOT)
    found = [descend(tree, lambda tree, n: 0.0, random.Random(seed)) for seed in range(30)]
    assert set(found) == {1, 2, 3}
    assert found == [descend(tree, lambda tree, n: 0.0, random.Random(seed)) for seed in range(30)]


def test_a_beam_prefers_value_then_age():
    tree = drawn()
    assert beam(tree, [3, 2, 1], 2, own_value) == [1, 3]
    tree.nodes[3].value = 0.5
    assert beam(tree, [3, 2, 1], 2, own_value) == [1, 3]
    tree.nodes[1].value = None
    assert beam(tree, [1, 2, 3], 3, own_value) == [3, 2, 1]


def test_mean_backup():
    tree = drawn()
    child = tree.add(1, Node(Step("x")))
    backup.mean(tree, child, 1.0)
    assert [(tree.nodes[n].visits, tree.nodes[n].value_sum) for n in (child, 1, 2)] == [
        (1, 1.0),
        (5, 3.0),
        (5, -1.0),
    ]
    assert tree.root.visits == 10


def test_visit_weighted_backup():
    tree = SearchTree({})
    a, b = (tree.add(ROOT, Node(Step(text))) for text in "ab")
    backup.visit_weighted(tree, a, 0.6)
    backup.visit_weighted(tree, b, 0.2)
    assert tree.root.mean() == pytest.approx(0.4)
    c = tree.add(a, Node(Step("c")))
    backup.visit_weighted(tree, c, 0.9)
    assert tree.nodes[a].visits == 2
    assert tree.nodes[a].mean() == pytest.approx(0.9)
    assert tree.root.visits == 3
    assert tree.root.mean() == pytest.approx((2 * 0.9 + 0.2) / 3)


def test_only_ends_with_an_answer_are_backed_up_far():
    tree = SearchTree({})
    a = tree.add(ROOT, Node(Step("a")))
    final, broken = (tree.add(a, Node(Step(*step))) for step in (("f", None, None, "1"), ("b",)))
    tree.end(final, "answer")
    tree.end(broken, "no step")
    for number, value in ((a, 0.5), (broken, -1.0), (final, 1.0)):
        backup.terminal_only(tree, number, value)
    assert [tree.nodes[n].visits for n in (ROOT, a, final, broken)] == [1, 1, 1, 1]
    assert [tree.nodes[n].value_sum for n in (ROOT, a, final, broken)] == [1, 1, 1, -1]


def test_a_beam_over_a_tree_that_is_there_leaves_out_ways_without_an_answer():
    tree = SearchTree({})
    a = tree.add(ROOT, Node(Step("a"), value=0.9))
    b = tree.add(ROOT, Node(Step("b"), value=0.4))
    c = tree.add(ROOT, Node(Step("c"), value=0.3))
    tree.add(a, Node(Step("aa"), value=1.0))
    final_b = tree.add(b, Node(Step("bb", answer="1"), value=0.2))
    final_c = tree.add(c, Node(Step("cc", answer="2"), value=0.5))
    assert level_beams(tree, 1, own_value) == [final_b]
    assert level_beams(tree, 2, own_value) == [final_c, final_b]
    assert level_beams(SearchTree({}), 2, own_value) == []
