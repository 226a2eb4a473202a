"""When a search ends: pure functions of how far it is."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from understand_r1_zero.search.tree import SearchTree


@dataclass(slots=True)
class Spent:
    """What a search has used so far; tokens are sampled ones."""

    simulations: int = 0
    tokens: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Limits:
    """At most so much of each; `depth` is of steps, checked where a node is added."""

    simulations: float = math.inf
    depth: float = math.inf
    tokens: float = math.inf
    seconds: float = math.inf

    def reason(self, spent: Spent) -> str:
        """Which limit is reached; empty: none."""
        for name in ("simulations", "tokens", "seconds"):
            if getattr(spent, name) >= getattr(self, name):
                return name
        return ""


Gate = Callable[[SearchTree, int], bool]
"""Whether a node that was just valued ends the search."""


def never(tree: SearchTree, number: int) -> bool:
    """No node ends the search."""
    return False


def answer_found(tree: SearchTree, number: int) -> bool:
    """The first answer does."""
    return tree.nodes[number].answer is not None


def end_gate(threshold: float) -> Gate:
    """A node whose own value is at least `threshold` does.

    Source: ReST-MCTS*, Zhang et al. 2024, arXiv:2406.03816, algorithm 2 (l).
    """

    def is_reached(tree: SearchTree, number: int) -> bool:
        value = tree.nodes[number].value
        return value is not None and value >= threshold

    return is_reached
