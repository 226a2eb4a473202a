"""Rows of Math-Shepherd's data, as they are published."""

import pytest

from understand_r1_zero.args_rounds import LabelArgs
from understand_r1_zero.labels.explored import given_chain
from understand_r1_zero.labels.formats.math_shepherd import read_row, write_row, write_rows
from understand_r1_zero.labels.sources import ProblemGroup
from understand_r1_zero.search.step import Step
from understand_r1_zero.search.tree import ROOT, Node, SearchTree

ROW = {
    "input": "Ann has 3 apples and buys 4 - how many? Step 1: She buys 4. ки\n"
    "Step 2: 3+4=8 ки\nStep 3: The answer is: 8 ки",
    "label": "Ann has 3 apples and buys 4 - how many? Step 1: She buys 4. +\n"
    "Step 2: 3+4=8 -\nStep 3: The answer is: 8 -",
    "task": "GSM8K",
}


def write(*trees, question="1+2+4?"):
    return list(write_rows([ProblemGroup(question, ("7",), trees)], LabelArgs()))


def test_a_row_is_written_as_it_was_read():
    solution = read_row(ROW)
    assert write_row(solution, ROW["task"]) == ROW
    assert solution.problem_text == "Ann has 3 apples and buys 4 - how many?"
    assert solution.step_texts == (
        "Step 1: She buys 4.",
        "Step 2: 3+4=8",
        "Step 3: The answer is: 8",
    )
    assert solution.labels == (True, False, False)


def test_a_label_of_another_solution_is_refused():
    with pytest.raises(ValueError, match="label must be the input"):
        read_row(ROW | {"label": ROW["label"].replace("3+4=8", "3+4=9")})


def test_an_explored_solution_is_good_up_to_its_first_pit(explored):
    right, wrong = ("so 7", 1.0), ("so 9", -1.0)
    steps = ["1+2=3\n", "3+4=8\n", "so 8"]
    [row] = write(explored(steps, [[right], [wrong]], task="MATH"))
    assert row == {
        "input": "1+2+4? Step 1: 1+2=3 ки\nStep 2: 3+4=8 ки\nStep 3: so 8 ки",
        "label": "1+2+4? Step 1: 1+2=3 +\nStep 2: 3+4=8 -\nStep 3: so 8 -",
        "task": "MATH",
    }
    assert write_row(read_row(row), "MATH") == row
    [row] = write(explored(["3+4=7\n", "so 7"], [[right]], reward=1.0))
    assert row["label"] == "1+2+4? Step 1: 3+4=7 +\nStep 2: so 7 +"


def test_steps_of_which_nothing_is_known_are_left_out(explored):
    tree = explored(["1+2=3\n", "3+4=7\n", "so it"], [[("so 7", 1.0)]])
    tree.nodes[given_chain(tree)[-1]].step = Step("so it")
    assert [row["label"] for row in write(tree)] == ["1+2+4? Step 1: 1+2=3 +"]
    tree.nodes[given_chain(tree)[0]].labels = {}
    assert write(tree) == []


def test_a_step_of_a_search_is_good_where_a_right_end_is_below(codec):
    tree = SearchTree({"question": "1+2+4?"})
    first = tree.add(ROOT, Node(Step("1+2=3\n\n")))
    second = tree.add(first, Node(Step("3+\n4=8\n")))
    tree.add(first, Node(Step("so 7", answer="7"), reward=1.0))
    tree.add(second, Node(Step("so 8", answer="8"), reward=-1.0))
    tree.add(second, Node(Step("so 9", answer="9")))
    assert [row["label"] for row in write(tree)] == [
        "1+2+4? Step 1: 1+2=3 +\nStep 2: so 7 +",
        "1+2+4? Step 1: 1+2=3 +\nStep 2: 3+ 4=8 -\nStep 3: so 8 -",
    ]
    assert {row["task"] for row in write(tree)} == {""}
