"""When a search ends: pure functions of how far it is."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from understand_r1_zero.search.selection import beam, estimate
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

    def has_budget(self, spent: Spent) -> bool:
        """Whether tokens and seconds are left, to end what a simulation has begun."""
        return not replace(self, simulations=math.inf).reason(spent)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Why a search ended, what it used, and the node that ended it, where one did."""

    reason: str
    spent: Spent
    node: int | None = None


Gate = Callable[[SearchTree, int], bool]
"""Whether a new node ends the search, once it is valued and backed up."""


def gated(tree: SearchTree, numbers: Iterable[int], gate: Gate) -> int | None:
    """Of the new nodes that end the search the one of the highest `estimate`; None: none does."""
    return next(iter(beam(tree, (n for n in numbers if gate(tree, n)), 1, estimate)), None)


def never(tree: SearchTree, number: int) -> bool:
    """No node ends the search."""
    return False


def answer_found(tree: SearchTree, number: int) -> bool:
    """The first answer does."""
    return tree.nodes[number].answer is not None


def end_gate(threshold: float, *, needs_answer: bool = False) -> Gate:
    """A node whose `estimate` is at least `threshold` does; `needs_answer`: only one that gives an answer.

    Without, the values must rise with the way that is done, as ReST-MCTS*'s do: by a chance of success a good
    first step may reach it.

    Source: ReST-MCTS*, Zhang et al. 2024, arXiv:2406.03816, algorithm 2 (l), which asks when it selects the
    node, a round later; nodes that ended are never selected here.
    """

    def is_reached(tree: SearchTree, number: int) -> bool:
        if needs_answer and tree.nodes[number].answer is None:
            return False
        return estimate(tree, number) >= threshold

    return is_reached
