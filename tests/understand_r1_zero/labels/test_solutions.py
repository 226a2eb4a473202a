"""Solutions of trees and responses, and which are taken."""

from collections import Counter

import pytest

from tests.understand_r1_zero.labels.worlds import LINES, XML, explored, forked, group, put
from understand_r1_zero.args_rounds import LabelArgs
from understand_r1_zero.labels.solutions import code_rank, select, solutions_of
from understand_r1_zero.labels.sources import GivenResponse
from understand_r1_zero.search.tree import ROOT, SearchTree


def found(*trees, responses=(), codec=LINES, left_out=None, **flags):
    left_out = Counter() if left_out is None else left_out
    solutions = solutions_of(group(*trees, responses=responses), codec, left_out)
    return select(solutions, LabelArgs(**flags), left_out)


def test_every_way_to_a_known_end_is_a_solution_and_failed_ends_are_wrong():
    tree = forked()
    put(tree, ROOT, "who knows", answer="7")
    put(tree, ROOT, "unfinished")
    left_out = Counter()
    solutions = solutions_of(group(tree), LINES, left_out)
    assert [(s.text, s.is_right, s.answer, s.nodes) for s in solutions] == [
        ("a\nb\nc 4", True, "4", (1, 2, 3)),
        ("a\nwrong 5", False, "5", (1, 4)),
        ("a\nbroken", False, None, (1, 5)),
    ]
    assert left_out["solutions of unknown worth"] == 1


def test_of_an_explored_tree_the_given_solution_alone():
    (given,) = solutions_of(
        group(explored("hard", [(1, 2), None])), LINES, Counter(), is_given=True
    )
    assert given.text == "step 0\nstep 1\n"
    assert not given.is_right
    with pytest.raises(ValueError, match="--collect explore"):
        solutions_of(group(forked()), LINES, Counter(), is_given=True)


def test_responses_are_cut_by_the_codec():
    responses = [
        GivenResponse("1\n2\n\\boxed{4}", "4", True, False),
        GivenResponse("1\n2", None, False, True),
        GivenResponse("hm", "x", None, False),
        GivenResponse(" ", None, False, False),
    ]
    left_out = Counter()
    right, wrong = found(responses=responses, left_out=left_out)
    assert [step.text for step in right.steps] == ["1\n", "2\n", "\\boxed{4}"]
    assert (right.is_right, wrong.is_right, wrong.text) == (True, False, "1\n2")
    assert left_out["solutions of unknown worth"] == left_out["solutions with a blank step"] == 1


def rights(*texts, is_right=True):
    return [GivenResponse(text, "4", is_right, False) for text in texts]


def texts(solutions):
    return [solution.text for solution in solutions]


def test_at_most_so_many_right_and_wrong_ones_in_order():
    responses = [*rights("a", "b", "c"), *rights("w", "x", is_right=False)]
    assert texts(found(responses=responses, label_right=2, label_wrong=1)) == ["a", "b", "w"]
    assert texts(found(responses=responses, label_right=0, label_wrong=0)) == list("abcwx")


def test_distinct_by_words_equations_distance_or_not_at_all():
    responses = rights("1+3=4 so", "1+3 = 4 then", "1+3=4 SO", "1+2=4")
    assert texts(found(responses=responses, label_distinct="none", label_right=0)) == [
        "1+3=4 so",
        "1+3 = 4 then",
        "1+3=4 SO",
        "1+2=4",
    ]
    assert texts(found(responses=responses, label_right=0)) == [
        "1+3=4 so",
        "1+3 = 4 then",
        "1+2=4",
    ]
    assert texts(found(responses=responses, label_distinct="equations")) == ["1+3=4 so"]
    wrong = rights("1+3=5", "1+3=6", is_right=False)
    assert texts(found(responses=wrong, label_distinct="equations")) == ["1+3=5", "1+3=6"]
    # Edit distances 1 and 4 of 4 + 4 // 2 = 6.
    near = rights("abcd", "abce", "wxyz")
    flags = {"label_distinct": "distance", "label_distance": 0.2}
    assert texts(found(responses=near, **flags)) == ["abcd", "wxyz"]


def test_the_highest_mean_q_first():
    tree = SearchTree({"question": "q", "answer": "4"})
    low = put(tree, ROOT, "low\n", q=0.1)
    put(tree, low, "4", answer="4", reward=1.0)
    high = put(tree, ROOT, "high\n", q=0.6)
    put(tree, high, "4", answer="4", reward=1.0)
    assert texts(found(tree, label_right=1)) == ["low\n4"]
    (best,) = found(tree, label_right=1, label_prefer="q")
    assert (best.text, best.mean_q) == ("high\n4", pytest.approx(0.8))


def code_tree(observation, has_failed=False):
    tree = SearchTree({"question": "q", "answer": "4"})
    step = {"code": "print(4)", "observation": observation, "has_failed": has_failed}
    number = put(tree, ROOT, f"code {observation}\n", observation_start=4, **step)
    put(tree, number, "So 4", answer="4", reward=1.0)
    return tree


def test_code_that_printed_the_answer_before_code_that_ran_before_the_rest():
    trees = [
        code_tree("Error", has_failed=True),
        code_tree("5"),
        code_tree("x\n4.0"),
        forked(),
    ]
    solutions = found(*trees, label_prefer="code", label_right=0, label_wrong=1)
    assert [code_rank(s) for s in solutions] == [2, 1, 0, 0, 0]
    assert [s.text[:7] for s in solutions[:3]] == ["code x\n", "code 5\n", "code Er"]


def test_where_the_interpreters_text_begins_is_read_again_in_files_that_do_not_say():
    text = "<step>\n<code>\n```python\n1\n```\n</code>\n<output>\n1\n</output>\n</step>\n"
    tree = SearchTree({"question": "q", "answer": "4"})
    number = put(tree, ROOT, text, code="1", observation="1")
    put(tree, number, "<step>4</step>", answer="4", reward=1.0)
    (solution,) = found(tree, codec=XML)
    start = text.index("\n<output>")
    assert solution.trained_spans == [(0, start), (len(text), len(text) + 14)]
