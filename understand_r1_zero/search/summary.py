"""What a file of trees amounts to, in lines for a terminal. Pure functions."""

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from understand_r1_zero.console import duration, table
from understand_r1_zero.search.records import chosen_of, facts_of
from understand_r1_zero.search.tree import SearchTree
from understand_r1_zero.types import Status


@dataclass(frozen=True, slots=True)
class TreeSize:
    """How large a tree is; `depth` is of its deepest node, `visits` the root's, the root is no node here.

    `tokens` were sampled, also for steps that were dropped where the record says so; `seconds` is None where
    it does not.
    """

    nodes: int
    depth: int
    answers: int
    visits: int
    tokens: int
    seconds: float | None


def tree_size(tree: SearchTree) -> TreeSize:
    """Of one tree."""
    facts = facts_of(tree)
    return TreeSize(
        nodes=len(tree.nodes) - 1,
        depth=max(node.depth for node in tree.nodes),
        answers=len(tree.finals()),
        visits=tree.root.visits,
        tokens=facts.get("tokens", sum(node.num_tokens * node.count for node in tree.nodes)),
        seconds=facts.get("seconds"),
    )


def is_right(tree: SearchTree, number: int) -> bool | None:
    """Whether a final node's answer is right, by its reward; None where that is not known."""
    reward = tree.nodes[number].reward
    return None if reward is None else reward > 0


def is_solved(tree: SearchTree) -> bool | None:
    """Whether the chosen answer is right, by the record's status, else its reward; None: not known.

    A tree without any answer is not solved.
    """
    status = facts_of(tree).get("status")
    if status is not None:
        return None if status == Status.UNKNOWN else status == Status.CORRECT
    chosen = chosen_of(tree)
    if chosen is None:
        return None if tree.finals() else False
    return is_right(tree, chosen)


def summary_lines(trees: Iterable[SearchTree]) -> list[str]:
    """Questions, solved ones, and means of size and cost; one pass, one tree in memory at a time."""
    sizes: list[TreeSize] = []
    solved: Counter[bool | None] = Counter()
    reasons: Counter[str] = Counter()
    num_reachable = num_without = 0
    for tree in trees:
        finals = tree.finals()
        sizes.append(tree_size(tree))
        solved[is_solved(tree)] += 1
        num_reachable += any(is_right(tree, number) for number in finals)
        num_without += not finals
        if reason := facts_of(tree).get("reason"):
            reasons[reason] += 1
    if not sizes:
        return ["no trees"]
    return [
        *table(_count_rows(len(sizes), solved, num_reachable, num_without)),
        "",
        *table(_size_rows(sizes)),
        *(
            ["", "ended by  " + ", ".join(f"{r} {n}" for r, n in reasons.most_common())]
            if reasons
            else []
        ),
    ]


def _count_rows(
    num_trees: int, solved: Counter[bool | None], num_reachable: int, num_without: int
) -> list[list[str]]:
    num_known = num_trees - solved[None]
    rows = [["questions", str(num_trees), ""]]
    if num_known:
        rows.append(["solved", str(solved[True]), f"{solved[True] / num_known:.1%}"])
    if num_reachable:
        rows.append(
            ["a right answer found", str(num_reachable), f"{num_reachable / num_trees:.1%}"]
        )
    if num_without:
        rows.append(["without an answer", str(num_without), f"{num_without / num_trees:.1%}"])
    if solved[None]:
        rows.append(["not graded", str(solved[None]), f"{solved[None] / num_trees:.1%}"])
    return rows


def _size_rows(sizes: Sequence[TreeSize]) -> list[list[str]]:
    rows = [["of a tree", "mean", "median", "most"]]
    for name, label in (
        ("nodes", "nodes"),
        ("depth", "depth"),
        ("answers", "answers"),
        ("visits", "visits"),
        ("tokens", "sampled tokens"),
    ):
        values = [getattr(size, name) for size in sizes]
        figures = statistics.fmean(values), statistics.median(values), max(values)
        rows.append([label, *(f"{figure:.1f}".removesuffix(".0") for figure in figures)])
    seconds = [size.seconds for size in sizes if size.seconds is not None]
    if seconds:
        figures = statistics.fmean(seconds), statistics.median(seconds), max(seconds)
        rows.append(["time", *map(duration, figures)])
    return rows
