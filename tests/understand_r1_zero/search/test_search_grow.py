"""Tree search and beams over steps and values that a table gives."""

import asyncio
import math
import random
from functools import partial

import pytest

from tests.understand_r1_zero.search.tables import table
from understand_r1_zero.search import backup
from understand_r1_zero.search.beams import BeamRules, beams
from understand_r1_zero.search.grow import Rules, tree_search
from understand_r1_zero.search.growth import Growth
from understand_r1_zero.search.limits import Limits, Spent, answer_found, end_gate
from understand_r1_zero.search.selection import puct, rest_ucb
from understand_r1_zero.search.step import Step
from understand_r1_zero.search.tree import ROOT, Node, SearchTree

PUCT = partial(puct, c=1.25)


async def beam_search(tree, expand, evaluate, *, width, num_children, limits):
    """Step-level beam search, SBS(B1 = width, B2 = num_children)."""
    rules = BeamRules(width, num_children, root_children=width * num_children)
    found, _ = await beams(Growth(tree, expand, evaluate, limits), rules)
    return found


def test_the_trace_of_a_step_level_beam():
    samples = {"": "abcd", "a": "xY", "b": "zW", "az": "", "ax": "Q", "bz": "R"}
    values = {"a": 0.9, "b": 0.8, "c": 0.1, "d": 0.2, "ax": 0.5, "aY": 0.7, "bz": 0.6, "bW": 0.3}
    values |= {"bzR": 0.9, "axQ": 0.1}
    tree = SearchTree({})
    found = asyncio.run(
        beam_search(tree, *table(samples, values), width=2, num_children=2, limits=Limits(depth=5))
    )
    # Of ax, aY, bz, bW the best two are aY, an answer, and bz, which goes on alone.
    assert [tree.text(n) for n in found] == ["bzR", "aY"]
    assert [node.text for node in tree.nodes if node.depth == 1] == list("abcd")
    assert "axQ" not in {tree.text(n) for n in range(len(tree.nodes))}


def test_a_beam_of_one_is_greedy_and_ends_at_the_depth():
    tree = SearchTree({})
    endless = {"a" * n: "a" for n in range(20)}
    found = asyncio.run(
        beam_search(tree, *table(endless, {}), width=1, num_children=1, limits=Limits(depth=4))
    )
    assert found == []
    assert tree.text(len(tree.nodes) - 1) == "aaaa"
    assert tree.nodes[-1].terminal == "depth"


def search(tree, samples, values, *, seed=0, delays=None, **rules):
    rules = Rules(**({"score": PUCT, "num_children": 2} | rules))
    return asyncio.run(tree_search(tree, rules, *table(samples, values, delays), seed))


def test_the_search_goes_on_after_a_subtree_is_exhausted():
    samples = {"": "ab", "a": "XY", "b": "cd", "bc": "Z", "bd": "e", "bde": "F"}
    tree = SearchTree({})
    outcome = search(tree, samples, {"a": 1.0, "aX": 1.0, "aY": 1.0})
    assert outcome.reason == "exhausted"
    assert {tree.text(n) for n in tree.finals()} == {"aX", "aY", "bcZ", "bdeF"}


def test_one_bad_sample_costs_one_sample():
    tree = SearchTree({})
    outcome = search(tree, {"": "a", "a": ""}, {}, num_children=5)
    assert outcome.reason == "exhausted"
    assert outcome.spent == Spent(2, 2, outcome.spent.seconds)


def test_simulations_tokens_and_time_are_limited():
    endless = {"": "ab"} | {w + x: "ab" for n in range(9) for w in _texts(n) for x in "ab"}
    for limits, reason in (
        (Limits(simulations=7), "simulations"),
        (Limits(tokens=11), "tokens"),
        (Limits(seconds=0), "seconds"),
    ):
        outcome = search(SearchTree({}), endless, {}, limits=limits)
        assert outcome.reason == reason
    assert search(SearchTree({}), endless, {}, limits=Limits(simulations=7)).spent.simulations == 7
    assert search(SearchTree({}), endless, {}, limits=Limits(tokens=11)).spent.tokens == 12


def _texts(length):
    return [""] if length == 0 else [w + x for w in _texts(length - 1) for x in "ab"]


def test_a_gate_ends_the_search():
    samples = {"": "ab", "a": "cd", "b": "EF"}
    tree = SearchTree({})
    outcome = search(
        tree,
        samples,
        {"a": 0.5, "b": 0.4, "ac": 0.95},
        values_children=True,
        score=partial(rest_ucb, c=0.1, inf=1.0),
        back_up=backup.visit_weighted,
        gate=end_gate(0.9),
    )
    assert outcome.reason == "gate"
    assert outcome.node is not None and tree.text(outcome.node) == "ac"
    tree = SearchTree({})
    outcome = search(tree, samples, {"b": 1.0}, values_children=True, gate=answer_found)
    assert outcome.node is not None and tree.text(outcome.node) == "bE"
    assert all(node.pending == 0 for node in tree.nodes)


def test_the_mean_of_what_came_up_is_alphamaths():
    tree = SearchTree({})
    search(tree, {"": "aB", "a": "CD"}, {"": 0.1, "a": 0.2, "B": -1.0, "aC": 1.0, "aD": -1.0})
    # The root's own value and B's, then a's and those of its two ends.
    assert tree.root.visits == 5
    assert tree.root.value_sum == pytest.approx(0.1 - 1.0 + 0.2 + 1.0 - 1.0)
    a = tree.nodes[1]
    assert (a.visits, a.value_sum) == (3, pytest.approx(0.2))


def noisy(seed, num_parallel, delay_s=0.0):
    """A search over random samples that depend on the node alone and arrive in any order."""

    async def expand(tree, number, count):
        rng = random.Random(f"{seed} {tree.text(number)}")
        await asyncio.sleep(delay_s * random.random())
        return [
            Node(Step(rng.choice("abcdE")), num_tokens=1, logprob=-rng.random())
            for _ in range(count)
        ]

    async def evaluate(tree, numbers):
        return [math.sin(sum(map(ord, tree.text(number)))) for number in numbers]

    tree = SearchTree({})
    rules = Rules(
        PUCT, num_children=3, limits=Limits(simulations=30, depth=6), num_parallel=num_parallel
    )
    asyncio.run(tree_search(tree, rules, expand, evaluate, seed))
    return tree


@pytest.mark.parametrize("num_parallel", [1, 4])
def test_the_same_seed_makes_the_same_tree_whatever_comes_first(num_parallel):
    trees = [noisy(3, num_parallel, delay_s=0.01).nodes for _ in range(3)]
    assert trees[0] == trees[1] == trees[2]
    assert noisy(4, num_parallel).nodes != trees[0]


def test_parallel_simulations_take_different_leaves():
    tree = noisy(0, 4)
    assert sum(node.is_expanded for node in tree.nodes) == 30
    assert all(node.pending == 0 for node in tree.nodes)
    assert tree.root.visits >= 30


def test_an_end_at_the_root_is_no_tree():
    tree = SearchTree({})
    assert search(tree, {}, {}).reason == "exhausted"
    assert tree.nodes[ROOT].is_expanded
