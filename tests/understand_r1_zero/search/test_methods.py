"""Every method by name, over the same table of steps and values."""

import asyncio
import random
import threading
import time

import pytest

from tests.understand_r1_zero.search.tables import node_of, table, texts
from understand_r1_zero.search.growth import Reflection
from understand_r1_zero.search.methods import METHODS, highest, solve
from understand_r1_zero.search.records import to_record
from understand_r1_zero.search.settings import published
from understand_r1_zero.search.step import Step
from understand_r1_zero.search.tree import ROOT, Node, SearchTree

SAMPLES = {"": "abab", "a": "cD", "ac": "E", "b": "Fg", "bg": "H"}
VALUES = {"a": 0.3, "b": 0.6, "ac": 0.4, "aD": 0.2, "acE": 0.8, "bF": 0.5, "bg": 0.7, "bgH": 0.75}


async def never_solved(tree, number):
    return Reflection(False)


def solved(method, samples=SAMPLES, values=VALUES, seed=0, are_equal=None, **changes):
    tree = SearchTree({})
    expand, evaluate = table(samples, values)
    settings = published(method, **changes)
    kept = {"are_equal": are_equal} if are_equal else {}
    found = asyncio.run(solve(tree, expand, evaluate, settings, seed, reflect=never_solved, **kept))
    return tree, found


def answer(tree, found):
    return None if found.chosen is None else tree.text(found.chosen)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_ends_where_the_tree_is_exhausted(method):
    tree, found = solved(method, end_gate=2.0)
    assert found.outcome.reason == "exhausted"
    assert found.chosen in found.finals
    assert tree.nodes[found.chosen].answer is not None


@pytest.mark.parametrize("method", METHODS)
def test_every_method_ends_without_an_answer_where_no_step_can_be_read(method):
    tree, found = solved(method, samples={})
    assert (found.chosen, found.finals) == (None, ())
    assert found.outcome.reason == "exhausted"
    assert len(tree.nodes) == 1


@pytest.mark.parametrize("method", METHODS)
def test_every_method_ends_where_the_policy_never_answers(method):
    def endless(tree, number, count):
        async def steps():
            return [Node(Step(text), num_tokens=1) for text in "ab"[:count]]

        return steps()

    async def evaluate(tree, numbers):
        return [0.5] * len(numbers)

    settings = published(method, depth=4, simulations=20)
    tree = SearchTree({})
    found = asyncio.run(solve(tree, endless, evaluate, settings, 0, reflect=never_solved))
    assert found.chosen is None
    assert max(node.depth for node in tree.nodes) == 4


@pytest.mark.parametrize("method", METHODS)
def test_every_method_keeps_to_its_tokens(method):
    _, found = solved(method, max_tokens=1)
    assert 0 < found.outcome.spent.tokens <= 2 * 16
    if method not in ("greedy", "cot", "best_of_n", "maj") and found.chosen is None:
        assert found.outcome.reason == "tokens"


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_finds_the_same(method):
    def run(seed):
        async def expand(tree, number, count):
            rng = random.Random(f"{seed} {tree.text(number)}")
            await asyncio.sleep(0.002 * random.random())
            drawn = [rng.choice("abcdEF") for _ in range(count)]
            return [Node(Step(s, answer=s if s.isupper() else None), num_tokens=1) for s in drawn]

        async def evaluate(tree, numbers):
            return [random.Random(tree.text(number)).random() for number in numbers]

        tree = SearchTree({})
        settings = published(method, num_parallel=2, simulations=8, depth=6)
        found = asyncio.run(solve(tree, expand, evaluate, settings, seed, reflect=never_solved))
        return to_record(tree), found.chosen, found.finals

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_what_each_method_chooses():
    chosen = {
        "greedy": "acE",
        "cot": "acE",
        "best_of_n": "acE",
        "sbs": "acE",
        "lookahead": "acE",
        # The two best of the second level are both below b.
        "tot_bfs": "bgH",
        "tot_dfs": "acE",
        # The mean below b is higher, at each step.
        "mcts": "bgH",
        "rest_mcts": "acE",
        "rstar": "acE",
    }
    found = {name: answer(*solved(name)) for name in chosen}
    assert found == chosen
    # The narrow beam follows b, which looks better than a.
    assert answer(*solved("sbs", width=1)) == "bgH"
    assert answer(*solved("sbs", width=1, num_children=1)) == "acE"


