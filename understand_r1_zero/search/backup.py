"""What a simulation's value changes on its way up. Each function changes the statistics of a tree in place."""

from collections.abc import Callable

from understand_r1_zero.search.tree import NO_PARENT, ROOT, SearchTree

Backup = Callable[[SearchTree, int, float], None]
"""Of the value of a node, in its oracle's scale."""


def mean(tree: SearchTree, number: int, value: float) -> None:
    """`N += 1, W += v` at the node and all its ancestors, so that `Q = W / N` is the mean of what came up.

    Source: AlphaMath, Chen et al. 2024, arXiv:2405.03553, section 3.2.
    """
    while number != NO_PARENT:
        tree.nodes[number].visits += 1
        tree.nodes[number].value_sum += value
        number = tree.nodes[number].parent


def visit_weighted(tree: SearchTree, number: int, value: float) -> None:
    """The node is visited with value v; above it `N += 1, V = sum_c N_c V_c / sum_c N_c` over its children.

    Source: ReST-MCTS*, Zhang et al. 2024, arXiv:2406.03816, algorithm 2. A node's V is kept as its mean.
    """
    node = tree.nodes[number]
    _set_mean(tree, number, node.visits + 1, value)
    while number != ROOT:
        number = tree.nodes[number].parent
        children = [tree.nodes[child] for child in tree.nodes[number].children]
        visits = sum(child.visits for child in children)
        estimate = sum(child.value_sum for child in children) / visits
        _set_mean(tree, number, tree.nodes[number].visits + 1, estimate)


def terminal_only(tree: SearchTree, number: int, value: float) -> None:
    """`mean` of a terminal node with an answer; a terminal one without changes itself alone, others nothing.

    Source: rStar-Math, Guan et al. 2025, arXiv:2501.04519, section 3.2, as its code has it.
    """
    node = tree.nodes[number]
    if node.terminal and node.answer is not None:
        mean(tree, number, value)
    elif node.terminal:
        node.visits += 1
        node.value_sum += value


def nothing(tree: SearchTree, number: int, value: float) -> None:
    """A search that looks at own values alone (beams, scans)."""


def begin(tree: SearchTree, number: int) -> None:
    """A simulation is under way through the node: its virtual loss lies on it and its ancestors."""
    _pend(tree, number, 1)


def finish(tree: SearchTree, number: int) -> None:
    """The simulation that `begin` announced is over."""
    _pend(tree, number, -1)


def _pend(tree: SearchTree, number: int, change: int) -> None:
    while number != NO_PARENT:
        tree.nodes[number].pending += change
        number = tree.nodes[number].parent


def _set_mean(tree: SearchTree, number: int, visits: int, estimate: float) -> None:
    node = tree.nodes[number]
    node.visits, node.value_sum = visits, visits * estimate
