"""What is asked, put in and counted."""

import asyncio

from tests.understand_r1_zero.search.tables import table, texts
from understand_r1_zero.search.growth import Growth
from understand_r1_zero.search.limits import Limits
from understand_r1_zero.search.step import Step
from understand_r1_zero.search.tree import ROOT, Node, SearchTree


def test_children_are_told_with_how_often_they_were_sampled():
    tree = SearchTree({})
    growth = Growth(tree, *table({"": "abaC"}, {}), Limits())
    [sampled] = asyncio.run(growth.expand({ROOT: 4}))
    assert {tree.text(number): count for number, count in sampled.items()} == {
        "a": 2,
        "b": 1,
        "C": 1,
    }
    assert [tree.nodes[number].count for number in sampled] == [2, 1, 1]
    assert [tree.nodes[number].terminal for number in sampled] == ["", "", "answer"]
    assert growth.spent.tokens == 8


def test_a_node_that_is_asked_again_draws_more_samples():
    tree = SearchTree({})
    growth = Growth(tree, *table({"": "aba"}, {}), Limits())
    asyncio.run(growth.expand({ROOT: 1}, is_complete=False))
    assert not tree.root.is_expanded
    asyncio.run(growth.expand({ROOT: 3}))
    assert tree.root.is_expanded
    assert [tree.nodes[number].count for number in tree.root.children] == [3, 1]
    assert growth.spent.tokens == 8


def test_a_value_is_asked_for_once():
    tree, asked = SearchTree({}), []
    a, b = (tree.add(ROOT, Node(Step(text))) for text in "ab")

    async def evaluate(tree, numbers):
        asked.append(texts(tree, numbers))
        return [0.25] * len(numbers)

    growth = Growth(tree, table({}, {})[0], evaluate, Limits())
    assert asyncio.run(growth.value([a])) == [0.25]
    assert asyncio.run(growth.value([b, a])) == [0.25, 0.25]
    assert asyncio.run(growth.value([a, b])) == [0.25, 0.25]
    assert asked == [["a"], ["b"]]


def test_without_an_oracle_all_values_are_0_and_none_is_kept():
    tree = SearchTree({})
    number = tree.add(ROOT, Node(Step("a")))
    growth = Growth(tree, table({}, {})[0], None, Limits())
    assert asyncio.run(growth.value([number])) == [0.0]
    assert tree.nodes[number].value is None


def test_limits_of_simulations_leave_a_budget():
    growth = Growth(SearchTree({}), *table({"": "ab"}, {}), Limits(simulations=1, tokens=4))
    growth.spent.simulations = 1
    assert growth.reason() == "simulations"
    assert growth.has_budget()
    asyncio.run(growth.expand({ROOT: 2}))
    assert not growth.has_budget()
