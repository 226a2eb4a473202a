"""Trees: merging, closing, names, and records without loss."""

import json
import math
import random

import pytest

from understand_r1_zero.search.step import Step
from understand_r1_zero.search.tree import ROOT, Node, SearchTree, reindexed


def grown(seed: int, size: int = 40) -> SearchTree:
    """A random tree, some of it finished."""
    rng = random.Random(seed)
    tree = SearchTree({"question": "1 + 1 =", "answer": "2", "idx": seed})
    while len(tree.nodes) < size and not tree.is_exhausted():
        parent = rng.randrange(len(tree.nodes))
        if tree.nodes[parent].terminal or tree.nodes[parent].is_expanded:
            continue
        tokens = tuple(rng.randrange(100) for _ in range(rng.randrange(1, 5)))
        number = tree.add(
            parent,
            Node(
                Step(
                    f"step {rng.randrange(30)}\n",
                    code=rng.choice([None, "print(1)"]),
                    answer=rng.choice([None, None, None, None, "2"]),
                ),
                token_ids=tokens,
                num_tokens=len(tokens),
                logprob=-rng.random(),
                value=rng.choice([None, rng.random()]),
                visits=rng.randrange(3),
                value_sum=rng.random(),
                labels={"he": 1.0},
            ),
        )
        if tree.nodes[number].answer and not tree.nodes[number].children:
            tree.end(number, "answer")
        if rng.random() < 0.3:
            tree.expanded(parent)
    return tree


@pytest.mark.parametrize("seed", range(20))
def test_a_record_is_read_back_without_loss(seed):
    tree = grown(seed)
    again = SearchTree.from_record(json.loads(json.dumps(tree.to_record())))
    assert again.nodes == tree.nodes
    assert again.record == tree.record
    assert [again.is_open(i) for i in range(len(tree.nodes))] == [
        tree.is_open(i) for i in range(len(tree.nodes))
    ]


@pytest.mark.parametrize("seed", range(20))
def test_a_node_is_open_where_something_below_it_may_still_be_expanded(seed):
    tree = grown(seed)
    for number in range(len(tree.nodes)):
        leaves = [n for n in tree.below(number) if not tree.nodes[n].is_expanded]
        expected = not tree.nodes[number].terminal and any(
            all(not tree.nodes[step].terminal for step in [*tree.path(leaf)]) for leaf in leaves
        )
        assert tree.is_open(number) == expected


@pytest.mark.parametrize(
    ("record", "word"),
    [
        ({}, "nodes"),
        ({"nodes": []}, "record"),
        ({"nodes": [], "record": {}}, "root"),
        ({"nodes": [{"step": {"text": "", "colour": 2}}], "record": {}}, "colour"),
        (
            {"nodes": [{"step": {"text": ""}}, {"step": {"text": ""}, "parent": 1}], "record": {}},
            "parent 1",
        ),
    ],
)
def test_what_is_no_tree_is_refused(record, word):
    with pytest.raises(ValueError, match=word):
        SearchTree.from_record(record)


def test_equal_siblings_are_one_node_that_counts():
    tree = SearchTree({})
    first = tree.add(ROOT, Node(Step("a = 1\n")))
    assert tree.add(ROOT, Node(Step("a = 1"))) == first
    other = tree.add(ROOT, Node(Step("a = 2")))
    assert tree.add(first, Node(Step("a = 1\n"))) not in (first, other)
    assert [tree.nodes[n].count for n in (first, other)] == [2, 1]


def test_an_exhausted_subtree_closes_its_ancestors_and_no_others():
    tree = SearchTree({})
    left, right = (tree.add(ROOT, Node(Step(text))) for text in "lr")
    tree.expanded(ROOT)
    ends = [tree.add(left, Node(Step(text))) for text in "ab"]
    tree.expanded(left)
    tree.end(ends[0], "answer")
    assert tree.is_open(left)
    tree.end(ends[1], "depth")
    assert not tree.is_open(left)
    assert tree.is_open(ROOT)
    assert tree.open_children(ROOT) == [right]
    tree.expanded(right)
    assert tree.is_exhausted()


def test_names_paths_and_texts():
    tree = SearchTree({})
    a = tree.add(ROOT, Node(Step("a")))
    b = tree.add(ROOT, Node(Step("b")))
    ba = tree.add(b, Node(Step("c")))
    assert [tree.tag(n) for n in (ROOT, a, b, ba)] == ["0", "0.1", "0.2", "0.2.1"]
    assert tree.path(ba) == [b, ba]
    assert tree.text(ba) == "bc"
    assert tree.ends() == [a, ba]
    assert list(tree.below(ROOT)) == [ROOT, a, b, ba]


def test_a_prior_is_normalised_for_length():
    assert Node(logprob=-3.0, num_tokens=3).prior == pytest.approx(math.exp(-1))
    assert Node().prior == 1.0


def test_a_part_of_a_tree_keeps_the_ways_to_its_nodes():
    tree = SearchTree({"id": 1})
    a, b = (tree.add(ROOT, Node(Step(text))) for text in "ab")
    tree.add(a, Node(Step("c")))
    bd = tree.add(b, Node(Step("d"), visits=3))
    part = reindexed(tree, [bd])
    assert [node.text for node in part.nodes] == ["", "b", "d"]
    assert part.nodes[2].visits == 3
    assert part.record == {"id": 1}


def test_a_hint_is_recorded_and_older_records_have_none():
    tree = SearchTree({})
    tree.add(ROOT, Node(Step("a"), hint="Subtract first."))
    record = tree.to_record()
    assert SearchTree.from_record(record).nodes[1].hint == "Subtract first."
    for fields in record["nodes"]:
        del fields["hint"]
    assert SearchTree.from_record(record).nodes[1].hint == ""
