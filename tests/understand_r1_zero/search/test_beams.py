"""Beams that look ahead, and breadth-first search."""

import asyncio

from tests.understand_r1_zero.search.tables import table, texts
from understand_r1_zero.search.beams import BeamRules, beams
from understand_r1_zero.search.growth import Growth
from understand_r1_zero.search.limits import Limits, end_gate
from understand_r1_zero.search.tree import SearchTree

# b looks better than a, but leads to a bad end.
SAMPLES = {"": "ab", "a": "c", "ac": "D", "b": "e", "be": "F"}
VALUES = {"a": 0.4, "b": 0.6, "ac": 0.8, "be": 0.1, "acD": 0.9, "beF": 0.2}


def searched(rules, samples=SAMPLES, values=VALUES, limits=None):
    tree = SearchTree({})
    growth = Growth(tree, *table(samples, values), limits or Limits())
    found, outcome = asyncio.run(beams(growth, rules))
    return tree, texts(tree, found), outcome


def test_lookahead_mends_the_choice_of_a_plain_beam():
    plain = BeamRules(1, 2, root_children=2)
    assert searched(plain)[1] == ["beF"]
    for steps in (1, 2, 5):
        ahead = BeamRules(1, 2, root_children=2, lookahead_steps=steps)
        assert searched(ahead)[1] == ["acD"]


def test_a_candidate_is_worth_the_value_at_the_end_of_its_way():
    tree, _, _ = searched(BeamRules(1, 2, root_children=2, lookahead_steps=1))
    valued = [tree.text(n) for n, node in enumerate(tree.nodes) if node.value is not None]
    assert valued == ["ac", "be", "acD"]


def test_breadth_first_keeps_its_width_after_an_end():
    samples = {"": "Ab", "b": "cd", "bc": "E", "bd": "F"}
    values = {"A": 0.8, "b": 0.7, "bc": 0.3, "bd": 0.2, "bcE": 0.1, "bdF": 0.1}
    narrowing = BeamRules(2, 2, root_children=2)
    assert searched(narrowing, samples, values)[1] == ["A", "bcE"]
    keeping = BeamRules(2, 2, root_children=2, is_narrowing=False)
    _, found, outcome = searched(keeping, samples, values)
    assert found == ["A", "bcE", "bdF"]
    assert outcome.reason == "exhausted"
    assert outcome.spent.simulations == 3


def test_a_gate_ends_breadth_first_search():
    rules = BeamRules(2, 2, root_children=2, is_narrowing=False, gate=end_gate(0.8))
    tree, _, outcome = searched(rules)
    assert outcome.reason == "gate"
    assert tree.text(outcome.node) == "ac"
    assert "acD" not in texts(tree, range(len(tree.nodes)))


def test_the_root_is_asked_for_its_own_number_of_steps():
    tree, _, _ = searched(BeamRules(1, 1, root_children=2))
    assert len(tree.root.children) == 2


def test_a_beam_ends_when_its_tokens_are_spent():
    _, found, outcome = searched(BeamRules(2, 2, root_children=2), limits=Limits(tokens=4))
    assert (found, outcome.reason, outcome.spent.tokens) == ([], "tokens", 4)
