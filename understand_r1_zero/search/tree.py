"""Trees of partial solutions: what every search grows, and every labeller reads.

A node is one step; the path from the root to it is a partial solution. Nodes are named by their number
in the order in which they were added, the root by 0.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from understand_r1_zero.search.step import Step

ROOT = 0
NO_PARENT = -1
NO_STEP = Step("")


@dataclass(slots=True)
class Node:
    """One step of a solution, and what the search knows of it.

    `logprob` sums the step's `num_tokens` sampled tokens, in nats. `visits` and `value_sum` are the
    search's, `value` the oracle's own word, in its declared scale. `terminal` says why nothing may follow,
    empty where something may. `count` is how many equal siblings were merged into this one. `hint` is what a
    reflection said the next step should heed. `pending` counts simulations that are under way through the
    node; they are not stored.
    """

    step: Step = NO_STEP
    parent: int = NO_PARENT
    depth: int = 0
    token_ids: tuple[int, ...] = ()
    logprob: float = 0.0
    num_tokens: int = 0
    visits: int = 0
    value_sum: float = 0.0
    value: float | None = None
    terminal: str = ""
    reward: float | None = None
    count: int = 1
    hint: str = ""
    labels: dict[str, float] = field(default_factory=dict)
    children: list[int] = field(default_factory=list)
    is_expanded: bool = False
    pending: int = 0

    @property
    def text(self) -> str:
        """The step's."""
        return self.step.text

    @property
    def answer(self) -> str | None:
        """The step's, where it is a final one."""
        return self.step.answer

    @property
    def prior(self) -> float:
        """`exp(logprob / num_tokens)`, the geometric mean of the tokens' probabilities; 1 without tokens."""
        return math.exp(self.logprob / self.num_tokens) if self.num_tokens else 1.0

    def set_prior(self, prior: float) -> None:
        """As that of one token; 1 is that of none."""
        self.logprob = math.log(prior) if prior > 0 else -math.inf
        self.num_tokens = int(prior != 1)

    def mean(self, unvisited: float = 0.0) -> float:
        """Q: `value_sum / visits`."""
        return self.value_sum / self.visits if self.visits else unvisited


class SearchTree:
    """The partial solutions of one problem.

    `record` is the problem's own, kept as it is. A node is open while the search may still grow below it:
    it is not terminal, and not expanded or has an open child.
    """

    def __init__(self, record: Mapping[str, Any]) -> None:
        self.record = dict(record)
        self.nodes = [Node()]
        self._is_open = [True]

    @property
    def root(self) -> Node:
        """The problem, before any step."""
        return self.nodes[ROOT]

    def add(self, parent: int, node: Node) -> int:
        """Put a node below another and return its number, or that of a sibling with the same text.

        Such a sibling counts one more and keeps its own log-prob: it is the same step.
        """
        for number in self.nodes[parent].children:
            if self.nodes[number].text.strip() == node.text.strip():
                self.nodes[number].count += node.count
                return number
        node.parent, node.depth = parent, self.nodes[parent].depth + 1
        return self.insert(node)

    def insert(self, node: Node) -> int:
        """Put a node below its `parent`, whatever its siblings are."""
        number = len(self.nodes)
        self.nodes.append(node)
        self.nodes[node.parent].children.append(number)
        self._is_open.append(not node.terminal)
        return number

    def add_chain(self, steps: Iterable[Step]) -> int:
        """Put steps below an empty tree's root, each the only child of the one before; the last one's number."""
        number = ROOT
        for step in steps:
            child = self.add(number, Node(step))
            self.expanded(number)
            number = child
        return number

    def expanded(self, number: int) -> None:
        """No more children will come; a node without an open one is closed, and so are its ancestors."""
        self.nodes[number].is_expanded = True
        self._close_upwards(number)

    def end(self, number: int, reason: str) -> None:
        """Nothing may follow the node, for this reason."""
        assert reason, "an end has a reason"
        self.nodes[number].terminal = reason
        self._is_open[number] = False
        if number != ROOT:
            self._close_upwards(self.nodes[number].parent)

    def is_open(self, number: int) -> bool:
        """Whether the search may still grow below the node."""
        return self._is_open[number]

    def is_exhausted(self) -> bool:
        """Whether it may grow nowhere."""
        return not self._is_open[ROOT]

    def open_children(self, number: int) -> list[int]:
        """In the order in which they were added."""
        return [child for child in self.nodes[number].children if self._is_open[child]]

    def path(self, number: int) -> list[int]:
        """From the root's child down to the node; empty for the root."""
        found = []
        while number != ROOT:
            found.append(number)
            number = self.nodes[number].parent
        return found[::-1]

    def way(self, number: int) -> list[Node]:
        """The nodes of `path`."""
        return [self.nodes[step] for step in self.path(number)]

    def steps(self, number: int) -> list[Step]:
        """The partial solution, in steps."""
        return [node.step for node in self.way(number)]

    def text(self, number: int) -> str:
        """The partial solution."""
        return "".join(node.text for node in self.way(number))

    def ends(self) -> list[int]:
        """Nodes below which nothing may follow, or nothing has yet."""
        return [i for i, node in enumerate(self.nodes) if not node.children and i != ROOT]

    def finals(self) -> list[int]:
        """Nodes that give an answer."""
        return [i for i, node in enumerate(self.nodes) if node.answer is not None]

    def below(self, number: int) -> Iterator[int]:
        """The node and all under it, parents before children."""
        waiting = [number]
        while waiting:
            number = waiting.pop()
            yield number
            waiting += reversed(self.nodes[number].children)

    def tag(self, number: int) -> str:
        """Super_MARIO's name of a node: `0`, its first child `0.0`, that one's second `0.0.1`."""
        places = []
        while number != ROOT:
            parent = self.nodes[number].parent
            places.append(str(self.nodes[parent].children.index(number)))
            number = parent
        return ".".join(["0", *reversed(places)])

    def _close_upwards(self, number: int) -> None:
        while self._close(number) and number != ROOT:
            number = self.nodes[number].parent

    def _close(self, number: int) -> bool:
        """Close a node where nothing can grow; whether it is closed."""
        node = self.nodes[number]
        if node.is_expanded and not self.open_children(number):
            self._is_open[number] = False
        return not self._is_open[number]
