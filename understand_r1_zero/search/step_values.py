"""What the steps of finished trees are worth: labels made of right and wrong ends. Pure functions.

Ends are nodes with a `reward`, above 0 where the answer is right.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from understand_r1_zero.search.tree import ROOT, SearchTree

IsRight = Callable[[int], Awaitable[bool]]
"""Whether the first k steps of a solution can still lead to the right answer."""


def weighted_values(num_left: Sequence[int], is_good: Sequence[bool]) -> list[float]:
    """ReST-MCTS*'s value of each step of one path, in [0, 1].

    `v_0 = 0`, `w_k = (1 - v_{k-1}) / (m_k + 1) (1 - 2 r_k)`, `v_k = max(v_{k-1} + w_k, 0)`: a good step covers its
    share of the way that is left, a bad one loses as much.

    Args:
        num_left: m_k, how many steps at least lead from step k to a right answer.
        is_good: r_k = 0.

    Source: Zhang et al. 2024, arXiv:2406.03816, eq. 2 and 3.
    """
    value, values = 0.0, []
    for left, good in zip(num_left, is_good, strict=True):
        step = (1 - value) / (left + 1)
        value = max(value + step if good else value - step, 0.0)
        values.append(value)
    return values


@dataclass(frozen=True, slots=True)
class StepLabel:
    """`num_left` (m_k) steps at least to a right answer, and `is_good`: one is below the node."""

    num_left: int
    is_good: bool


def rest_labels(tree: SearchTree) -> dict[int, StepLabel]:
    """ReST-MCTS*'s labels of every node on a way to an end with a reward.

    A right end has m = 0, a node above one m = 1 + the least of its good children. A node that leads to wrong
    ends alone is bad, and inherits m from the deepest ancestor that is good; without one it has no label.

    Source: as `weighted_values`; its code counts m + 1.
    """
    least: dict[int, int] = {}
    is_finished: set[int] = set()
    for number in range(len(tree.nodes) - 1, -1, -1):
        node = tree.nodes[number]
        good = [least[child] + 1 for child in node.children if child in least]
        if node.reward is not None and node.reward > 0:
            good.append(0)
        if good:
            least[number] = min(good)
        if node.reward is not None or any(child in is_finished for child in node.children):
            is_finished.add(number)
    labels: dict[int, StepLabel] = {}
    for number in tree.below(ROOT):
        if number == ROOT or number not in is_finished:
            continue
        if number in least:
            labels[number] = StepLabel(least[number], True)
            continue
        parent = tree.nodes[number].parent
        if parent in labels:
            labels[number] = StepLabel(labels[parent].num_left, False)
        elif parent == ROOT and ROOT in least:
            labels[number] = StepLabel(least[ROOT], False)
    return labels


def rest_values(tree: SearchTree) -> dict[int, float]:
    """`weighted_values` of every node that `rest_labels` labels."""
    labels = rest_labels(tree)
    values = {}
    for number in labels:
        path = tree.path(number)
        found = weighted_values(
            [labels[step].num_left for step in path], [labels[step].is_good for step in path]
        )
        values[number] = found[-1]
    return values


def simple_value(depth: int, num_steps: int, is_good: bool) -> float:
    """`k / K` of a step at depth k on a way of K steps to a right answer; off it `(k - 2) / K`, at least 0.

    Source: ReST-MCTS*'s code, "simple" labels: the parent's depth less one.
    """
    return (depth if is_good else max(depth - 2, 0)) / num_steps


def hard_estimate(is_right: Sequence[bool]) -> float:
    """1 where any completion of a step is right, else 0.

    Source: Math-Shepherd, Wang et al. 2024, arXiv:2312.08935, eq. 3.
    """
    return float(any(is_right))


def soft_estimate(is_right: Sequence[bool]) -> float:
    """The share of a step's completions that are right.

    Source: Math-Shepherd, eq. 4.
    """
    return sum(is_right) / len(is_right)


async def first_error_linear(num_steps: int, is_right: IsRight) -> int | None:
    """The first step, counted from 1, after which the answer is out of reach; None: there is none.

    Asks for one step after another, and stops at the first that fails.

    Source: Self-Explore, Hwang et al. 2024, arXiv:2404.10346, section 3.2 (the first pit).
    """
    for k in range(1, num_steps + 1):
        if not await is_right(k):
            return k
    return None


async def first_error_binary(num_steps: int, is_right: IsRight) -> int | None:
    """As `first_error_linear`, with at most `1 + log2(num_steps)` questions.

    The same where, once out of reach, the answer stays so; elsewhere some error, not the first.

    Source: OmegaPRM, Luo et al. 2024, arXiv:2406.06592, section 3.2.
    """
    right, wrong = 0, num_steps + 1
    while wrong - right > 1:
        middle = (right + wrong) // 2
        if await is_right(middle):
            right = middle
        else:
            wrong = middle
    return wrong if wrong <= num_steps else None
