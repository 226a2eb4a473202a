"""Searches from partial solutions over steps and values that a table or a hash gives."""

import asyncio
import random
from functools import partial

import pytest

from oracles.tree import TreeOracle
from understand_r1_zero.search import backup
from understand_r1_zero.search.grow import Rules, tree_search
from understand_r1_zero.search.limits import Limits
from understand_r1_zero.search.selection import puct
from understand_r1_zero.search.step import Step
from understand_r1_zero.search.step_oracle import SIGNED
from understand_r1_zero.search.tree import ROOT, Node, SearchTree
from understand_r1_zero.types import Status

PUCT = partial(puct, c=1.25)


def factories(samples, values):
    """Steps by the text so far, capitals being answers; 3 tokens each."""

    def make_expand(problem, seed):
        async def expand(tree, number, count):
            texts = samples.get(tree.text(number), "")[:count]
            return [
                Node(Step(text, answer="6" if text.isupper() else None), num_tokens=3, logprob=-1)
                for text in texts
            ]

        return expand

    def make_evaluate(problem, seed):
        async def evaluate(tree, numbers):
            return [values.get(tree.text(number), 0.0) for number in numbers]

        return evaluate

    return make_expand, make_evaluate


def test_the_value_of_a_step_is_the_mean_of_what_its_search_backed_up(problem):
    samples = {"a": "XY", "ab": "cZ", "abc": "UV"}
    values = {"a": 0.2, "aX": 1.0, "aY": -1.0, "ab": 0.5, "abZ": 1.0, "abc": -0.5, "abcU": 1.0}
    rules = Rules(PUCT, num_children=2, limits=Limits(simulations=10))
    oracle = TreeOracle(rules, *factories(samples, values), SIGNED)
    solution = [Step("a"), Step("b")]
    found = asyncio.run(oracle.score(problem, solution))
    # Of a: its own value and those of X and Y; of ab: its own and Z's, then those of abc, U and V.
    assert found.values == pytest.approx([0.2 / 3, (0.5 + 1.0 - 0.5 + 1.0 + 0.0) / 5])
    assert found.num_tokens == 3 * (2 + 4)
    assert asyncio.run(oracle.score(problem, solution, 1)).values == pytest.approx([0.4])
    one = Rules(PUCT, num_children=2, limits=Limits(simulations=1))
    oracle = TreeOracle(one, *factories(samples, values), SIGNED)
    assert asyncio.run(oracle.score(problem, solution)).values[1] == pytest.approx(0.75)


def test_a_final_step_is_graded_or_valued_and_not_searched(problem, unreadable, grade):
    solution = [Step("a"), Step("X", answer="7")]
    rules = Rules(PUCT, limits=Limits(simulations=3))
    parts = factories({"a": "X", "aX": "Y"}, {"aX": 0.3, "a": 0.3})
    graded = asyncio.run(TreeOracle(rules, *parts, SIGNED, grade).score(problem, solution))
    assert graded.values == pytest.approx([0.3, -1.0])
    assert graded.verdict is not None and graded.verdict.status is Status.INCORRECT
    unknown = asyncio.run(TreeOracle(rules, *parts, SIGNED, grade).score(unreadable, solution))
    assert unknown.values == pytest.approx([0.3, 0.0])
    valued = asyncio.run(TreeOracle(rules, *parts, SIGNED).score(problem, solution))
    assert (valued.values, valued.verdict) == (pytest.approx((0.3, 0.3)), None)
    assert valued.num_tokens == 3


def test_a_search_without_a_step_that_can_be_read_is_worth_the_middle(problem):
    rules = Rules(PUCT, values_children=True, limits=Limits(simulations=3))
    oracle = TreeOracle(rules, *factories({}, {"a": 1.0}), SIGNED)
    assert asyncio.run(oracle.score(problem, [Step("a")])).values == (0.0,)


def random_search(prefix):
    """Steps and values that hang on the whole text alone, which begins with `prefix`."""

    async def expand(tree, number, count):
        rng = random.Random(prefix + tree.text(number))
        return [
            Node(Step(letter, answer="6" if letter == "E" else None), num_tokens=1, logprob=-p)
            for letter, p in ((rng.choice("abcdE"), rng.random()) for _ in range(count))
        ]

    async def evaluate(tree, numbers):
        texts = [prefix + tree.text(number) for number in numbers]
        return [random.Random("value" + text).uniform(-1, 1) for text in texts]

    return expand, evaluate


@pytest.mark.parametrize(
    "rules",
    [
        Rules(PUCT, num_children=3, limits=Limits(simulations=25)),
        Rules(PUCT, num_children=3, limits=Limits(simulations=25), num_parallel=4),
        Rules(PUCT, backup.visit_weighted, 3, True, Limits(simulations=25)),
    ],
    ids=["mean", "parallel", "visit-weighted"],
)
def test_the_chain_above_a_search_changes_nothing_in_it(problem, rules):
    steps = [Step("a"), Step("b"), Step("c")]
    rootless = SearchTree({})
    asyncio.run(tree_search(rootless, rules, *random_search("abc"), seed=0))
    expand, evaluate = random_search("")
    oracle = TreeOracle(rules, lambda *_: expand, lambda *_: evaluate, SIGNED)
    found = asyncio.run(oracle.score(problem, steps, 2))
    assert found.values == pytest.approx([rootless.root.mean()])
    assert rootless.root.visits > 20


def test_a_chain_is_open_at_its_end_alone():
    tree = SearchTree({})
    assert tree.add_chain([]) == ROOT
    end = tree.add_chain([Step("a"), Step("b")])
    assert (tree.text(end), tree.tag(end), tree.nodes[end].depth) == ("ab", "0.0.0", 2)
    assert [node.is_expanded for node in tree.nodes] == [True, True, False]
    assert not tree.is_exhausted()


def test_all_searches_run_at_once_by_seeds_of_their_own(problem, steps):
    barrier = asyncio.Barrier(len(steps))
    seeds = []

    def make_expand(problem, seed):
        seeds.append(seed)

        async def expand(tree, number, count):
            async with asyncio.timeout(10):
                await barrier.wait()
            return []

        return expand

    async def ask():
        rules = Rules(PUCT, limits=Limits(simulations=1))
        oracle = TreeOracle(rules, make_expand, factories({}, {})[1], SIGNED)
        await oracle.score(problem, steps)

    asyncio.run(ask())
    assert len(set(seeds)) == 3
