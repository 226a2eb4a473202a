"""Given solutions, explored: from which of their steps a policy still comes to the right answer.

The tree of an explored solution is the solution, each step the first child of the one before, and below each
step that was asked about the completions that were drawn from it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from understand_r1_zero.search.codecs.step import Reason
from understand_r1_zero.search.step import Step
from understand_r1_zero.search.step_oracle import SIGNED, Completion, Draws
from understand_r1_zero.search.step_values import first_error_binary, first_error_linear
from understand_r1_zero.search.tree import Node, SearchTree

FIRST_ERRORS = {"linear": first_error_linear, "binary": first_error_binary}
"""Scans for one step; `hard` and `soft` ask about all."""
ANSWERED = "answer"
"""Why a node ends that gives one."""

Draw = Callable[[Sequence[Step]], Awaitable[Draws]]
"""Completions of a partial solution, graded."""


@dataclass(frozen=True, slots=True)
class GivenSolution:
    """The steps of a solution that somebody wrote, at least one; if it `is_truncated` the last is cut."""

    steps: tuple[Step, ...]
    is_truncated: bool = False

    @property
    def answer(self) -> str | None:
        """What it comes to; what stands in a solution that was cut is no answer."""
        return None if self.is_truncated else self.steps[-1].answer

    @property
    def num_open(self) -> int:
        """The steps that something may follow: all but a final one, or one that was cut."""
        is_ended = self.is_truncated or self.answer is not None
        return len(self.steps) - is_ended


async def ask_about_steps(
    given: GivenSolution, draw: Draw, scan: str, *, is_right: bool
) -> dict[int, Draws]:
    """What was drawn after the first k steps, by k from 1 on.

    `hard` and `soft` ask about all open steps at once. `linear` and `binary` seek the first step after which no
    completion is right; a solution that `is_right` is itself a right completion of each of its steps, and is
    not scanned.

    Source: Math-Shepherd, Wang et al. 2024, arXiv:2312.08935, section 3.3 (all); Self-Explore, Hwang et al.
    2024, arXiv:2404.10346, section 3.2 (linear); OmegaPRM, Luo et al. 2024, arXiv:2406.06592, section 3.2
    (binary). None of them asks about the problem alone, before the first step.
    """
    drawn: dict[int, Draws] = {}

    async def is_reachable(end: int) -> bool:
        drawn[end] = await draw(given.steps[:end])
        return any(drawn[end].is_right)

    if scan not in FIRST_ERRORS:
        await asyncio.gather(*map(is_reachable, range(1, given.num_open + 1)))
    elif not is_right:
        await FIRST_ERRORS[scan](given.num_open, is_reachable)
    return drawn


def explored_tree(
    given: GivenSolution, drawn: Mapping[int, Draws], *, is_right: bool | None
) -> tuple[SearchTree, int]:
    """The tree of an explored solution, and the node of its last step.

    Nodes that were asked about have the labels `num_right` and `num_completions`; ends have a `reward`, 1 or -1.
    Equal completions stay apart. Where nothing is known (`is_right` None) there is neither.
    """
    tree = SearchTree({})
    steps = list(given.steps)
    # What looks like an answer in a text that goes on behind it is none.
    steps[-1] = replace(steps[-1], answer=given.answer)
    last = tree.add_chain(steps)
    if is_right is not None:
        tree.nodes[last].reward = SIGNED.high if is_right else SIGNED.low
        chain = tree.path(last)
        for end, found in sorted(drawn.items()):
            _add_completions(tree, chain[end - 1], found)
    if given.num_open < len(steps):
        tree.end(last, str(Reason.TRUNCATED) if given.is_truncated else ANSWERED)
    return tree, last


def _add_completions(tree: SearchTree, number: int, found: Draws) -> None:
    tree.nodes[number].labels = {
        "num_right": sum(found.is_right),
        "num_completions": len(found.is_right),
    }
    for completion, is_right in zip(found.completions, found.is_right, strict=True):
        if completion is not None:
            _add_completion(tree, number, completion, is_right)
    tree.expanded(number)


def _add_completion(tree: SearchTree, number: int, completion: Completion, is_right: bool) -> None:
    for step in completion.steps:
        parent, depth = number, tree.nodes[number].depth + 1
        number = tree.insert(Node(step, parent=parent, depth=depth))
        tree.expanded(parent)
    tree.nodes[number].reward = SIGNED.high if is_right else SIGNED.low
    is_answered = tree.nodes[number].answer is not None
    tree.end(number, ANSWERED if is_answered else str(Reason.NO_ANSWER))
