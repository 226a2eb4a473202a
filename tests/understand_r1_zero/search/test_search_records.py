"""Files of trees: ours without loss, Super_MARIO's and rStar-Math's, and files that were cut."""

import json
import math

import pytest

from tests.understand_r1_zero.search.grown_trees import grown, searched
from understand_r1_zero.search.records import (
    FAILURES,
    chosen_of,
    cut_to_whole_lines,
    facts_of,
    from_record,
    golds_of,
    question_of,
    read_trees,
    to_record,
    whole_lines,
)
from understand_r1_zero.search.step import Step
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
    tree = from_record(MARIO)
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


NINE_KEYS = list(MARIO["react"]["0"])


def test_what_is_written_keeps_super_marios_keys_and_values():
    written = to_record(from_record(MARIO))["react"]
    # It counts children from 0, and leaves no gaps.
    for tag, written_tag in {
        "0": "0",
        "0.1": "0.0",
        "0.2": "0.1",
        "0.10": "0.2",
        "0.1.1": "0.0.0",
    }.items():
        found, fields = written[written_tag], dict(MARIO["react"][tag])
        if tag == "0":
            fields["extra_info"] = "question: What is 2 + 3?"
        assert list(found) == [*NINE_KEYS, "ours"]
        assert {key: found[key] for key in NINE_KEYS} == pytest.approx(fields)


@pytest.mark.parametrize("seed", range(20))
def test_a_record_is_read_back_without_loss(seed):
    tree = grown(seed)
    tree.record |= {
        "solutions": [{"tag": "0.0", "value": 1.0}],
        "search": {"seed": 3},
        "other": [1],
    }
    line = json.dumps(to_record(tree), allow_nan=False)
    again = from_record(json.loads(line))
    assert again.nodes == tree.nodes
    assert again.record == tree.record
    assert [again.is_open(i) for i in range(len(tree.nodes))] == [
        tree.is_open(i) for i in range(len(tree.nodes))
    ]
    assert json.dumps(to_record(again), allow_nan=False) == line


def test_nodes_of_ours_keep_their_numbers_though_they_were_not_added_depth_first():
    tree = SearchTree({})
    a, b = (tree.add(ROOT, Node(Step(text))) for text in "ab")
    tree.add(b, Node(Step("ba")))
    tree.add(a, Node(Step("aa")))
    again = from_record(json.loads(json.dumps(to_record(tree))))
    assert [node.text for node in again.nodes] == ["", "a", "b", "ba", "aa"]


def super_marios_tags(nodes, most_children):
    """The nodes that its offline inference finds, which counts children from 0 up to `most_children`."""
    found, waiting = [], ["0"]
    while waiting:
        tag = waiting.pop(0)
        found.append(tag)
        waiting += [t for i in range(most_children) if (t := f"{tag}.{i}") in nodes]
    return found


def test_super_marios_own_tools_find_every_node():
    record = to_record(searched(20))
    nodes = record["react"]
    assert record["react"]["solutions"][0]["final_answer"] == "24"
    assert "solutions" not in record
    found = super_marios_tags(nodes, 5)
    assert len(found) == len(nodes) - 1 > 50
    assert all(isinstance(nodes[tag]["final_answer"], str) for tag in found)


def test_failures_that_super_mario_writes_as_answers_are_ends_without_one():
    fields = {**MARIO["react"]["0.1.1"], "value": -1}
    nodes = {f"0.{i}": {**fields, "final_answer": text} for i, text in enumerate(FAILURES)}
    tree = from_record({"react": {"0": MARIO["react"]["0"], **nodes}})
    assert tree.finals() == []
    assert [node.terminal for node in tree.nodes[1:]] == ["no step", "depth", "code errors"]


def test_rstars_records_are_the_same_under_another_key():
    rstar = {"question": "q", "rstar": MARIO["react"]}
    assert from_record(rstar).nodes == from_record(MARIO).nodes


def test_solutions_beside_the_nodes_are_read_and_name_the_chosen_node():
    react = {**MARIO["react"], "solutions": [{"final_answer": "5", "tag": "0.1.1"}]}
    tree = from_record({**MARIO, "react": react})
    chosen = chosen_of(tree)
    assert tree.nodes[chosen].answer == "5"
    assert tree.record["solutions"][0]["tag"] == tree.tag(chosen) == "0.0.0"
    assert chosen_of(from_record(MARIO)) is None


def test_what_the_search_says_of_itself_is_kept():
    tree = searched(20)
    again = from_record(json.loads(json.dumps(to_record(tree))))
    assert facts_of(again) == tree.record["search"]
    assert again.nodes[chosen_of(again)].answer == "24"
    assert facts_of(from_record(MARIO)) == {}


def test_problems_and_gold_answers_are_found_under_several_names():
    assert question_of({"problem": "p"}) == question_of({"content": "p", "question": ""}) == "p"
    assert golds_of({"answer": ["1", 2]}) == ["1", "2"]
    assert golds_of({"real_answer": "1"}) == ["1"]
    assert (question_of({}), golds_of({})) == ("", [])


@pytest.mark.parametrize(
    ("record", "word"),
    [
        ({"question": "q"}, "react"),
        ({"react": {"0": MARIO["react"]["0"], "0.1.1": MARIO["react"]["0.1.1"]}}, "no parent 0.1"),
        ({"react": {"0.1": MARIO["react"]["0.1"]}}, "no parent 0"),
        ({"react": {"0": {"text": ""}, "0.1": {"value": 1}}}, "node 0.1 is at fault: 'text'"),
        ({"react": {"0": {**MARIO["react"]["0"], "ours": {"colour": 2}}}}, "colour"),
    ],
)
def test_what_is_no_tree_is_refused(record, word):
    with pytest.raises(ValueError, match=word):
        from_record(record)


def write(path, count):
    trees = [from_record({**MARIO, "index": i}) for i in range(count)]
    lines = [
        json.dumps(MARIO | {"index": i} if i % 2 else to_record(t)) for i, t in enumerate(trees)
    ]
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
    assert list(whole_lines(tmp_path / "none.jsonl")) == []


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
    record = to_record(tree)
    assert record["react"]["0.0"]["prior"] == 0.0
    assert from_record(record).nodes == tree.nodes
