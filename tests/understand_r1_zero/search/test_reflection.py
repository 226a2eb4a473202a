"""What the policy says of a solution ends nodes, or leaves a hint."""

import asyncio

import pytest

from tests.understand_r1_zero.search.tables import node_of, table
from understand_r1_zero.search.grow import Rules, simulate
from understand_r1_zero.search.growth import Growth, Reflection
from understand_r1_zero.search.limits import Limits
from understand_r1_zero.search.reflection import REFLECTIONS
from understand_r1_zero.search.rollouts import follow, forward, greedy
from understand_r1_zero.search.selection import own_value
from understand_r1_zero.search.step import Step
from understand_r1_zero.search.tree import ROOT, Node, SearchTree


def reflected(kind, reply, number=1):
    asked = []

    async def write(prompt, count, seed):
        asked.append((prompt, count, seed))
        return [reply] if reply is not None else []

    tree = SearchTree({})
    tree.add(ROOT, Node(Step("Step 1: 1 + 1 = 2.\n")))
    reflect = REFLECTIONS[kind]("What is 1 + 1?", write, 7)
    return asyncio.run(reflect(tree, number)), asked


@pytest.mark.parametrize(
    ("reply", "is_solved"),
    [
        ("Solved.", True),
        ("unsolved", False),
        ("It is unsolved, not solved", False),
        ("no", False),
        (None, False),
    ],
)
def test_simple_takes_only_a_plain_yes(reply, is_solved):
    reflection, asked = reflected("simple", reply)
    assert reflection == Reflection(is_solved)
    [(prompt, count, _)] = asked
    assert "What is 1 + 1?" in prompt
    assert "Step 1: 1 + 1 = 2." in prompt
    assert count == 1


def test_full_ends_or_hints():
    assert reflected("full", " <end>\n")[0] == Reflection(True)
    assert reflected("full", " Subtract first. ")[0] == Reflection(False, "Subtract first.")
    assert reflected("full", None)[0] == Reflection(False)


def test_a_problem_without_steps_is_never_solved():
    reflection, asked = reflected("simple", "solved", ROOT)
    assert (reflection.is_solved, asked) == (False, [])
    assert reflected("full", "<end>", ROOT)[0] == Reflection(False)
    assert reflected("full", "Add.", ROOT)[0].hint == "Add."


def test_the_question_to_a_node_has_a_seed_of_its_own():
    seeds = {reflected("full", "", number)[1][0][2] for number in (ROOT, 1)}
    assert len(seeds) == 2
    assert reflected("full", "")[1] == reflected("full", "")[1]


def searched(replies, samples, values, **changes):
    """A search in which the policy says these of partial solutions, and hints at all others."""
    asked, shown = [], {}
    expand, evaluate = table(samples, values)

    async def expand_shown(tree, number, count):
        shown[tree.text(number)] = tree.nodes[number].hint
        return await expand(tree, number, count)

    async def reflect(tree, number):
        asked.append(tree.text(number))
        return replies.get(tree.text(number), Reflection(False, f"on from {tree.text(number)}"))

    tree = SearchTree({})
    limits = Limits()
    rules = Rules(
        **{"score": own_value, "num_children": 2, "values_children": True, "limits": limits}
        | changes
    )
    growth = Growth(tree, expand_shown, evaluate, limits, reflect)
    outcome = asyncio.run(simulate(growth, rules, 0))
    assert outcome.reason == "exhausted"
    return tree, asked, shown


SAMPLES = {"": "ab", "a": "cd", "b": "e", "be": "F", "ac": "G", "ad": "H"}


def test_a_node_that_is_called_solved_ends_and_its_sibling_goes_on():
    values = {"a": 0.9, "b": 0.5}
    tree, asked, shown = searched({"a": Reflection(True)}, SAMPLES, values)
    assert node_of(tree, "a").terminal == "solved"
    assert not node_of(tree, "a").children
    assert list(shown) == ["", "b", "be"]
    # An answer ends a node by itself: bF is not asked about.
    assert asked == ["", "a", "b", "be"]
    assert all(node.pending == 0 for node in tree.nodes)


def test_a_hint_is_there_when_the_node_is_expanded():
    _, _, shown = searched({}, SAMPLES, {})
    assert shown == {text: f"on from {text}" for text in ("", "a", "b", "ac", "ad", "be")}


def test_the_bare_problem_is_not_ended():
    tree, _, _ = searched({"": Reflection(True)}, SAMPLES, {})
    assert tree.root.children


def test_a_roll_out_ends_where_the_policy_calls_it_solved_and_nobody_asks_twice():
    tree, asked, _ = searched(
        {"ac": Reflection(True)},
        SAMPLES | {"acG": "x"},
        {"a": 0.9, "ac": 0.8, "acG": 1.0},
        roll_out=forward(3, branch=2, alpha=0.5, kind="greedy"),
    )
    assert node_of(tree, "ac").terminal == "solved"
    assert len(asked) == len(set(asked))


def test_a_way_is_not_begun_below_what_is_solved():
    tree = SearchTree({})
    start = tree.add(ROOT, Node(Step("a")))

    async def reflect(tree, number):
        return Reflection(True)

    growth = Growth(tree, *table(SAMPLES, {}), Limits(), reflect)
    assert asyncio.run(follow(growth, [start], 3, 2, greedy)) == [[]]
    assert tree.nodes[start].terminal == "solved"
