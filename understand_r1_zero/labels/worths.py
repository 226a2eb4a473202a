"""What the nodes of a tree are worth by its ends, in [-1, 1] whatever the search's own scale was."""

from collections.abc import Callable, Sequence
from functools import lru_cache

from understand_r1_zero.search.records import facts_of
from understand_r1_zero.search.settings import METHOD_NAMES, published
from understand_r1_zero.search.step_oracle import SIGNED, Scale
from understand_r1_zero.search.tree import Node, SearchTree

Worths = list[float | None]
UNFAILED_ENDS = ("", "answer", "solved")
"""Nodes that ended otherwise have failed: they are wrong, whatever a search paid for them."""


def scale_of(tree: SearchTree) -> Scale:
    """Of the values in a tree: its method's, where the record names it, else [-1, 1] as in AlphaMath's files."""
    method = facts_of(tree).get("method", "")
    return published(method).scale if method in METHOD_NAMES else SIGNED


def end_of(node: Node) -> bool | None:
    """Whether a solution ends right at the node; a failed one does not; None where nothing is known to end."""
    if node.reward is not None:
        return node.reward > 0
    return False if not node.children and node.terminal not in UNFAILED_ENDS else None


def q(tree: SearchTree) -> Worths:
    """Q of each node, brought into [-1, 1]; None where the search never came by."""
    scale = scale_of(tree)
    return [scale.into(SIGNED, node.mean()) if node.visits else None for node in tree.nodes]


def expected(tree: SearchTree) -> Worths:
    """What the policy can expect from each node: `V(s) = sum_a n(a) V(s, a) / sum_a n(a)` over its steps a.

    n(a) is how often step a was sampled; a right end is worth 1, a wrong or failed one -1, and steps below which
    nothing ended are left out; None where all are. Where equal siblings are one node and no way is searched twice,
    Q has a rare step weigh as much as a common one, and unfinished steps' own values in it; this has neither.
    """
    found: Worths = [None] * len(tree.nodes)
    for number in range(len(tree.nodes) - 1, -1, -1):
        node = tree.nodes[number]
        if (end := end_of(node)) is not None:
            found[number] = 1.0 if end else -1.0
            continue
        known = [
            (tree.nodes[child].count, value)
            for child in node.children
            if (value := found[child]) is not None
        ]
        if known:
            found[number] = sum(n * value for n, value in known) / sum(n for n, _ in known)
    return found


WORTHS: dict[str, Callable[[SearchTree], Worths]] = {
    # Several solutions of a problem are of one tree.
    "q": lru_cache(maxsize=32)(q),
    "expected": lru_cache(maxsize=32)(expected),
}
"""By `--label_value`, those that any step of a tree can have."""


def path_values(worths: Worths, nodes: Sequence[int], is_right: bool) -> Worths:
    """What each node on the way to an end is worth, and at the end itself 1 if it is right, else -1.

    Source: AlphaMath, Chen et al. 2024, arXiv:2405.03553: the targets of its value head, by Q.
    """
    return [*(worths[number] for number in nodes[:-1]), 1.0 if is_right else -1.0]
