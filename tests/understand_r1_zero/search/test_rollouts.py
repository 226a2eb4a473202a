"""Simulations that roll out, on trees drawn by hand."""

import asyncio
import random
from dataclasses import replace
from functools import partial

import pytest

from tests.understand_r1_zero.search.tables import node_of, table, texts
from understand_r1_zero.search import backup
from understand_r1_zero.search.grow import Rules, simulate, tree_search
from understand_r1_zero.search.growth import Growth
from understand_r1_zero.search.limits import Limits, end_gate
from understand_r1_zero.search.records import to_record
from understand_r1_zero.search.rollouts import (
    at_random,
    first,
    follow,
    forward,
    greedy,
    max_mixed,
    to_the_end,
)
from understand_r1_zero.search.selection import rest_ucb, uct
from understand_r1_zero.search.step import Step
from understand_r1_zero.search.tree import ROOT, Node, SearchTree

REST = Rules(
    score=partial(rest_ucb, c=0.4, inf=0.8),
    back_up=backup.visit_weighted,
    num_children=3,
    values_children=True,
    limits=Limits(simulations=1),
    roll_out=forward(2, branch=2, alpha=0.25, kind="greedy"),
)


def drawn():
    """A root passed 3 times; `a`, passed twice with mean 0.5; `b`, never, worth 0.3."""
    tree = SearchTree({})
    a = tree.add(ROOT, Node(Step("a"), visits=2, value_sum=1.0, value=0.4))
    tree.add(ROOT, Node(Step("b"), value=0.3))
    tree.add(a, Node(Step("c"), visits=1, value_sum=0.5, value=0.5))
    tree.expanded(a)
    tree.expanded(ROOT)
    tree.root.visits, tree.root.value_sum = 3, 1.5
    return tree


def test_a_round_of_rest_mcts_by_hand():
    tree = drawn()
    samples = {"b": "pqr", "bq": "st", "bqt": "uv"}
    values = {"bp": 0.2, "bq": 0.6, "br": 0.4, "bqs": 0.1, "bqt": 0.7, "bqtu": 0.5, "bqtv": 0.3}
    outcome = asyncio.run(tree_search(tree, REST, *table(samples, values), 0))
    # b is selected: 0.3 + 0.8 against 0.5 + 0.4 sqrt(2 ln 3 / 2) = 0.919. Its best child q is rolled out
    # over t (0.7) and u (0.5), so that V = 0.75 * 0.6 + 0.25 * 0.7 = 0.625.
    q, b = node_of(tree, "bq"), node_of(tree, "b")
    assert (q.visits, q.mean(), q.value) == (1, pytest.approx(0.625), 0.6)
    # The siblings of q were not passed: b takes q's V, and the root (2 * 0.5 + 1 * 0.625) / 3.
    assert (b.visits, b.mean()) == (1, pytest.approx(0.625))
    assert (tree.root.visits, tree.root.mean()) == (4, pytest.approx(1.625 / 3))
    assert [node_of(tree, text).visits for text in ("bp", "br", "bqt")] == [0, 0, 0]
    assert outcome.spent.tokens == 2 * (3 + 2 + 2)
    # What was rolled out is there, below nodes that are still to be expanded.
    assert not q.is_expanded
    assert not node_of(tree, "bqt").is_expanded
    assert "bqtu" in texts(tree, range(len(tree.nodes)))


def test_the_gate_sees_the_mixed_value():
    samples, values = {"b": "pqr", "bq": "s"}, {"bq": 0.9, "bp": 0.8, "bqs": 0.1}
    rules = replace(REST, gate=end_gate(0.75))
    tree = drawn()
    outcome = asyncio.run(tree_search(tree, rules, *table(samples, values), 0))
    # 0.75 * 0.9 + 0.25 * 0.1 = 0.7 does not reach it; p, which was not rolled out, does.
    assert outcome.reason == "gate"
    assert tree.text(outcome.node) == "bp"


def test_a_leaf_without_a_step_is_backed_up_as_it_stands():
    tree = drawn()
    asyncio.run(tree_search(tree, REST, *table({}, {}), 0))
    assert (tree.nodes[2].visits, tree.nodes[2].mean()) == (1, 0.3)
    assert (tree.root.visits, tree.root.mean()) == (4, pytest.approx((2 * 0.5 + 0.3) / 3))
    assert not tree.is_open(2)


def test_the_mix_with_nothing_rolled_is_the_value():
    assert max_mixed(0.6, [0.2, 0.8], 0.5) == pytest.approx(0.7)
    assert max_mixed(0.6, [0.2], 0.5) == pytest.approx(0.4)
    assert max_mixed(0.6, [], 0.5) == 0.6


def test_an_end_is_not_rolled_out():
    samples, values = {"b": "pQ", "bQ": "s"}, {"bQ": 0.7}
    tree = drawn()
    asyncio.run(tree_search(tree, REST, *table(samples, values), 0))
    assert node_of(tree, "bQ").mean() == 0.7
    assert "bQs" not in texts(tree, range(len(tree.nodes)))


