"""Whole solutions, with equal steps merged."""

import asyncio
import random
from collections import Counter

from tests.understand_r1_zero.search.tables import table, texts
from understand_r1_zero.search.chains import sample_chains, write_chain
from understand_r1_zero.search.growth import Growth
from understand_r1_zero.search.limits import Limits
from understand_r1_zero.search.step import Step
from understand_r1_zero.search.tree import ROOT, Node, SearchTree


def test_as_many_solutions_are_drawn_as_were_asked_for():
    tree, asked = SearchTree({}), Counter()
    letters = random.Random(0)

    async def expand(tree, number, count):
        asked[tree.text(number)] += count
        ends = "XYZ" if tree.nodes[number].depth == 2 else "ab"
        drawn = [letters.choice(ends) for _ in range(count)]
        return [Node(Step(s, answer=s if s.isupper() else None), num_tokens=5) for s in drawn]

    growth = Growth(tree, expand, None, Limits())
    asyncio.run(sample_chains(growth, {ROOT: 50}))
    assert sum(tree.nodes[number].count for number in tree.finals()) == 50
    assert growth.spent.tokens == 50 * 3 * 5
    # Below a step that came three times three go on.
    for number, node in enumerate(tree.nodes[1:], start=1):
        if node.answer is None:
            assert asked[tree.text(number)] == node.count
    assert tree.is_exhausted()


def test_a_solution_that_cannot_be_read_on_is_one_less():
    tree = SearchTree({})
    growth = Growth(tree, *table({"": "aab", "a": ".X", "b": "Y"}, {}), Limits())
    asyncio.run(sample_chains(growth, {ROOT: 3}))
    assert sorted(texts(tree, tree.finals())) == ["aX", "bY"]
    assert [tree.nodes[number].count for number in tree.finals()] == [1, 1]


def written(samples, num_tries, limits=None):
    tree = SearchTree({})
    growth = Growth(tree, *table(samples, {}), limits or Limits())
    return tree.text(asyncio.run(write_chain(growth, ROOT, num_tries)))


def test_a_chain_tries_again_where_a_step_cannot_be_read():
    samples = {"": "..a", "a": "b", "ab": ".C"}
    assert written(samples, 3) == "abC"
    assert written(samples, 2) == ""
    assert written(samples, 1) == ""


def test_a_chain_ends_at_the_depth_or_with_its_tokens():
    endless = {"a" * n: "a" for n in range(30)}
    assert written(endless, 1, Limits(depth=4)) == "aaaa"
    assert written(endless, 1, Limits(tokens=6)) == "aaa"


def test_a_chain_does_not_go_on_from_a_fault_that_was_kept():
    expand, _ = table({"": "xa", "a": "B"}, {})

    async def keeping(tree, number, count):
        nodes = await expand(tree, number, count)
        for node in nodes:
            node.terminal = "no step" if node.text == "x" else ""
        return nodes

    tree = SearchTree({})
    end = asyncio.run(write_chain(Growth(tree, keeping, None, Limits()), ROOT, 2))
    assert tree.text(end) == "aB"
