"""Depth-first search turns back where it must."""

import asyncio
import math

from tests.understand_r1_zero.search.tables import node_of, table
from understand_r1_zero.search.depth_first import depth_first
from understand_r1_zero.search.growth import Growth
from understand_r1_zero.search.limits import Limits, end_gate
from understand_r1_zero.search.tree import SearchTree

SAMPLES = {"": "abc", "a": "de", "ad": "f", "b": "gH", "c": "I"}
VALUES = {"a": 0.8, "b": 0.6, "c": 0.1, "ad": 0.2, "ae": 0.1, "bg": 0.3, "bH": 0.95, "adf": 0.5}


def searched(width=2, threshold=-math.inf, limits=None, gate=0.9):
    expand, evaluate = table(SAMPLES, VALUES)
    expanded = []

    async def told(tree, number, count):
        expanded.append(tree.text(number))
        return await expand(tree, number, count)

    tree = SearchTree({})
    growth = Growth(tree, told, evaluate, limits or Limits())
    outcome = asyncio.run(
        depth_first(growth, width=width, num_children=3, threshold=threshold, gate=end_gate(gate))
    )
    return tree, expanded, outcome


def test_it_turns_back_where_every_child_is_below_the_threshold():
    tree, expanded, outcome = searched(threshold=0.5)
    assert expanded == ["", "a", "b"]
    assert outcome.reason == "gate"
    assert tree.text(outcome.node) == "bH"


def test_it_turns_back_where_nothing_can_be_read_and_at_the_depth():
    _, expanded, _ = searched()
    assert expanded == ["", "a", "ad", "adf", "ae", "b"]
    tree, expanded, _ = searched(limits=Limits(depth=2))
    assert expanded == ["", "a", "b"]
    assert node_of(tree, "ad").terminal == "depth"


def test_only_the_best_children_are_followed():
    _, expanded, outcome = searched(width=1)
    assert expanded == ["", "a", "ad", "adf"]
    assert outcome.reason == "exhausted"


def test_without_a_gate_every_child_kept_is_searched():
    _, expanded, outcome = searched(width=3, gate=2.0)
    assert expanded == ["", "a", "ad", "adf", "ae", "b", "bg", "c"]
    assert outcome.reason == "exhausted"
    assert outcome.spent.simulations == 8


def test_expansions_are_limited():
    assert searched(limits=Limits(simulations=2))[2].reason == "simulations"
