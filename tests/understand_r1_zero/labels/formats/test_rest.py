"""ReST-MCTS*'s files, in rows as its programs write them."""

import pytest

from understand_r1_zero.args_rounds import LabelArgs
from understand_r1_zero.labels.formats.rest import (
    policy_rows,
    read_policy_row,
    read_question,
    read_search,
    read_value_row,
    value_rows,
    write_policy_row,
    write_question,
    write_rows,
    write_search,
    write_value_rows,
)
from understand_r1_zero.labels.sources import ProblemGroup
from understand_r1_zero.search.records import from_record, to_record
from understand_r1_zero.search.tree import ROOT

FIRST, GOOD = "Step 1: 1+2=3\n", "Step 2: 3+4=7, the sum.\n"
BAD, WORSE = "Step 2: 3+4=8\n", "Step 3: It is 8.\n"
# A right way of K = 2 steps; off it m = 2 is inherited of the first step, whose m is 1: the code's m + 1 is 2.
SEARCH = {
    "content": "Add 1, 2 and 4.",
    "policy_samples": [
        {"solution": FIRST + GOOD, "summary": "The final answer is 7", "correct": True},
        {"solution": FIRST + BAD + WORSE, "summary": "The final answer is 8", "correct": False},
    ],
    "value_samples": [
        {"steps": FIRST, "value": 0.5},
        {"steps": FIRST + GOOD, "value": 1.0},
        {"steps": FIRST + BAD, "value": 0.25},
        {"steps": FIRST + BAD + WORSE, "value": 0.0},
    ],
    "real_answer": "7",
}
UNSOLVED = {
    "content": "Add 1, 2 and 4.",
    "policy_samples": [{"solution": FIRST + BAD, "summary": "8", "correct": False}],
    "value_samples": [],
    "real_answer": "7",
}


@pytest.mark.parametrize("row", [SEARCH, UNSOLVED])
def test_a_search_is_written_as_it_was_read_with_values_computed_again(row):
    tree = read_search(row)
    for node in tree.nodes:
        node.value = None
    for each in (tree, from_record(to_record(tree))):
        assert write_search(each, LabelArgs()) == row


def test_a_search_is_read_as_a_tree():
    tree = read_search(SEARCH)
    assert [(node.text, node.value, node.reward) for node in tree.nodes[1:]] == [
        (FIRST, 0.5, None),
        (GOOD, 1.0, 1.0),
        (BAD, 0.25, None),
        (WORSE, 0.0, -1.0),
    ]
    assert len(tree.nodes[ROOT].children) == 1


def test_our_trees_are_written_without_summaries_and_through_the_critic():
    group = ProblemGroup("Add 1, 2 and 4.", ("7",), (read_search(SEARCH),))
    [row] = write_rows([group], LabelArgs())
    assert [sample["summary"] for sample in row["policy_samples"]] == ["", ""]
    [filtered] = write_rows([group], LabelArgs(label_min_value=0.2))
    assert filtered["policy_samples"] == row["policy_samples"][:1]
    assert filtered["value_samples"] == row["value_samples"]


def test_the_rows_of_policy_and_value_are_extracted():
    assert next(policy_rows(SEARCH)) == {
        "content": "Add 1, 2 and 4.",
        "summary": FIRST + GOOD + "The final answer is 7",
        "label": True,
        "real_answer": "7",
    }
    summed_up = {"solution": "The final answer is 7", "summary": "7", "correct": True}
    [row] = policy_rows(SEARCH | {"policy_samples": [summed_up]})
    assert row["summary"] == "The final answer is 7"
    assert list(value_rows(SEARCH))[2] == {
        "prompt_answer": f"Problem:Add 1, 2 and 4.\nSolution:\n{FIRST}{BAD}",
        "label": 0.25,
    }


def test_policy_rows_are_written_as_they_were_read():
    right, wrong = policy_rows(SEARCH)
    found = read_policy_row(right)
    assert found == {"query": "Add 1, 2 and 4.", "response": right["summary"]}
    assert write_policy_row(found, "7") == right
    assert read_policy_row(wrong) is None


def test_value_rows_are_written_as_they_were_read():
    for row in value_rows(SEARCH):
        assert list(write_value_rows(read_value_row(row))) == [row]
    ours = {"problem": "P", "steps": ["a\n", "b\n", "c"], "values": [0.5, None, 1.0]}
    assert list(write_value_rows(ours)) == [
        {"prompt_answer": "Problem:P\nSolution:\na\n", "label": 0.5},
        {"prompt_answer": "Problem:P\nSolution:\na\nb\nc", "label": 1.0},
    ]
    with pytest.raises(ValueError, match="prompt_answer must be 'Problem:'"):
        read_value_row({"prompt_answer": "P\na", "label": 1.0})


@pytest.mark.parametrize("answer", ["7", ["7", "seven"]])
def test_questions_are_written_as_they_were_read(answer):
    row = {"content": "Add 1, 2 and 4.", "answer": answer}
    assert write_question(read_question(row)) == row