def test_greedy_is_a_beam_of_one_without_values():
    tree = SearchTree({})
    expand, _ = table(SAMPLES, {})
    found = asyncio.run(solve(tree, expand, None, published("greedy"), 0))
    beam_tree, beam = solved("sbs", width=1, num_children=1)
    assert tree.text(found.chosen) == beam_tree.text(beam.chosen)
    assert all(node.value is None for node in tree.nodes)


def test_values_are_asked_only_of_those_that_need_them():
    expand, _ = table(SAMPLES, {})
    for method in METHODS:
        settings = published(method, reflection="none")
        run = solve(SearchTree({}), expand, None, settings, 0)
        if settings.needs_values:
            with pytest.raises(ValueError, match=f"{method}.* needs values of steps"):
                asyncio.run(run)
        else:
            assert asyncio.run(run).chosen is not None


def test_reflection_without_a_policy_that_reflects_is_refused():
    with pytest.raises(ValueError, match="give `reflect`"):
        asyncio.run(solve(SearchTree({}), *table(SAMPLES, VALUES), published("rest_mcts"), 0))


# Of five solutions two come to 4, two to 4.0, and one to 5, which looks best.
COUNTED = {"": "aabbc", "a": "XX", "b": "YY", "c": "Z"}
WORTH = {"aX": 0.3, "bY": 0.2, "cZ": 0.9}


def same(one, other):
    return {one, other} <= {"X", "Y"} or one == other


def test_solutions_vote_as_often_as_they_were_drawn():
    tree, found = solved("maj", COUNTED, WORTH, are_equal=same)
    assert sorted((tree.text(n), tree.nodes[n].count) for n in found.finals) == [
        ("aX", 2),
        ("bY", 2),
        ("cZ", 1),
    ]
    assert answer(tree, found) == "aX"
    # 2 * 0.3 + 2 * 0.2 = 1.0 against 0.9, and apart 0.6, 0.4 and 0.9.
    weighted = {"vote": "weighted", "worst": 0.0}
    assert answer(*solved("maj", COUNTED, WORTH, are_equal=same, **weighted)) == "aX"
    assert answer(*solved("maj", COUNTED, WORTH, **weighted)) == "cZ"
    assert answer(*solved("best_of_n", COUNTED, WORTH, num_samples=5)) == "cZ"


def test_a_comparison_that_takes_long_keeps_no_other_search_waiting():
    has_gone_on = threading.Event()

    async def go_on():
        has_gone_on.set()

    async def both():
        expand, _ = table(COUNTED, WORTH)
        search = solve(
            SearchTree({}),
            expand,
            None,
            published("maj"),
            0,
            are_equal=lambda one, other: has_gone_on.wait(10),
        )
        await asyncio.gather(search, go_on())

    started_s = time.monotonic()
    asyncio.run(both())
    assert time.monotonic() - started_s < 5


def test_the_steps_on_the_way_are_valued_where_the_score_needs_them():
    values = WORTH | {"a": 0.8, "b": 0.9, "c": 0.1}
    tree, found = solved("best_of_n", COUNTED, values, num_samples=5, aggregate="min")
    assert answer(tree, found) == "aX"
    tree, _ = solved("best_of_n", COUNTED, values, num_samples=5)
    assert node_of(tree, "a").value is None


def test_signed_values_weigh_by_their_place_in_the_scale():
    # 2 * 0.65 + 0 against 0.95, where bare values would have 2 * 0.3 against 0.9.
    assert answer(*solved("maj", COUNTED, WORTH, vote="weighted")) == "aX"
    with pytest.raises(ValueError, match="outside the scale -1 to 1"):
        solved("maj", COUNTED, WORTH | {"aX": 1.5}, vote="weighted")


