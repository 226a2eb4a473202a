"""OmegaPRM's data as OpenR writes them, flat and nested."""

import pytest

from understand_r1_zero.args_rounds import LabelArgs
from understand_r1_zero.labels.formats.omega import (
    read_record,
    values,
    write_flat,
    write_nested,
    write_record,
    write_rows,
)
from understand_r1_zero.labels.sources import ProblemGroup
from understand_r1_zero.search.records import from_record, to_record
from understand_r1_zero.search.step import Step
from understand_r1_zero.search.tree import ROOT, Node, SearchTree

QUESTION = "Add 1, 2 and 4.\n\nGive the sum."
NESTED = {
    "text": QUESTION,
    "mc_value": 0.5,
    "children": [
        {"text": "1+2=3\n\n3+4=7\n\nIt is 7", "mc_value": 1.0, "children": []},
        {
            "text": "1+2=3",
            "mc_value": 0.75,
            "children": [
                {"text": "3+4=8", "mc_value": 0.0, "children": []},
                {"text": "So 7", "mc_value": 1.0, "children": []},
            ],
        },
    ],
}
FLAT = [
    {"solution_prefix": QUESTION, "mc_value": 0.5},
    {"solution_prefix": f"{QUESTION}\n\n1+2=3\n\n3+4=7\n\nIt is 7", "mc_value": 1.0},
    {"solution_prefix": f"{QUESTION}\n\n1+2=3", "mc_value": 0.75},
    {"solution_prefix": f"{QUESTION}\n\n1+2=3\n\n3+4=8", "mc_value": 0.0},
    {"solution_prefix": f"{QUESTION}\n\n1+2=3\n\nSo 7", "mc_value": 1.0},
]


@pytest.mark.parametrize(("data", "is_nested"), [(NESTED, True), (FLAT, False)])
def test_a_record_is_written_as_it_was_read(data, is_nested):
    record = {"question": QUESTION, "final_answer": "7", "reasoning_steps": data}
    tree = read_record(record)
    for each in (tree, from_record(to_record(tree))):
        assert write_record(each, is_nested=is_nested) == record
    other_keys = {"question": QUESTION, "answer": "7", "data": data}
    assert write_record(read_record(other_keys), is_nested=is_nested) == record


def test_data_alone_are_read_and_both_forms_say_the_same():
    assert write_nested(read_record(NESTED)) == NESTED
    assert write_flat(read_record(FLAT)) == FLAT
    assert write_nested(read_record(FLAT)) == NESTED
    assert write_flat(read_record(NESTED)) == FLAT


def test_steps_are_read_with_an_empty_line_behind():
    tree = read_record(NESTED)
    assert [node.text for node in tree.nodes[1:3]] == [
        "1+2=3\n\n3+4=7\n\nIt is 7\n\n",
        "1+2=3\n\n",
    ]
    assert tree.nodes[2].labels == {"mc_value": 0.75}


@pytest.mark.parametrize("data", [[], {}, {"steps": []}, [{"text": "a"}], FLAT[1:] + FLAT[:1]])
def test_other_data_are_refused(data):
    with pytest.raises(ValueError, match=r"no data of OmegaPRM|must begin with the problem"):
        read_record({"question": "x", "data": data})


def test_an_explored_tree_is_written_by_its_states(explored):
    right, wrong = ("3+4=7\nso 7", 1.0), ("so 9", -1.0)
    # A binary scan: nothing was drawn after the second step.
    tree = explored(
        ["1+2=3\n", "It goes on.\n", "3+4=8\n", "so 8"],
        [[right, wrong], None, [wrong, wrong]],
        at_root=[wrong, right, right, right],
    )
    assert write_nested(tree) == {
        "text": "1+2+4?",
        "mc_value": 0.75,
        "children": [
            {
                "text": "1+2=3",
                "mc_value": 0.5,
                "children": [
                    {"text": "It goes on.\n\n3+4=8", "mc_value": 0.0, "children": []},
                    {"text": "3+4=7\n\nso 7", "mc_value": 1.0, "children": []},
                ],
            },
            *[{"text": "3+4=7\n\nso 7", "mc_value": 1.0, "children": []}] * 3,
        ],
    }
    assert write_flat(tree)[2] == {
        "solution_prefix": "1+2+4?\n\n1+2=3\n\nIt goes on.\n\n3+4=8",
        "mc_value": 0.0,
    }


def test_a_last_step_that_is_the_pit_is_a_state(explored):
    tree = explored(["1+2=3\n", "so 8"], [[("so 7", 1.0)]])
    assert list(values(tree).values()) == [1.0, 0.0, 1.0]
    later = explored(["1+2=4\n", "so 8"], [[("so 9", -1.0)]])
    assert list(values(later).values()) == [0.0]


def test_a_search_is_written_by_the_shares_of_its_ends():
    tree = SearchTree({"question": "Q", "answer": "7"})
    first = tree.add(ROOT, Node(Step("a\n")))
    second = tree.add(first, Node(Step("b\n")))
    tree.add(first, Node(Step("so 7", answer="7"), reward=1.0))
    for answer, reward in (("7", 1.0), ("8", -1.0), ("9", None)):
        tree.add(second, Node(Step(f"so {answer}", answer=answer), reward=reward))
    tree.add(ROOT, Node(Step("open\n")))
    found = values(tree)
    assert [found.get(n) for n in range(8)] == [2 / 3, 2 / 3, 1 / 2, 1, 1, 0, None, None]
    group = ProblemGroup("Q", ("7",), (tree,))
    [flat] = write_rows([group], LabelArgs(label_format="omega"))
    assert flat["reasoning_steps"][2] == {"solution_prefix": "Q\n\na\n\nb", "mc_value": 0.5}
    [nested] = write_rows([group], LabelArgs(label_format="omega_tree"))
    assert nested["question"] == "Q"
    assert nested["final_answer"] == "7"
    assert [child["text"] for child in nested["reasoning_steps"]["children"]] == ["a"]
