"""OmegaPRM's data, as OpenR writes them: values of solutions' beginnings, in a list or as a tree.

    {"question", "final_answer", "reasoning_steps"}, the last one of these:
    [{"solution_prefix", "mc_value"}, ...]          flat: the problem and the steps, an empty line between
    {"text", "mc_value", "children": [...]}         a tree: the problem, below it the steps

`mc_value` is the share of completions that are right. Also read are `answer` and `data` for the last two keys, and
a list or a tree alone. The text of a node may be several steps.

Source: Luo et al. 2024, arXiv:2406.06592; openreasoner/openr, `data/omegaPRM_v2/`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from understand_r1_zero.args_rounds import LabelArgs
from understand_r1_zero.labels.explored import (
    MC_VALUE,
    drawn_share,
    first_pit,
    given_chain,
    is_explored,
    right_share,
)
from understand_r1_zero.labels.sources import ProblemGroup
from understand_r1_zero.search.records import golds_of, question_of
from understand_r1_zero.search.step import Step
from understand_r1_zero.search.tree import ROOT, Node, SearchTree

DATA_KEYS = ("reasoning_steps", "data")
ANSWER_KEYS = ("final_answer", "answer")
PREFIX, TEXT, CHILDREN = "solution_prefix", "text", "children"
BETWEEN = "\n\n"
"""What joins the problem and the steps."""


def read_record(record: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> SearchTree:
    """The tree of a problem; nodes have their share of right completions as the label `mc_value`.

    Steps end in an empty line. In a flat list a node's parent is the one with the longest prefix that its own
    begins with.

    Raises:
        ValueError: it is none of the forms, or a flat list does not begin with the problem.
    """
    if isinstance(record, Mapping):
        key = next((key for key in DATA_KEYS if key in record), None)
        if key is not None:
            cells = {name: value for name, value in record.items() if name != key}
            answer = next((cells.pop(name) for name in ANSWER_KEYS if name in cells), None)
            if answer is not None:
                cells["answer"] = answer
            return _read(record[key], cells)
    return _read(record, {})


def write_record(tree: SearchTree, *, is_nested: bool) -> dict[str, Any]:
    """The record of one problem, its data nested or flat."""
    golds = golds_of(tree.record)
    return {
        "question": question_of(tree.record),
        "final_answer": golds[0] if len(golds) == 1 else golds,
        "reasoning_steps": write_nested(tree) if is_nested else write_flat(tree),
    }


def write_rows(groups: Iterable[ProblemGroup], args: LabelArgs) -> Iterator[dict[str, Any]]:
    """A record for each tree, nested with `--label_format omega_tree`; see `values` for what is in it."""
    for group in groups:
        for tree in group.trees:
            yield write_record(tree, is_nested=args.label_format == "omega_tree")


def values(tree: SearchTree) -> dict[int, float]:
    """The nodes that are data, in order, and the share of right completions of each.

    - Of a tree that `read_record` made: all that have one.
    - Of an explored tree: the steps of the given solution after which completions were drawn, its last step
      unless the first pit comes before, and the ends of right completions, whose value is 1, as OmegaPRM's
      states are. The steps between are joined to the next state.
    - Of a search: every node above ends that are right or wrong, by the share of these that are right.
    """
    if is_explored(tree):
        found = _states(tree)
    else:
        found = {
            n: node.labels[MC_VALUE] for n, node in enumerate(tree.nodes) if MC_VALUE in node.labels
        }
        found = found or _shares_of_ends(tree)
    return dict(sorted(found.items()))


def write_nested(tree: SearchTree) -> dict[str, Any]:
    """The tree form; a root without completions has no value (null)."""
    found = values(tree)
    root = {TEXT: question_of(tree.record), MC_VALUE: found.get(ROOT), CHILDREN: []}
    written: dict[int, dict[str, Any]] = {ROOT: root}
    for number, value in found.items():
        if number != ROOT:
            above, text = _above(tree, found, number)
            written[number] = {TEXT: text, MC_VALUE: value, CHILDREN: []}
            written[above][CHILDREN].append(written[number])
    return root


def write_flat(tree: SearchTree) -> list[dict[str, Any]]:
    """The flat form, nodes in the order in which they were added; the root only if it has a value."""
    found = values(tree)
    prefixes = {ROOT: question_of(tree.record)}
    for number in found:
        if number != ROOT:
            above, text = _above(tree, found, number)
            prefixes[number] = prefixes[above] + BETWEEN + text
    return [{PREFIX: prefixes[number], MC_VALUE: value} for number, value in found.items()]


def _read(data: Any, cells: Mapping[str, Any]) -> SearchTree:
    if isinstance(data, Mapping) and TEXT in data:
        tree = SearchTree({"question": data[TEXT], **cells})
        _label(tree, ROOT, data.get(MC_VALUE))
        _read_children(tree, data)
        return tree
    if isinstance(data, Sequence) and data and all(PREFIX in entry for entry in data):
        tree = SearchTree({"question": data[0][PREFIX], **cells})
        _read_flat(tree, data)
        return tree
    raise ValueError(
        f"no data of OmegaPRM: a list of {PREFIX} and {MC_VALUE}, or {TEXT}, {MC_VALUE} and {CHILDREN}, was expected"
    )


def _read_children(tree: SearchTree, data: Mapping[str, Any]) -> None:
    waiting = [(ROOT, child) for child in reversed(data.get(CHILDREN, ()))]
    while waiting:
        parent, node = waiting.pop()
        number = _insert(tree, parent, node[TEXT], node.get(MC_VALUE))
        waiting += [(number, child) for child in reversed(node.get(CHILDREN, ()))]


def _read_flat(tree: SearchTree, data: Sequence[Mapping[str, Any]]) -> None:
    question = question_of(tree.record)
    prefixes = {ROOT: question}
    for entry in data:
        prefix = entry[PREFIX]
        if prefix == question:
            _label(tree, ROOT, entry[MC_VALUE])
            continue
        above = [n for n, earlier in prefixes.items() if prefix.startswith(earlier + BETWEEN)]
        if not above:
            raise ValueError(f"{PREFIX} must begin with the problem, got {prefix[:60]!r}")
        parent = max(above, key=lambda n: len(prefixes[n]))
        text = prefix[len(prefixes[parent]) + len(BETWEEN) :]
        prefixes[_insert(tree, parent, text, entry[MC_VALUE])] = prefix


def _insert(tree: SearchTree, parent: int, text: str, value: float | None) -> int:
    node = Node(Step(text + BETWEEN), parent=parent, depth=tree.nodes[parent].depth + 1)
    number = tree.insert(node)
    _label(tree, number, value)
    return number


def _label(tree: SearchTree, number: int, value: float | None) -> None:
    if value is not None:
        tree.nodes[number].labels[MC_VALUE] = value


def _states(tree: SearchTree) -> dict[int, float]:
    chain, pit = given_chain(tree), first_pit(tree)
    found: dict[int, float] = {}
    for number, node in enumerate(tree.nodes):
        if (share := drawn_share(tree, number)) is not None:
            found[number] = share
        elif number not in chain and (node.reward or 0.0) > 0:
            found[number] = 1.0
    last = right_share(tree, chain[-1])
    if last is not None and pit in (None, len(chain) - 1):
        found[chain[-1]] = last
    return found


def _shares_of_ends(tree: SearchTree) -> dict[int, float]:
    num_right, num_ends = [0] * len(tree.nodes), [0] * len(tree.nodes)
    for number in range(len(tree.nodes) - 1, -1, -1):
        node = tree.nodes[number]
        if node.reward is not None:
            num_right[number] += node.reward > 0
            num_ends[number] += 1
        if number != ROOT:
            num_right[node.parent] += num_right[number]
            num_ends[node.parent] += num_ends[number]
    return {n: num_right[n] / total for n, total in enumerate(num_ends) if total}


def _above(tree: SearchTree, found: Mapping[int, float], number: int) -> tuple[int, str]:
    """The state before a node's, and the text from there to it, an empty line between steps."""
    texts = []
    while not texts or not (number == ROOT or number in found):
        texts.insert(0, tree.nodes[number].text.strip())
        number = tree.nodes[number].parent
    return number, BETWEEN.join(texts)