def test_a_rolled_step_is_selected_once_the_node_above_it_is_expanded():
    tree = SearchTree({})
    samples = {"": "a", "a": "bc", "ab": "d", "ac": "e"}
    values = {"a": 0.5, "ab": 0.9, "ac": 0.1, "abd": 0.2}
    rules = replace(REST, limits=Limits(simulations=2), roll_out=forward(1, 1, 0.5, "greedy"))
    asyncio.run(tree_search(tree, rules, *table(samples, values), 0))
    # Rolled out first, then the first of a's two samples: one node, two draws.
    assert node_of(tree, "ab").count == 2
    assert texts(tree, node_of(tree, "a").children) == ["ab", "ac"]
    assert texts(tree, tree.open_children(1)) == ["ab", "ac"]


def ways(choose, steps=3, branch=2, starts="ab"):
    tree = SearchTree({})
    numbers = [tree.add(ROOT, Node(Step(text))) for text in starts]
    samples = {"a": "xy", "ay": "z.", "ayz": "uV", "b": "Wx", "bx": "yz", "ax": "p"}
    values = {"ay": 0.5, "ax": 0.1, "ayzu": 0.3, "ayzV": 0.8, "bW": 0.9}
    growth = Growth(tree, *table(samples, values), Limits())
    found = asyncio.run(follow(growth, numbers, steps, branch, choose))
    return tree, [texts(tree, way) for way in found]


def test_a_greedy_way_takes_the_best_of_the_samples_and_ends_with_an_answer():
    _, found = ways(greedy)
    assert found == [["ay", "ayz", "ayzV"], ["bW"]]


def test_a_way_ends_where_nothing_can_be_read():
    tree, found = ways(first, branch=1)
    assert found == [["ax", "axp"], ["bW"]]
    assert all(node.value is None for node in tree.nodes)


def test_a_random_way_values_only_what_is_drawn():
    tree, found = ways(at_random(random.Random(3)), starts="a", steps=1)
    [[drawn_step]] = found
    [other] = {"ax", "ay"} - {drawn_step}
    assert node_of(tree, drawn_step).value is not None
    assert node_of(tree, other).value is None
    drawn_steps = {ways(at_random(random.Random(s)), 1, 2, "a")[1][0][0] for s in range(20)}
    assert drawn_steps == {"ax", "ay"}


def test_no_step_ahead_is_no_way():
    _, found = ways(greedy, steps=0)
    assert found == [[], []]


RSTAR = Rules(
    score=partial(uct, c=2.0),
    back_up=backup.terminal_only,
    num_children=2,
    values_children=True,
    limits=Limits(simulations=1),
)


def test_rstar_goes_to_the_end_in_one_simulation_and_only_ends_come_up():
    samples = {"": "ab", "a": "cd", "ac": "EF", "ad": "G", "b": "H"}
    values = {"a": 0.9, "b": 0.2, "ac": 0.5, "ad": 0.1, "acE": 1.0, "acF": -1.0}
    rules = replace(RSTAR, roll_out=to_the_end(RSTAR.score, 2))
    tree = SearchTree({})
    outcome = asyncio.run(tree_search(tree, rules, *table(samples, values), 0))
    assert outcome.spent.simulations == 1
    assert texts(tree, tree.finals()) == ["acE", "acF"]
    visits = {text: node_of(tree, text).visits for text in ("", "a", "b", "ac", "ad", "acE")}
    assert visits == {"": 2, "a": 2, "b": 0, "ac": 2, "ad": 0, "acE": 1}
    assert tree.root.value_sum == 0.0
    # The next simulation finds ac closed and goes over ad.
    rules = replace(rules, limits=Limits(simulations=2))
    tree = SearchTree({})
    asyncio.run(tree_search(tree, rules, *table(samples, values), 0))
    assert "adG" in texts(tree, tree.finals())


def test_rstar_stops_at_the_depth():
    endless = {"a" * n: "a" for n in range(30)}
    rules = replace(RSTAR, limits=Limits(3, depth=16), roll_out=to_the_end(RSTAR.score, 2))
    tree = SearchTree({})
    outcome = asyncio.run(tree_search(tree, rules, *table(endless, {}), 0))
    assert outcome.reason == "exhausted"
    assert max(node.depth for node in tree.nodes) == 16
    assert tree.root.visits == 0


@pytest.mark.parametrize("roll_out", [REST.roll_out, to_the_end(RSTAR.score, 3)])
def test_parallel_roll_outs_make_the_same_tree_whatever_comes_first(roll_out):
    def grown():
        async def expand(tree, number, count):
            rng = random.Random(f"{tree.text(number)} {len(tree.nodes[number].children)}")
            await asyncio.sleep(0.003 * random.random())
            return [Node(Step(rng.choice("abcdE")), num_tokens=1) for _ in range(count)]

        async def evaluate(tree, numbers):
            await asyncio.sleep(0.003 * random.random())
            return [random.Random(tree.text(number)).random() for number in numbers]

        tree = SearchTree({})
        limits = Limits(simulations=6, depth=6)
        rules = replace(REST, roll_out=roll_out, limits=limits, num_parallel=3)
        asyncio.run(simulate(Growth(tree, expand, evaluate, limits), rules, 5))
        assert all(node.pending == 0 for node in tree.nodes)
        return to_record(tree)

    assert grown() == grown()
