"""Trees in files, a line each: Super_MARIO's records, which its own tools read, without loss for ours."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict, cast

from understand_r1_zero.search.step import Step
from understand_r1_zero.search.tree import ROOT, Node, SearchTree

MARIO_KEYS = ("react", "rstar")
"""Where AlphaMath's and rStar-Math's files keep the tree of a record."""
OUR_KEY = "ours"
"""Where a node of ours keeps what Super_MARIO has no key for; its tools pass over unknown keys."""
UNSET = -100.0
"""Super_MARIO's value of a node that has none."""
FAILURES = {
    "Fail to generate parsable text for next step.": "no step",
    "Fail to sove the problem within limited steps.": "depth",
    "Too many consecutive steps have code errors.": "code errors",
}
"""What Super_MARIO and rStar-Math write as the answer of a node that ended without one, and why it did."""
FACTS_KEY = "search"
"""Where a record says how it was searched."""
QUESTION_KEYS = ("question", "problem", "query", "content")
GOLD_KEYS = ("answer", "real_answer", "ground_truth")
_ROOT_INFO = "question: "
_OWN_FIELDS = (
    "token_ids",
    "logprob",
    "num_tokens",
    "value",
    "value_sum",
    "terminal",
    "reward",
    "count",
    "hint",
    "labels",
    "is_expanded",
)
_STEP_FIELDS = ("observation_start", "has_failed")
_TEXTS = {"code": "action_input", "observation": "extra_info", "answer": "final_answer"}
"""Parts of a step, and the keys that hold them; empty there means that the step has no such part."""
_NEW = Node()


class SearchFacts(TypedDict, total=False):
    """What `record["search"]` says of the search that grew the tree; any of it may be missing.

    `place` is the question's in its file, `reason` why the search ended, `tokens` how many it sampled for
    steps, without what oracles and reflections sample, `chosen` the tag of the node whose answer it gave,
    `status` the verdict on that answer (a `Status`), `samples` the whole solutions that were asked for. Of an explored
    solution `given` is the tag of its last step, `scan` how its steps were asked about (`--mc_mode`), and `status` the
    verdict on itself. The rest says by what the tree was made (`made_by.py`), and `problem` which training problem's it is.
    """

    place: int
    method: str
    seed: int
    reason: str
    simulations: int
    tokens: int
    seconds: float
    chosen: str
    given: str
    scan: str
    status: str
    problem: str
    collect: str
    policy: str
    preset: str
    oracle: str
    codec: str
    template: str
    samples: int


def to_record(tree: SearchTree, key: str = "react") -> dict[str, Any]:
    """Super_MARIO's record of a tree: the problem's own, and under `key` its nodes by tag, as they were added.

    Each has Super_MARIO's nine keys, and under `ours` the rest, where it differs from a new node's: all but
    simulations under way is kept. The record's `solutions` lie beside the nodes, where Super_MARIO has them.
    """
    record = dict(tree.record)
    nodes: dict[str, Any] = {}
    for number, node in enumerate(tree.nodes):
        nodes[tree.tag(number)] = {
            "text": node.text,
            "extra_info": node.step.observation or "",
            "action": "" if node.step.code is None else "python_interpreter",
            "action_input": node.step.code or "",
            "final_answer": node.answer or "",
            "value": UNSET if node.value is None else node.value,
            "q_value": node.mean(),
            "prior": node.prior,
            "visit_count": node.visits,
            OUR_KEY: _own_fields(node),
        }
    if tree.root.step.observation is None and (question := question_of(record)):
        nodes[tree.tag(ROOT)]["extra_info"] = _ROOT_INFO + question
    if "solutions" in record:
        nodes["solutions"] = record.pop("solutions")
    return {**record, key: nodes}


def from_record(record: Mapping[str, Any]) -> SearchTree:
    """The tree of a record of ours, Super_MARIO's or rStar-Math's.

    Nodes of ours come in the order of the file, so that they keep their numbers; others in that of their
    tags, with a prior as that of one token. rStar-Math counts children from 1: its tags change, also in
    `solutions`.

    Raises:
        ValueError: it holds no tree, a node at fault, or a node without its parent.
    """
    key = next((key for key in MARIO_KEYS if key in record), None)
    if key is None:
        raise ValueError(f"this record has no tree: it lacks {' and '.join(MARIO_KEYS)}")
    tree = SearchTree({name: value for name, value in record.items() if name != key})
    nodes = dict(record[key])
    solutions = nodes.pop("solutions", None)
    is_ours = OUR_KEY in nodes.get("0", {})
    numbers: dict[str, int] = {}
    for tag in nodes if is_ours else sorted(nodes, key=_place):
        parent = tag.rpartition(".")[0]
        if tag == "0":
            _fill(tree.root, tag, nodes[tag])
        elif parent not in numbers:
            raise ValueError(f"node {tag} has no parent {parent or 0}; was the line cut?")
        else:
            # Siblings that are equal stay two: the file says so.
            node = Node(parent=numbers[parent], depth=tree.nodes[numbers[parent]].depth + 1)
            _fill(node, tag, nodes[tag])
            tree.insert(node)
        numbers[tag] = len(numbers)
    for number in range(len(tree.nodes) - 1, -1, -1):
        node = tree.nodes[number]
        if node.terminal:
            tree.end(number, node.terminal)
        if node.is_expanded or (node.children and not is_ours):
            tree.expanded(number)
    if solutions is not None:
        tags = {tag: tree.tag(number) for tag, number in numbers.items()}
        tree.record["solutions"] = [
            {**entry, "tag": tags.get(entry["tag"], entry["tag"])} for entry in solutions
        ]
    return tree