def test_rest_mcts_votes_with_the_sum_of_values_per_answer():
    samples = {"": "ab", "a": "Xc", "ac": "Y", "b": "Z"}
    values = {"aX": 0.5, "acY": 0.4, "bZ": 0.7, "a": 0.5, "b": 0.5}
    _, best = solved("rest_mcts", samples, values)
    tree, voted = solved("rest_mcts", samples, values, are_equal=same, vote="weighted")
    assert tree.nodes[best.chosen].answer == "Z"
    # X and Y are one answer: 2 * 0.5 + 0.4 against 0.7; X was drawn by a roll-out and again.
    assert [tree.nodes[number].count for number in voted.finals] == [2, 1, 1]
    assert tree.nodes[voted.chosen].answer == "X"


def test_the_gated_node_is_chosen():
    values = VALUES | {"aD": 0.95, "acE": 0.99}
    tree, found = solved("rest_mcts", values=values)
    assert found.outcome.reason == "gate"
    assert answer(tree, found) in ("aD", "acE")
    assert found.chosen == found.outcome.node


def test_a_gated_step_without_an_answer_is_gone_on_from():
    samples = {"": "ab", "b": "..c", "bc": "D"}
    for method in ("rest_mcts", "tot_bfs", "tot_dfs"):
        tree, found = solved(method, samples, {"b": 0.95})
        assert found.outcome.reason == "gate"
        assert tree.text(found.outcome.node) == "b"
        assert answer(tree, found) == "bcD"
        assert texts(tree, found.finals) == ["bcD"]


@pytest.mark.parametrize("method", ["rest_mcts", "tot_bfs", "tot_dfs"])
def test_a_gate_may_wait_for_an_answer(method):
    samples = {"": "ab", "a": "E", "b": "c", "bc": "D"}
    values = {"b": 0.95, "a": 0.5, "aE": 0.3, "bc": 0.9, "bcD": 0.92}
    tree, found = solved(method, samples, values, gate_needs_answer=True)
    assert found.outcome.reason == "gate"
    assert texts(tree, [found.outcome.node, found.chosen]) == ["bcD", "bcD"]


def test_without_a_gate_the_highest_node_is_chosen_wherever_it_is():
    tree, found = solved("rest_mcts", simulations=1, roll_branch=2)
    assert found.outcome.reason == "simulations"
    # b was rolled out to bg and bgH.
    assert answer(tree, found) == "bgH"


def test_the_highest_node_is_the_deepest_of_equal_ones():
    tree = SearchTree({})
    assert highest(tree) is None
    a = tree.add(ROOT, Node(Step("a"), visits=1, value_sum=0.5, value=0.9))
    tree.add(ROOT, Node(Step("b"), value=0.4))
    below = tree.add(a, Node(Step("c"), value=0.5))
    tree.add(a, Node(Step("d"), value=0.5))
    assert highest(tree) == below
    tree.root.visits, tree.root.value_sum = 1, 1.0
    assert highest(tree) == below


def test_where_the_highest_node_leads_to_no_answer_another_is_given():
    samples = {"": "ab", "a": "X", "b": "."}
    tree, found = solved("tot_bfs", samples, {"a": 0.2, "b": 0.8, "aX": 0.1})
    assert answer(tree, found) == "aX"


def test_alphamath_takes_the_end_of_a_beam_down_its_tree():
    # The mean of b's ends is higher, though a has the best of all.
    samples = {"": "ab", "a": "CD", "b": "EF"}
    values = {"a": 0.1, "b": 0.1, "aC": 1.0, "aD": -1.0, "bE": 0.6, "bF": 0.5}
    assert answer(*solved("mcts", samples, values)) == "bE"
    assert answer(*solved("mcts", samples, values, best_by="score")) == "aC"
    assert answer(*solved("mcts", samples, values, width=2)) == "aC"
