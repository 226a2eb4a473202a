"""Pairs at the first pit, each rule by hand."""

from collections import Counter

import pytest

from understand_r1_zero.args_rounds import LabelArgs
from understand_r1_zero.labels.first_pit import rows
from understand_r1_zero.labels.sources import ProblemGroup

QUESTION = "1+2+4?"
STEPS = ["1+2=3\n", "3+4=8\n", "so 8"]
WRONG = ("so 9", -1.0)
LONG, SHORT = ("first 3+4=7\nso 7", 1.0), ("so 7", 1.0)
WHOLE = {"chosen_is_whole": True, "rejected_is_whole": False}


@pytest.fixture
def pairs(codec):
    def make(*trees, question=QUESTION):
        group = ProblemGroup(question, ("7",), tuple(trees))
        return list(rows([group], LabelArgs(label="first_pit"), codec, Counter()))

    return make


def test_the_first_step_is_rejected_for_the_right_response_of_the_pair(explored, pairs):
    tree = explored(STEPS, [[WRONG, WRONG]], at_root=[SHORT], chosen="1+2+4 is 7")
    assert pairs(tree) == [
        {"prompt": QUESTION, "chosen": "1+2+4 is 7", "rejected": "1+2=3\n", **WHOLE}
    ]


def test_without_a_pair_the_shortest_completion_of_the_problem_is_chosen(explored, pairs):
    tree = explored(STEPS, [[WRONG]], at_root=[LONG, WRONG, SHORT])
    assert pairs(tree) == [{"prompt": QUESTION, "chosen": "so 7", "rejected": "1+2=3\n", **WHOLE}]
    assert pairs(explored(STEPS, [[WRONG]])) == []


def test_a_later_step_is_rejected_for_the_shortest_right_completion_before_it(explored, pairs):
    # The wrong completion is shorter; those after the pit do not count.
    tree = explored(STEPS, [[LONG, ("9", -1.0), SHORT], [WRONG, WRONG]], chosen="1+2+4 is 7")
    assert pairs(tree) == [
        {"prompt": "1+2+4?1+2=3\n", "chosen": "so 7", "rejected": "3+4=8\n", **WHOLE}
    ]


def test_the_last_step_is_a_whole_rejected_response(explored, pairs):
    tree = explored(STEPS, [[SHORT], [LONG]])
    [row] = pairs(tree)
    assert row == {
        "prompt": "1+2+4?1+2=3\n3+4=8\n",
        "chosen": "first 3+4=7\nso 7",
        "rejected": "so 8",
        "chosen_is_whole": True,
        "rejected_is_whole": True,
    }


def test_without_a_pit_there_is_no_pair(explored, pairs):
    assert pairs(explored(STEPS, [[SHORT], [SHORT]], reward=1.0)) == []


def test_a_completion_is_taken_once_for_a_problem(explored, pairs):
    first = explored(STEPS, [[SHORT, LONG], [WRONG]])
    second = explored(["1+2=3\n", "3+4=9\n", "so 9"], [[SHORT, LONG], [WRONG]])
    third = explored(["1+2=3\n", "3+4=6\n", "so 6"], [[SHORT, LONG], [WRONG]])
    assert [row["chosen"] for row in pairs(first, second, third)] == ["so 7", "first 3+4=7\nso 7"]
    other = pairs(second, question="another?")
    assert [row["chosen"] for row in other] == ["so 7"]


def test_a_completion_that_contains_the_rejected_step_is_passed_over(explored, pairs):
    steps = ["1+2=3\n", "so\n", "8"]
    tree = explored(steps, [[SHORT, ("it is 3+4=7\nthus 7", 1.0)], [WRONG]])
    assert [row["chosen"] for row in pairs(tree)] == ["it is 3+4=7\nthus 7"]
    assert pairs(explored(steps, [[SHORT], [WRONG]])) == []


def test_rows_with_a_text_that_was_seen_are_dropped(explored, pairs):
    whole = {"chosen": "1+2+4 is 7"}
    first = explored(STEPS, [[WRONG]], **whole)
    same_chosen = explored(["1+2=4\n", "so 8"], [[WRONG]], **whole)
    same_rejected = explored(STEPS, [[WRONG]], chosen="it is 7")
    assert pairs(first, same_chosen, same_rejected) == pairs(first)
    assert len(pairs(first, explored(["1+2=4\n", "so 8"], [[WRONG]], chosen="it is 7"))) == 2


def test_line_ends_that_both_begin_with_are_the_prompts(explored, pairs):
    tree = explored(["1+2=3", "\n\n3+4=8", "\nso 8"], [[("\nso 7", 1.0)], [WRONG]])
    [row] = pairs(tree)
    assert (row["prompt"], row["chosen"], row["rejected"]) == ("1+2+4?1+2=3\n", "so 7", "\n3+4=8")


def test_trees_without_a_row_are_counted_by_reason(explored, codec):
    trees = (
        explored(STEPS, [[SHORT], [WRONG]]),
        explored(STEPS, [[LONG], [WRONG]]),
        explored(STEPS, [[WRONG]]),
        explored(STEPS, [[SHORT]], reward=1.0),
    )
    left_out = Counter()
    group = ProblemGroup(QUESTION, ("7",), trees)
    assert len(list(rows([group], LabelArgs(), codec, left_out))) == 1
    assert left_out == {
        "pairs with a text of another pair": 1,
        "pits without a right way around them": 1,
        "solutions without a pit": 1,
    }
