"""Pairs of sibling steps, computed by hand."""

from collections import Counter

import pytest

from tests.understand_r1_zero.labels.worlds import LINES, forked, group, put
from understand_r1_zero.args_rounds import LabelArgs
from understand_r1_zero.labels.step_pairs import rows
from understand_r1_zero.search.tree import ROOT, SearchTree
from understand_r1_zero.templates import render_qwen_math


def made(*trees, left_out=None, **flags):
    left_out = Counter() if left_out is None else left_out
    return list(rows([group(*trees)], LabelArgs(label="step_pairs", **flags), LINES, left_out))


def test_the_best_against_the_worst_sibling():
    (row,) = made(forked())
    assert row == {
        "prompt": render_qwen_math("2 + 2 =") + "a\n",
        "chosen": "b\n",
        "rejected": "broken",
        "margin": 1.75,
        "chosen_visits": 2,
        "chosen_value": 0.75,
        "chosen_is_whole": False,
        "rejected_visits": 1,
        "rejected_value": -1.0,
        "rejected_is_whole": False,
    }


def test_each_of_the_best_against_each_of_the_worst():
    found = made(forked(), pair_top=2)
    assert [(r["chosen"], r["rejected"], r["margin"]) for r in found] == [
        ("b\n", "broken", 1.75),
        ("b\n", "wrong 5", 1.25),
    ]
    assert [r["rejected_is_whole"] for r in found] == [False, True]


def test_steps_are_compared_by_what_the_policy_can_expect():
    """b comes to the right end alone, whatever its Q; of the two wrong ends the first is the worst."""
    (row,) = made(forked(), label_value="expected")
    assert (row["chosen"], row["chosen_value"]) == ("b\n", 1.0)
    assert (row["rejected"], row["rejected_value"], row["margin"]) == ("wrong 5", -1.0, 2.0)


def test_without_outcomes_any_step_may_be_chosen():
    found = made(forked(), pair_top=2, pair_outcome=False)
    assert [(r["chosen"], r["rejected"]) for r in found] == [
        ("b\n", "broken"),
        ("b\n", "wrong 5"),
        ("wrong 5", "broken"),
    ]


def fan(*steps):
    """Steps below the root, each (text, Q, reward); Q None: not visited."""
    tree = SearchTree({"question": "q", "answer": "4"})
    for text, q, reward in steps:
        put(tree, ROOT, text, q=q, answer="4" if reward > 0 else "5", reward=reward)
    return tree


def test_the_margin_must_be_exceeded_and_the_texts_differ_enough():
    tree = fan(("abc", 0.75, 1.0), ("abd", 0.25, -1.0))
    assert len(made(tree, pair_margin=0.4)) == 1
    left_out = Counter()
    assert not made(tree, pair_margin=0.5, left_out=left_out)
    assert left_out["nodes without a pair"] == 1
    assert len(made(tree, pair_edits=1)) == 1
    assert not made(tree, pair_edits=2)


def test_a_step_without_a_visit_is_in_no_pair():
    left_out = Counter()
    (row,) = made(fan(("a", 0.5, 1.0), ("b", None, -1.0), ("c", 0.0, -1.0)), left_out=left_out)
    assert row["rejected"] == "c"
    assert left_out["steps without a value"] == 1


def test_a_higher_q_without_a_right_end_is_not_chosen():
    assert not made(fan(("a", 0.9, -1.0), ("b", 0.1, -1.0)))
    (row,) = made(fan(("a", 0.9, -1.0), ("b", 0.1, 1.0), ("c", -0.5, -1.0)))
    assert (row["chosen"], row["rejected"]) == ("b", "c")


def test_sets_of_a_node_have_no_step_on_both_sides():
    (row,) = made(forked(), pair_sets=True, pair_top=2)
    assert row == {
        "prompt": render_qwen_math("2 + 2 =") + "a\n",
        "pos": ["b\n"],
        "neg": ["broken", "wrong 5"],
        "pos_count": 1,
        "neg_count": 2,
    }
    # b is among the two best and among the two worst.
    tree = fan(("a", 0.9, 1.0), ("b", 0.5, 1.0), ("c", 0.1, 1.0))
    (row,) = made(tree, pair_sets=True, pair_top=2, pair_outcome=False)
    assert (row["pos"], row["neg"]) == (["a", "b"], ["c"])
    # Of the two best, b is no better than d.
    tree = fan(("a", 0.9, 1.0), ("b", -0.5, 1.0), ("d", -0.5, -1.0), ("e", -0.4, -1.0))
    (row,) = made(tree, pair_sets=True, pair_top=2)
    assert (row["pos"], row["neg"]) == (["a"], ["d", "e"])
    tree = fan(("a", 0.9, 1.0), ("b", 0.5, 1.0), ("d", -0.5, -1.0), ("e", 0.7, -1.0))
    (row,) = made(tree, pair_sets=True, pair_top=2)
    assert (row["pos"], row["neg"]) == (["a", "b"], ["d"])


def test_what_an_interpreter_wrote_is_outside_the_spans():
    tree = SearchTree({"question": "q", "answer": "4"})
    step = {"code": "4", "observation": "4", "observation_start": 5}
    good = put(tree, ROOT, "code\n<output>4</output>\n", q=0.5, **step)
    put(tree, good, "4", answer="4", reward=1.0)
    put(tree, ROOT, "5", answer="5", reward=-1.0, q=-1.0)
    (row,) = made(tree)
    assert row["chosen_spans"] == [(0, 5)]
    assert "rejected_spans" not in row


def test_values_of_a_search_in_0_to_1_are_brought_into_the_rewards_scale():
    tree = fan(("a", 0.75, 1.0), ("b", 0.25, -1.0))
    tree.record["search"] = {"method": "rest_mcts"}
    (row,) = made(tree)
    assert (row["chosen_value"], row["rejected_value"], row["margin"]) == pytest.approx(
        (0.5, -0.5, 1.0)
    )
