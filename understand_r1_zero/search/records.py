"""Trees in files, a line each: our own record without loss, and Super_MARIO's, which other tools read."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from understand_r1_zero.search.step import Step
from understand_r1_zero.search.tree import ROOT, Node, SearchTree

MARIO_KEYS = ("react", "rstar")
"""Where AlphaMath's and rStar-Math's files keep the tree of a record."""
UNSET = -100.0
"""Super_MARIO's value of a node that has none."""


def to_mario(tree: SearchTree, key: str = "react") -> dict[str, Any]:
    """Super_MARIO's record of a tree: the problem's own, and under `key` its nodes by tag.

    What it has no place for is left out: token ids, counts, ends, labels.
    """
    nodes = {}
    for number, node in enumerate(tree.nodes):
        nodes[tree.tag(number)] = {
            "text": node.text,
            "extra_info": node.step.observation or "",
            "action": "python_interpreter" if node.step.code else "",
            "action_input": node.step.code or "",
            "final_answer": node.answer or "",
            "value": UNSET if node.value is None else node.value,
            "q_value": node.mean(),
            "prior": node.prior,
            "visit_count": node.visits,
        }
    return {**tree.record, key: nodes}


def from_mario(record: Mapping[str, Any]) -> SearchTree:
    """The tree of a Super_MARIO or rStar-Math record; a prior is taken as that of one token.

    Raises:
        ValueError: it holds no tree, or a node without its parent.
    """
    key = next((key for key in MARIO_KEYS if key in record), None)
    if key is None:
        raise ValueError(f"this record has no tree: it lacks {' and '.join(MARIO_KEYS)}")
    tree = SearchTree({name: value for name, value in record.items() if name != key})
    numbers = {"0": ROOT}
    for tag in sorted(record[key], key=_place):
        fields = record[key][tag]
        if tag == "0":
            _fill(tree.root, fields)
            continue
        parent = tag.rpartition(".")[0]
        if parent not in numbers:
            raise ValueError(f"node {tag} has no parent {parent}; was the line cut?")
        number = numbers[tag] = len(tree.nodes)
        node = Node()
        _fill(node, fields)
        # Siblings that are equal stay two: the file says so.
        node.parent, node.depth = numbers[parent], tree.nodes[numbers[parent]].depth + 1
        tree.insert(node)
        if node.answer is not None:
            tree.end(number, "answer")
    for number, node in enumerate(tree.nodes):
        if node.children:
            tree.expanded(number)
    return tree


def read_trees(path: Path) -> Iterator[SearchTree]:
    """The trees of a file in either format, in its order.

    A last line that was cut, as by a run that was killed, is passed over.

    Raises:
        ValueError: another line is no tree; it is named.
    """
    for number, line in enumerate(whole_lines(path), start=1):
        try:
            record = json.loads(line)
            yield SearchTree.from_record(record) if "nodes" in record else from_mario(record)
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{path}, line {number}: {error}") from error


def whole_lines(path: Path) -> list[bytes]:
    """The lines of a file that end in a line break."""
    return path.read_bytes().split(b"\n")[:-1] if path.exists() else []


def cut_to_whole_lines(path: Path) -> int:
    """Drop a last line that was cut, so that more can be appended; returns how many lines there are."""
    lines = whole_lines(path)
    if path.exists():
        with path.open("r+b") as file:
            file.truncate(sum(len(line) + 1 for line in lines))
    return len(lines)


def _fill(node: Node, fields: Mapping[str, Any]) -> None:
    node.step = Step(
        text=fields["text"],
        code=fields.get("action_input") or None,
        observation=fields.get("extra_info") or None,
        answer=fields.get("final_answer") or None,
    )
    value = fields.get("value", UNSET)
    node.value = None if value is None or value == UNSET else float(value)
    node.visits = int(fields.get("visit_count") or 0)
    node.value_sum = node.visits * float(fields.get("q_value") or 0.0)
    node.set_prior(float(fields.get("prior", 1.0)))


def _place(tag: str) -> tuple[int, ...]:
    return tuple(map(int, tag.split(".")))
