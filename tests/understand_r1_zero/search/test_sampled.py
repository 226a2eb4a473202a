"""Sampled solutions out of trees and of responses."""

import asyncio
import json
from collections import Counter
from contextlib import closing

import pytest

from tests.understand_r1_zero.search.tables import table
from understand_r1_zero.grading.conventions import PRESETS
from understand_r1_zero.grading.grader import Grader
from understand_r1_zero.search.codecs.registry import load_codec
from understand_r1_zero.search.methods import solve
from understand_r1_zero.search.records import to_record
from understand_r1_zero.search.sampled import (
    distinct,
    of_responses,
    of_tree,
    read_sampled,
    solution_counts,
    with_equal_counts,
)
from understand_r1_zero.search.settings import published
from understand_r1_zero.search.tree import SearchTree
from understand_r1_zero.templates import TEMPLATES
from understand_r1_zero.types import Status

CODEC = load_codec("lines", TEMPLATES["qwen_math"])


@pytest.fixture
def grader():
    with closing(Grader(PRESETS["default"], 1, 3.0)) as grader:
        yield grader


def sampled_tree(**facts):
    """Six samples, one of which was left out at its first step and one at its second.

    a (3 samples) -> A twice, one left out; b (2) -> B and C; one left out at the root.
    """
    tree = SearchTree({"question": "which?", "answer": "A", "search": {"method": "maj"} | facts})
    expand, _ = table({"": "aabab.", "a": "AA.", "b": "BC"}, {})
    asyncio.run(solve(tree, expand, None, published("maj", num_samples=6), seed=0))
    return tree


def texts_of(question):
    return ["".join(step.text for step in each.steps) for each in question.solutions]


def test_a_tree_has_all_solutions_that_were_sampled_also_those_that_were_left_out():
    tree = sampled_tree()
    ends = {tree.text(number): count for number, count in solution_counts(tree, 6).items()}
    assert ends == {"": 1, "a": 1, "aA": 2, "bB": 1, "bC": 1}
    # Who does not know how many were asked for cannot know of the first.
    assert sum(solution_counts(tree).values()) == 5


def test_the_order_of_solutions_is_drawn_by_the_seed_and_the_place(grader):
    tree = sampled_tree(samples=6, place=4)
    question = of_tree(tree, 0, grader, seed=1)
    assert Counter(texts_of(question)) == {"": 2, "aA": 2, "bB": 1, "bC": 1}
    assert texts_of(question) == texts_of(of_tree(tree, 9, grader, seed=1))
    orders = {tuple(texts_of(of_tree(tree, 0, grader, seed))) for seed in range(20)}
    assert len(orders) > 5
    # Each solution comes first as often as it was sampled: 2 of 6 are aA.
    firsts = Counter(texts_of(of_tree(tree, 0, grader, seed))[0] for seed in range(600))
    assert firsts["aA"] == pytest.approx(200, abs=45) and firsts["bC"] == pytest.approx(100, abs=35)


def test_rewards_are_verdicts_and_answers_without_one_are_graded(grader):
    tree = sampled_tree(samples=6)
    for number in tree.finals():
        tree.nodes[number].value = 0.5
        if tree.nodes[number].answer == "C":
            tree.nodes[number].reward = 1.0
    found = {each.answer: each for each in of_tree(tree, 0, grader).solutions}
    assert {answer: each.status for answer, each in found.items()} == {
        "A": Status.CORRECT,
        "B": Status.INCORRECT,
        "C": Status.CORRECT,
        None: Status.UNPARSABLE,
    }
    assert found["B"].values == (None, 0.5) and found[None].values == ()


def test_other_trees_are_refused(grader):
    tree = sampled_tree()
    tree.record["search"]["method"] = "mcts"
    with pytest.raises(ValueError, match=r"of the method mcts, .* --method best_of_n or maj"):
        of_tree(tree, 0, grader)
    del tree.record["search"]
    with pytest.raises(ValueError, match="of another program"):
        of_tree(tree, 0, grader)


def test_responses_of_other_programs_are_cut_and_graded(grader):
    record = {
        "prompt": "2 + 2 + 1?",
        "preds": ["2+2=4\n4+1=5\n\\boxed{5}", "2+2=5\n\\boxed{6}", "I do not know"],
        "answer": "2 + 2 = 4\n4 + 1 = 5\n#### 5",
    }
    question = of_responses(record, 7, CODEC, grader)
    assert question.problem.text == "2 + 2 + 1?" and question.problem.answers == ("5",)
    statuses = [each.status for each in question.solutions]
    assert statuses == [Status.CORRECT, Status.INCORRECT, Status.UNPARSABLE]
    assert [step.text for step in question.solutions[0].steps] == [
        "2+2=4\n",
        "4+1=5\n",
        "\\boxed{5}\n",
    ]
    assert [each.answer for each in question.solutions] == ["5", "6", None]
    assert len(list(distinct(question))) == 2


def test_verdicts_of_ours_are_taken_as_they_are(grader):
    own = {"place": 3, "statuses": ["incorrect", "truncated"], "answers": ["5", None]}
    record = {"prompt": "?", "preds": ["\\boxed{5}", "no"], "answer": "5", "ours": own}
    question = of_responses(record, 0, CODEC, grader)
    assert [each.status for each in question.solutions] == [Status.INCORRECT, Status.TRUNCATED]
    assert question.problem.row == 3
    with pytest.raises(ValueError, match="1 responses, 2 answers and 2 verdicts"):
        of_responses(record | {"preds": ["5"]}, 0, CODEC, grader)


def test_a_file_of_either_kind_is_read_and_its_faults_are_named(grader, tmp_path):
    path = tmp_path / "file.jsonl"
    with pytest.raises(ValueError, match="has no questions"):
        read_sampled(path, CODEC, grader)
    rows = [
        to_record(sampled_tree(samples=6)),
        {"prompt": "?", "preds": ["\\boxed{1}", "\\boxed{2}"], "answer": "1"},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    questions = read_sampled(path, CODEC, grader)
    assert [len(each.solutions) for each in questions] == [6, 2]
    assert [len(each.solutions) for each in with_equal_counts(questions)] == [2, 2]
    path.write_text(json.dumps(rows[1] | {"answer": " "}) + "\n")
    with pytest.raises(ValueError, match=r"file.jsonl, line 1: it has no gold answer"):
        read_sampled(path, CODEC, grader)
    path.write_text('{"problem": "?"}\n')
    with pytest.raises(ValueError, match="line 1: this record has no tree"):
        read_sampled(path, CODEC, grader)


def test_questions_whose_gold_answer_is_unknown_are_left_out(grader):
    tree = sampled_tree(samples=6, status="unknown", place=2)
    unknown, known = of_tree(tree, 0, grader), of_tree(sampled_tree(samples=6), 0, grader)
    assert not unknown.is_known
    assert with_equal_counts([unknown, known]) == [known]
    with pytest.raises(ValueError, match="no question whose gold answer"):
        with_equal_counts([unknown])
