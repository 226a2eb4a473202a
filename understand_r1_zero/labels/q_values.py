"""What the nodes of a tree are worth, in [-1, 1] whatever the search's own scale was."""

from collections.abc import Sequence

from understand_r1_zero.search.records import facts_of
from understand_r1_zero.search.settings import METHOD_NAMES, published
from understand_r1_zero.search.step_oracle import SIGNED, Scale
from understand_r1_zero.search.tree import SearchTree


def scale_of(tree: SearchTree) -> Scale:
    """Of the values in a tree: its method's, where the record names it, else [-1, 1] as in AlphaMath's files."""
    method = facts_of(tree).get("method", "")
    return published(method).scale if method in METHOD_NAMES else SIGNED


def q_of(tree: SearchTree, number: int) -> float | None:
    """Q of a node, brought into [-1, 1]; None where the search never came by."""
    node = tree.nodes[number]
    return scale_of(tree).into(SIGNED, node.mean()) if node.visits else None


def path_values(tree: SearchTree, nodes: Sequence[int], is_right: bool) -> list[float | None]:
    """Q of each node on the way to an end, and at the end itself 1 if it is right, else -1.

    Source: AlphaMath, Chen et al. 2024, arXiv:2405.03553: the targets of its value head.
    """
    return [*(q_of(tree, number) for number in nodes[:-1]), 1.0 if is_right else -1.0]
