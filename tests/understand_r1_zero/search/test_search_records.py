"""Files of trees: Super_MARIO's form both ways, and files that were cut."""

import json
import math

import pytest

from understand_r1_zero.search.records import (
    cut_to_whole_lines,
    from_mario,
    read_trees,
    to_mario,
    whole_lines,
)
from understand_r1_zero.search.tree import ROOT, Node, SearchTree

MARIO = {
    "index": 3,
    "question": "What is 2 + 3?",
    "answer": "5",
    "react": {
        "0": {"text": "", "extra_info": "", "action": "", "action_input": "", "final_answer": "", "value": -100, "q_value": 0.25, "prior": 1.0, "visit_count": 4},
        "0.1": {"text": "<step>a</step>", "extra_info": "5", "action": "python_interpreter", "action_input": "print(2+3)", "final_answer": "", "value": 0.5, "q_value": 0.5, "prior": 0.8, "visit_count": 2},
        "0.2": {"text": "<step>b</step>", "extra_info": "", "action": "", "action_input": "", "final_answer": "", "value": -0.5, "q_value": -1.0, "prior": 0.2, "visit_count": 1},
        "0.10": {"text": "late", "extra_info": "", "action": "", "action_input": "", "final_answer": "", "value": -100, "q_value": 0.0, "prior": 0.1, "visit_count": 0},
        "0.1.1": {"text": "<step>c</step>", "extra_info": "", "action": "", "action_input": "", "final_answer": "5", "value": 1.0, "q_value": 1.0, "prior": 0.9, "visit_count": 1},
    },
}  # fmt: skip


def test_super_marios_record_is_read():
    tree = from_mario(MARIO)
    assert tree.record == {"index": 3, "question": "What is 2 + 3?", "answer": "5"}
    assert [node.text for node in tree.nodes] == [
        "",
        "<step>a</step>",
        "<step>c</step>",
        "<step>b</step>",
        "late",
    ]
    a, c = tree.nodes[1], tree.nodes[2]
    assert (a.step.code, a.step.observation, a.visits, a.value_sum) == ("print(2+3)", "5", 2, 1.0)
    assert a.prior == pytest.approx(0.8)
    assert (c.answer, c.terminal, c.parent, c.depth) == ("5", "answer", 1, 2)
    assert tree.nodes[4].value is None
    assert not tree.is_open(1)
    assert tree.is_open(ROOT)


def test_what_is_written_as_super_marios_reads_back():
    tree = from_mario(MARIO)
    again = from_mario(json.loads(json.dumps(to_mario(tree))))
    assert again.nodes == tree.nodes
    written = to_mario(tree)["react"]
    for tag, fields in MARIO["react"].items():
        # Its third child is the one that the file calls the tenth.
        found = written["0.3" if tag == "0.10" else tag]
        assert found.keys() == fields.keys()
        assert [found[k] for k in ("value", "q_value", "visit_count")] == pytest.approx(
            [fields[k] for k in ("value", "q_value", "visit_count")]
        )
        assert found["prior"] == pytest.approx(fields["prior"])
        assert {k: found[k] for k in ("text", "action", "final_answer")} == {
            k: fields[k] for k in ("text", "action", "final_answer")
        }


def test_rstars_records_are_the_same_under_another_key():
    rstar = {"question": "q", "rstar": MARIO["react"]}
    assert from_mario(rstar).nodes == from_mario(MARIO).nodes


@pytest.mark.parametrize(
    ("record", "word"),
    [
        ({"question": "q"}, "react"),
        ({"react": {"0": MARIO["react"]["0"], "0.1.1": MARIO["react"]["0.1.1"]}}, "no parent 0.1"),
    ],
)
def test_what_is_no_tree_is_refused(record, word):
    with pytest.raises(ValueError, match=word):
        from_mario(record)


def write(path, count):
    trees = [from_mario({**MARIO, "index": i}) for i in range(count)]
    lines = [json.dumps(t.to_record() if i % 2 else to_mario(t)) for i, t in enumerate(trees)]
    path.write_text("".join(f"{line}\n" for line in lines))


def test_a_file_cut_in_mid_line_keeps_its_whole_lines_and_can_be_appended_to(tmp_path):
    path = tmp_path / "trees.jsonl"
    write(path, 3)
    whole = path.read_bytes()
    path.write_bytes(whole[:-40])
    assert [tree.record["index"] for tree in read_trees(path)] == [0, 1]
    assert cut_to_whole_lines(path) == 2
    assert path.read_bytes() == b"".join(line + b"\n" for line in whole.split(b"\n")[:2])
    assert cut_to_whole_lines(tmp_path / "none.jsonl") == 0
    assert whole_lines(tmp_path / "none.jsonl") == []


def test_a_line_at_fault_is_named(tmp_path):
    path = tmp_path / "trees.jsonl"
    write(path, 2)
    path.write_text(path.read_text() + '{"question": 1}\n')
    with pytest.raises(ValueError, match=r"trees\.jsonl, line 3: .*react"):
        list(read_trees(path))


def test_a_prior_of_nothing_is_nothing():
    node = Node()
    node.set_prior(0.0)
    assert node.prior == 0.0
    assert node.logprob == -math.inf
    tree = SearchTree({})
    tree.add(ROOT, node)
    assert to_mario(tree)["react"]["0.1"]["prior"] == 0.0
