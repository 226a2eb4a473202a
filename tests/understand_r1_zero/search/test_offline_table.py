"""The table of `search --from`."""

import json
from contextlib import closing

import pytest

from understand_r1_zero.grading.conventions import PRESETS
from understand_r1_zero.grading.grader import Grader
from understand_r1_zero.search.offline_table import offline_lines
from understand_r1_zero.search.records import to_record
from understand_r1_zero.search.step import Step
from understand_r1_zero.search.tree import ROOT, Node, SearchTree


def tree(gold, answers):
    """One final node for each (answer, value, visits)."""
    grown = SearchTree({"question": "1 + 1 =", "answer": gold})
    for answer, value, visits in answers:
        node = Node(Step(f"\\boxed{{{answer}}}", answer=answer), value=value, visits=visits)
        node.value_sum = -value * visits
        grown.end(grown.add(ROOT, node), "answer")
    return grown


@pytest.fixture
def grader():
    with closing(Grader(PRESETS["default"], 1, 3.0)) as grader:
        yield grader


def test_every_rule_has_its_row(tmp_path, grader):
    trees = [
        tree("2", [("2", 0.5, 1), ("3", -0.5, 4), ("2.0", 0.1, 1)]),
        tree("5", [("4", 0.9, 2), ("5", 0.2, 1)]),
    ]
    path = tmp_path / "trees.jsonl"
    path.write_text("".join(json.dumps(to_record(each)) + "\n" for each in trees))
    title, _, header, *rows = offline_lines(path, 1, grader)
    assert title == f"2 trees of {path}"
    assert header.split() == ["answer", "by", "width", "answered", "right", "accuracy"]
    found = {" ".join(row.split()[:-4]): row.split()[-4:] for row in rows}
    assert found["best by value"] == ["1", "2", "1", "0.500"]
    assert found["best by q_value"] == ["1", "2", "1", "0.500"]
    assert found["best by visit_count"] == ["1", "2", "0", "0.000"]
    # 2 and 2.0 are one answer; of 4 and 5, which tie, 5 has the higher Q.
    assert found["majority"] == ["all", "2", "2", "1.000"]
    assert len(rows) == 4 + 1 + 2 * 5


def test_a_file_without_trees_is_refused(tmp_path, grader):
    (tmp_path / "none.jsonl").touch()
    with pytest.raises(ValueError, match=r"--from .*none\.jsonl has no trees"):
        offline_lines(tmp_path / "none.jsonl", None, grader)
