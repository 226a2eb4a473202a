"""Files of trees and responses, gathered by problem; what they say is believed, the rest is graded."""

import json

import pytest

from tests.understand_r1_zero.labels.worlds import forked, put, write_trees
from understand_r1_zero.args import GradingArgs
from understand_r1_zero.labels.answer_grades import AnswerGrades
from understand_r1_zero.labels.sources import GivenResponse, open_source
from understand_r1_zero.search.tree import ROOT, SearchTree


def refuse_to_grade(answers, golds):
    assert not list(answers), "nothing is to be graded"
    return []


def write(path, *records):
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records))
    return path


def own_facts(statuses, **facts):
    truncated = [status == "truncated" for status in statuses]
    answers = [None if each else "4" for each in truncated]
    return {"statuses": statuses, "answers": answers, "truncated": truncated, **facts}


def test_trees_of_equal_questions_and_golds_are_of_one_problem(tmp_path):
    other, alike = forked(answer="5"), forked(answer=["4"])
    other.record["search"] = {"policy": "b", "preset": "strict"}
    alike.record["search"] = {"policy": "a", "place": 3}
    source = open_source(write_trees(tmp_path / "t.jsonl", [forked(), other, alike]))
    assert source.kind == "trees"
    assert source.made_by == {"policy": ["b", "a"], "preset": ["strict"]}
    first, second = source.groups(refuse_to_grade)
    assert (first.question, first.golds, len(first.trees)) == ("2 + 2 =", ("4",), 2)
    assert (second.golds, len(second.trees)) == (("5",), 1)
    assert [tree.record.get("search", {}).get("place") for tree in first.trees] == [None, 3]


def test_ends_without_a_reward_alone_are_graded(tmp_path):
    tree = SearchTree({"question": "q", "answer": "so it is #### 1,000"})
    for answer, reward in (("1000.0", None), ("3", None), ("3", 1.0)):
        put(tree, ROOT, f"{answer} {reward}", answer=answer, reward=reward)
    put(tree, ROOT, "no step", terminal="no step")
    path = write_trees(tmp_path / "t.jsonl", [tree, SearchTree({"question": "no gold"})])
    with AnswerGrades(GradingArgs()) as grades:
        graded, without = open_source(path).groups(grades.grade)
        assert grades.num_graded == 2
    assert graded.golds == ("1000",)
    assert [node.reward for node in graded.trees[0].nodes] == [None, 1.0, -1.0, 1.0, None]
    assert without.golds == ()


def test_an_answer_to_a_problem_without_a_gold_has_no_reward(tmp_path):
    tree = SearchTree({"question": "q"})
    put(tree, ROOT, "4", answer="4")
    with AnswerGrades(GradingArgs()) as grades:
        (group,) = open_source(write_trees(tmp_path / "t.jsonl", [tree])).groups(grades.grade)
    assert group.trees[0].nodes[1].reward is None


def test_our_responses_have_their_statuses(tmp_path):
    statuses = ["correct", "incorrect", "unparsable", "truncated", "unknown", "timeout", "error"]
    row = {"prompt": "p", "preds": list("abcdefg"), "answer": "4"}
    path = write(
        tmp_path / "r.jsonl",
        row | {"ours": own_facts(statuses, policy="tiny")},
        {"prompt": "other", "preds": [], "answer": ["4"]},
        row | {"answer": ["4"], "preds": ["h"], "ours": own_facts(["correct"], policy="tiny")},
    )
    source = open_source(path)
    assert (source.kind, source.made_by) == ("responses", {"policy": ["tiny"]})
    first, other = source.groups(refuse_to_grade)
    expected = [True, False, False, False, None, None, None, True]
    assert [each.is_right for each in first.responses] == expected
    assert first.responses[0] == GivenResponse("a", "4", True, False)
    assert first.responses[3] == GivenResponse("d", None, False, True)
    assert other.responses == ()


def test_foreign_responses_are_graded(tmp_path):
    preds = ["1+1\nThe answer is 2.", "so \\boxed{3}", "no idea"]
    path = write(tmp_path / "r.jsonl", {"prompt": "p", "preds": preds, "answer": "1+1=2\n#### 2"})
    with AnswerGrades(GradingArgs()) as grades:
        (group,) = open_source(path).groups(grades.grade)
    assert [(each.answer, each.is_right) for each in group.responses] == [
        ("2", True),
        ("3", False),
        (None, False),
    ]


GOOD = {"prompt": "p", "preds": ["a"], "answer": "4"}


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["[1]"], "line 1: it is no record"),
        ([json.dumps(GOOD), "{"], "line 2: Expecting"),
        (
            [json.dumps(GOOD), "", '{"react": {}}'],
            "line 3: responses expected, got a row with react",
        ),
        (['{"x": 1}'], r"line 1: trees \(react, rstar\) or responses \(preds\) expected"),
        (['{"preds": ["a"]}'], "line 1: it has no problem"),
        ([], "has no records"),
    ],
)
def test_a_file_at_fault_is_refused(tmp_path, lines, reason):
    path = tmp_path / "r.jsonl"
    path.write_text("".join(f"{line}\n" for line in lines))
    with pytest.raises(ValueError, match=reason):
        open_source(path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"preds": "a"}, "line 2: 'preds' is no list of texts"),
        ({"ours": own_facts([])}, "line 2: 'ours' is not of 1 responses"),
        ({"ours": own_facts(["good"])}, "line 2: 'good' is not a valid Status"),
    ],
)
def test_a_record_at_fault_is_named_when_it_is_read(tmp_path, change, reason):
    path = write(tmp_path / "r.jsonl", GOOD | {"preds": []}, GOOD | change)
    with pytest.raises(ValueError, match=reason):
        list(open_source(path).groups(refuse_to_grade))


def test_a_last_line_that_was_cut_is_passed_over_and_one_without_a_line_end_is_not(tmp_path):
    path = write(tmp_path / "r.jsonl", GOOD | {"preds": []})
    whole = path.read_text()
    path.write_text(whole + whole[:-10])
    assert len(open_source(path).places) == 1
    path.write_text(whole + json.dumps({"prompt": "other", "preds": [], "answer": "4"}))
    assert [group.question for group in open_source(path).groups(refuse_to_grade)] == ["p", "other"]
