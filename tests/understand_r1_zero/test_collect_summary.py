"""Counts of collected responses and of explored solutions."""

from understand_r1_zero.collect_summary import explored_lines, response_lines
from understand_r1_zero.search.explore import GivenSolution, explored_tree
from understand_r1_zero.search.step import Step
from understand_r1_zero.search.step_oracle import Completion, Draws

GIVEN = GivenSolution((Step("a\n"), Step("b\n", answer="7")))
COMPLETION = Completion((Step("c\n", answer="6"),), 5)


def cells(lines):
    return [line.split() for line in lines]


def test_responses_are_counted_by_what_became_of_them():
    records = [
        {"ours": {"statuses": ["correct", "incorrect", "truncated"], "tokens": 1200}},
        {"ours": {"statuses": ["incorrect", "incorrect", "unparsable"], "tokens": 34}},
        {"ours": {"statuses": ["unknown"] * 3, "tokens": 0}},
    ]
    assert cells(response_lines(records)) == [
        ["problems", "3"],
        ["a", "right", "response", "found", "1", "33.3%"],
        ["responses", "9"],
        ["right", "1", "16.7%"],
        ["truncated", "1", "16.7%"],
        ["not", "graded", "3", "33.3%"],
        ["sampled", "tokens", "1,234"],
    ]


def explored(status, num_right, problem="p"):
    draws = (
        {}
        if num_right is None
        else {
            1: Draws(
                (True,) * num_right + (False,) * (4 - num_right), 20, completions=(COMPLETION,) * 4
            )
        }
    )
    is_right = {"correct": True, "unknown": None}.get(status, False)
    tree, last = explored_tree(GIVEN, draws, is_right=is_right)
    tree.record["search"] = {
        "given": tree.tag(last),
        "status": status,
        "problem": problem,
        "tokens": 20 * len(draws),
    }
    return tree


def test_pits_are_counted_by_step():
    trees = [
        explored("incorrect", 0),
        explored("incorrect", 0, "q"),
        explored("incorrect", 3),
        explored("correct", None),
        explored("unknown", None),
    ]
    assert cells(explored_lines(trees)) == [
        ["problems", "2"],
        ["solutions", "5"],
        ["right", "1", "20.0%"],
        ["not", "graded,", "not", "explored", "1", "20.0%"],
        ["wrong", "3", "60.0%"],
        ["first", "pit", "at", "step", "1", "2", "66.7%"],
        ["first", "pit", "at", "step", "2", "1", "33.3%"],
        ["steps", "asked", "about", "3"],
        ["completions", "12"],
        ["right", "3", "25.0%"],
        ["sampled", "tokens", "60"],
    ]
