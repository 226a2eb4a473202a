"""A tree that is growing: who is asked for its steps and values, and what that has cost so far."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from understand_r1_zero.search.limits import Limits, Outcome, Spent
from understand_r1_zero.search.tree import ROOT, Node, SearchTree

Expand = Callable[[SearchTree, int, int], Awaitable[Sequence[Node]]]
"""So many sampled steps below a node; those that cannot be read are left out."""
Evaluate = Callable[[SearchTree, Sequence[int]], Awaitable[Sequence[float]]]
"""The value of each partial solution, in the oracle's scale."""


@dataclass(frozen=True, slots=True)
class Reflection:
    """Whether a partial solution needs no other step, and a hint for the next one where it does."""

    is_solved: bool
    hint: str = ""


Reflect = Callable[[SearchTree, int], Awaitable[Reflection]]
"""What the policy says of the partial solution that ends at a node."""


class Growth:
    """Asks for steps, values and reflections of one tree, and puts them in.

    What is asked together comes back in any order and is put in in the order in which it was asked: the
    same samples make the same tree.

    Args:
        tree: grows.
        expand: writes steps.
        evaluate: values partial solutions; None: they have no values, and all count as 0.
        limits: of the whole search.
        reflect: says whether a partial solution is solved; None: no one does.
    """

    def __init__(
        self,
        tree: SearchTree,
        expand: Expand,
        evaluate: Evaluate | None,
        limits: Limits,
        reflect: Reflect | None = None,
    ) -> None:
        self.tree = tree
        self.spent = Spent()
        self._expand = expand
        self._evaluate = evaluate
        self._limits = limits
        self._reflect = reflect
        self._reflected: set[int] = set()
        self._started_s = time.monotonic()

    def reason(self) -> str:
        """Which limit is reached; empty: none."""
        return self._limits.reason(self._spent_now())

    def has_budget(self) -> bool:
        """Whether tokens and seconds are left."""
        return self._limits.has_budget(self._spent_now())

    def outcome(self, reason: str, node: int | None = None) -> Outcome:
        """Of a search that ends now."""
        return Outcome(reason, self._spent_now(), node)

    async def expand(
        self, counts: Mapping[int, int], *, is_complete: bool = True
    ) -> list[dict[int, int]]:
        """Sample so many steps below each node; for each its new children, and how often each was sampled.

        Those with an answer, or too deep, end. `is_complete`: no other children will come.
        """
        samples = await asyncio.gather(
            *(self._expand(self.tree, number, count) for number, count in counts.items())
        )
        return [
            self._put(number, nodes, is_complete)
            for number, nodes in zip(counts, samples, strict=True)
        ]

    async def value(self, numbers: Iterable[int]) -> list[float]:
        """The values of the partial solutions that end at the nodes; one that has its own is not asked for."""
        numbers, nodes = list(numbers), self.tree.nodes
        if self._evaluate is None:
            return [0.0] * len(numbers)
        asked = [number for number in numbers if nodes[number].value is None]
        if asked:
            values = await self._evaluate(self.tree, asked)
            for number, value in zip(asked, values, strict=True):
                nodes[number].value = value
        return [nodes[number].value or 0.0 for number in numbers]

    async def reflect(self, numbers: Iterable[int]) -> None:
        """Reflect on each open node, once in a search; those that are solved end, but for the root."""
        if self._reflect is None:
            return
        asked = [n for n in numbers if n not in self._reflected and self.tree.is_open(n)]
        self._reflected.update(asked)
        said = await asyncio.gather(*(self._reflect(self.tree, number) for number in asked))
        for number, reflection in zip(asked, said, strict=True):
            self.tree.nodes[number].hint = reflection.hint
            if reflection.is_solved and number != ROOT:
                self.tree.end(number, "solved")

    def _put(self, parent: int, nodes: Sequence[Node], is_complete: bool) -> dict[int, int]:
        tree = self.tree
        added: dict[int, int] = {}
        for node in nodes:
            count = node.count
            self.spent.tokens += node.num_tokens * count
            number = tree.add(parent, node)
            added[number] = added.get(number, 0) + count
        for number in added:
            node = tree.nodes[number]
            if not node.terminal and node.answer is not None:
                tree.end(number, "answer")
            elif not node.terminal and node.depth >= self._limits.depth:
                tree.end(number, "depth")
        if is_complete:
            tree.expanded(parent)
        return added

    def _spent_now(self) -> Spent:
        self.spent.seconds = time.monotonic() - self._started_s
        return self.spent
