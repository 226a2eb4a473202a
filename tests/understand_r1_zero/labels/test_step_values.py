"""Values of steps, computed by hand."""

from collections import Counter

import pytest

from tests.understand_r1_zero.labels.worlds import LINES, XML, explored, forked, group, put
from understand_r1_zero.args_rounds import LabelArgs
from understand_r1_zero.labels.sources import GivenResponse
from understand_r1_zero.labels.step_values import rows
from understand_r1_zero.search.step import Step
from understand_r1_zero.search.tree import ROOT, SearchTree
from understand_r1_zero.templates import render_qwen_math


def values(value, *trees, **flags):
    found = rows([group(*trees)], LabelArgs(label_value=value, **flags), LINES, Counter())
    return [row["values"] for row in found]


def test_a_row_has_the_prompt_and_the_steps_as_they_stand():
    row, *_ = rows([group(forked())], LabelArgs(), LINES, Counter())
    assert row == {
        "prompt": render_qwen_math("2 + 2 ="),
        "steps": ["a\n", "b\n", "c 4"],
        "values": [0.5, 0.75, 1.0],
    }


def test_q_of_the_search_and_the_reward_at_the_end():
    tree = forked()
    tree.nodes[2].visits = 0
    assert values("q", tree) == [[0.5, None, 1.0], [0.5, -1.0], [0.5, -1.0]]


def test_q_of_a_search_in_0_to_1_is_brought_into_the_rewards_scale():
    tree = forked(search={"method": "rest_mcts"})
    assert values("q", tree, label_wrong=1) == [[0.0, 0.5, 1.0], [0.0, -1.0]]


def test_what_the_policy_can_expect():
    """a: 3 right ways by b, 1 wrong and 2 failed, so (3 - 1 - 2) / 6; steps that nothing is known of count nothing."""
    tree = forked()
    for number, count in ((2, 3), (5, 2)):
        tree.nodes[number].count = count
    put(tree, 2, "unfinished", q=0.0)
    put(tree, 1, "never searched")
    assert values("expected", tree) == [[0.0, 1.0, 1.0], [0.0, -1.0], [0.0, -1.0]]


def test_progress_of_rest_mcts():
    """Right: v = k/3. The wrong end below step 1, m = 2: 1/3 - (1 - 1/3) / 3 = 1/9. A failed end is on no finished way."""
    right, wrong, failed = values("rest", forked())
    assert right == pytest.approx([1 / 3, 2 / 3, 1.0])
    assert right[-1] == 1.0
    assert wrong == pytest.approx([1 / 3, 1 / 9])
    assert failed == [pytest.approx(1 / 3), None]


def test_simple_progress():
    """k/3 on the way; the wrong step at depth 2 has (2 - 2) / 3."""
    assert values("simple", forked(), label_wrong=1) == [
        pytest.approx([1 / 3, 2 / 3, 1.0]),
        pytest.approx([1 / 3, 0.0]),
    ]


def test_simple_progress_far_off_every_way_stays_below_that_of_an_answer():
    tree = SearchTree({"question": "q", "answer": "4"})
    number = put(tree, ROOT, "a\n")
    put(tree, number, "4", answer="4", reward=1.0)
    number = ROOT
    for k in range(5):
        number = put(tree, number, f"w{k}\n")
    put(tree, number, "5", answer="5", reward=-1.0)
    # K = 2: (k - 2) / 2 is 0, 0, 1/2, 1, 3/2, 2.
    assert values("simple", tree)[1] == [0.0, 0.0, 0.5, 0.5, 0.5, 0.5]


def test_counts_where_every_step_was_asked():
    tree = explored("hard", [(3, 4), (0, 4), (1, 4), None])
    assert values("hard", tree) == [[1.0, 0.0, 1.0, 0.0]]
    assert values("soft", tree) == [[0.75, 0.0, 0.25, 0.0]]
    right = explored("soft", [(3, 4), None, None], is_right=True)
    assert values("soft", right) == [[0.75, None, 1.0]]


def test_a_linear_scan_says_nothing_behind_the_first_error():
    tree = explored("linear", [(3, 4), (0, 4), None, None])
    assert values("hard", tree) == [[1.0, 0.0, None, None]]
    assert values("soft", tree) == [[0.75, 0.0, None, None]]


def test_a_binary_scan_takes_what_it_jumped_over_as_good():
    """Of 8 steps it asked for 4 (right), 6 (wrong) and 5 (wrong)."""
    counts = [None, None, None, (1, 4), (0, 4), (0, 4), None, None]
    expected = [1.0, 1.0, 1.0, 1.0, 0.0, None, None, None]
    assert values("hard", explored("binary", counts)) == [expected]
    assert values("soft", explored("binary", counts)) == [expected]


def test_a_wrong_answer_after_good_steps_is_the_first_error():
    assert values("hard", explored("linear", [(1, 4), (2, 4), None])) == [[1.0, 1.0, 0.0]]
    cut = explored("binary", [None, (1, 4), None])
    end = cut.nodes[3]
    assert end.answer == "5"
    end.step, end.terminal = Step(end.text), ""
    assert values("hard", cut) == [[1.0, 1.0, 0.0]]
    good = explored("binary", [None, (2, 4), None], is_right=True)
    assert values("hard", good) == [[1.0, 1.0, 1.0]]


def test_the_outcome_alone_also_of_responses():
    given = (
        GivenResponse("1\n4", "4", True, False),
        GivenResponse("1\n2\n5", "5", False, False),
    )
    found = list(rows([group(responses=given)], LabelArgs(label_value="outcome"), LINES, Counter()))
    assert [row["values"] for row in found] == [[None, 1.0], [None, None, 0.0]]


def test_what_an_interpreter_wrote_is_told():
    tree = SearchTree({"question": "q", "answer": "4"})
    step = {"code": "4", "observation": "4", "observation_start": 5}
    number = put(tree, ROOT, "code\n<output>4</output>\n", q=0.5, **step)
    put(tree, number, "So 4", answer="4", reward=1.0)
    (row,) = rows([group(tree)], LabelArgs(), XML, Counter())
    assert row["prompt"] == "<question> 2 + 2 = </question>\n"
    assert row["trained_spans"] == [(0, 5), (24, 28)]
    assert "".join(row["steps"])[24:28] == "So 4"


def test_solutions_without_any_value_are_left_out_and_counted():
    tree = SearchTree({"question": "q", "answer": "4"})
    put(tree, ROOT, "no way", terminal="no step")
    left_out = Counter()
    assert not list(rows([group(tree)], LabelArgs(label_value="rest"), LINES, left_out))
    assert left_out["solutions without a value"] == 1