def read_trees(path: Path) -> Iterator[SearchTree]:
    """The trees of a file, in its order.

    A last line that was cut, as by a run that was killed, is passed over.

    Raises:
        ValueError: another line is no tree; it is named.
    """
    for number, line in enumerate(whole_lines(path), start=1):
        try:
            yield from_record(json.loads(line))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"{path}, line {number}: {error}") from error


def read_records(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a file as they stand; as `read_trees`."""
    for number, line in enumerate(whole_lines(path), start=1):
        try:
            record = json.loads(line)
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from error
        if not isinstance(record, dict):
            raise ValueError(f"{path}, line {number}: it is no record")
        yield record


def whole_lines(path: Path) -> Iterator[bytes]:
    """The lines of a file that end in a line break, without it; none where there is no file."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield line[:-1]


def cut_to_whole_lines(path: Path) -> int:
    """Drop a last line that was cut, so that more can be appended; returns how many lines there are."""
    lengths = [len(line) + 1 for line in whole_lines(path)]
    if path.exists():
        with path.open("r+b") as file:
            file.truncate(sum(lengths))
    return len(lengths)


def question_of(record: Mapping[str, Any]) -> str:
    """The problem's text, under the first of `QUESTION_KEYS` that there is; empty without one."""
    return next((str(record[key]) for key in QUESTION_KEYS if record.get(key)), "")


def golds_of(record: Mapping[str, Any]) -> list[str]:
    """The problem's right answers, under the first of `GOLD_KEYS` that there is; none without one."""
    found = next((record[key] for key in GOLD_KEYS if record.get(key) is not None), [])
    return [str(gold) for gold in found] if isinstance(found, list | tuple) else [str(found)]


def facts_of(tree: SearchTree) -> SearchFacts:
    """What the record says of the search; nothing where it says nothing."""
    found = tree.record.get(FACTS_KEY)
    return cast(SearchFacts, found) if isinstance(found, dict) else {}


def chosen_of(tree: SearchTree) -> int | None:
    """The node whose answer the search gave: the record's `chosen`, else the first of its `solutions`."""
    tag = facts_of(tree).get("chosen")
    if tag is None and (solutions := tree.record.get("solutions")):
        tag = solutions[0]["tag"]
    return next((n for n in range(len(tree.nodes)) if tree.tag(n) == tag), None)


def solution_entries(tree: SearchTree, finals: Sequence[int]) -> list[dict[str, Any]]:
    """What Super_MARIO's beams write of final nodes as a record's `solutions`, in the order given."""
    golds = golds_of(tree.record)
    return [
        {
            "question": question_of(tree.record),
            "ground_truth": golds[0] if len(golds) == 1 else golds or None,
            "value": UNSET if tree.nodes[number].value is None else tree.nodes[number].value,
            "final_answer": tree.nodes[number].answer or "",
            "solution": tree.text(number),
            "tag": tree.tag(number),
        }
        for number in finals
    ]


def _own_fields(node: Node) -> dict[str, Any]:
    own = {
        name: value for name in _OWN_FIELDS if (value := getattr(node, name)) != getattr(_NEW, name)
    }
    own |= {
        name: value
        for name in _STEP_FIELDS
        if (value := getattr(node.step, name)) != getattr(_NEW.step, name)
    }
    if empty := [part for part in _TEXTS if getattr(node.step, part) == ""]:
        own["empty"] = empty
    if node.logprob == -math.inf:
        own["logprob"] = None
    return own


def _fill(node: Node, tag: str, fields: Mapping[str, Any]) -> None:
    try:
        if OUR_KEY in fields:
            _fill_ours(node, fields, fields[OUR_KEY])
        else:
            _fill_foreign(node, fields)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"node {tag} is at fault: {error}") from error
    if tag == "0" and (node.step.observation or "").startswith(_ROOT_INFO):
        node.step = Step(node.text)


def _fill_ours(node: Node, fields: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    own = dict(own)
    empty = own.pop("empty", ())
    step = {name: own.pop(name) for name in _STEP_FIELDS if name in own}
    if unknown := own.keys() - set(_OWN_FIELDS):
        raise ValueError(f"{OUR_KEY} has unknown keys: {', '.join(sorted(unknown))}")
    parts = {part: "" if part in empty else fields[place] or None for part, place in _TEXTS.items()}
    node.step = Step(fields["text"], **parts, **step)
    node.visits = fields["visit_count"]
    for name, value in own.items():
        setattr(node, name, value)
    node.token_ids = tuple(node.token_ids)
    if node.logprob is None:
        node.logprob = -math.inf


def _fill_foreign(node: Node, fields: Mapping[str, Any]) -> None:
    answer = fields.get("final_answer") or None
    if answer is not None:
        node.terminal = FAILURES.get(answer, "answer")
    node.step = Step(
        text=fields["text"],
        code=fields.get("action_input") or None,
        observation=fields.get("extra_info") or None,
        answer=answer if node.terminal == "answer" else None,
    )
    value = fields.get("value", UNSET)
    node.value = None if value is None or value == UNSET else float(value)
    node.visits = int(fields.get("visit_count") or 0)
    node.value_sum = node.visits * float(fields.get("q_value") or 0.0)
    node.set_prior(float(fields.get("prior", 1.0)))


def _place(tag: str) -> tuple[int, ...]:
    return tuple(map(int, tag.split(".")))
