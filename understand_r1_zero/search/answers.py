"""The answer of a searched tree: its best end, or a vote of its ends. Pure functions."""

import math
from collections.abc import Callable, Sequence

from understand_r1_zero import voting
from understand_r1_zero.search.step_oracle import PROBABILITY, Scale
from understand_r1_zero.search.tree import SearchTree

AGGREGATES: dict[str, Callable[[Sequence[float]], float]] = {
    "last": lambda values: values[-1],
    "min": min,
    "product": math.prod,
    "sum": sum,
    "mean": lambda values: sum(values) / len(values),
}
"""What the values of a solution's steps make of the solution.

Source: min, product: Math-Shepherd, arXiv:2312.08935; last: Snell et al. 2024, arXiv:2408.03314."""

AreEqual = Callable[[str, str], bool]
VOTES = ("best", "majority", "weighted")


def solution_score(
    tree: SearchTree, number: int, aggregate: str, scale: Scale | None = None
) -> float:
    """`AGGREGATES` of the own values on the way to a node, those that have one; 0 where none has.

    With a scale they are brought from it into [0, 1] first, where products and weights make sense.

    Raises:
        ValueError: a value is outside the scale.
    """
    values = [node.value for node in tree.way(number) if node.value is not None]
    if scale is not None:
        if any(not scale.low <= value <= scale.high for value in values):
            raise ValueError(
                f"the steps to node {tree.tag(number)} have values {values} outside the scale "
                f"{scale.low:g} to {scale.high:g}; name the scale of the oracle that gave them"
            )
        values = [scale.into(PROBABILITY, value) for value in values]
    return AGGREGATES[aggregate](values) if values else 0.0


def vote(
    tree: SearchTree,
    finals: Sequence[int],
    are_equal: AreEqual,
    scores: Sequence[float],
    how: str,
) -> int | None:
    """The final node whose answer is chosen; None without one.

    Args:
        tree: whose nodes `finals` are.
        finals: final nodes; merged duplicates vote as often as they were sampled.
        are_equal: whether two answers are the same.
        scores: of each final node, at least 0 for "weighted".
        how: "best" (the highest score), "majority" (the most frequent answer) or "weighted" (the highest
            sum of scores); the last two then take the answer's best scored solution.

    Source: `voting`.
    """
    if not finals:
        return None
    answers = [tree.nodes[number].answer for number in finals]
    if how == "best":
        return finals[voting.best_of(scores)]
    labels = voting.class_labels(answers, are_equal)
    counts = [tree.nodes[number].count for number in finals]
    weights = counts if how == "majority" else [n * s for n, s in zip(counts, scores, strict=True)]
    chosen = voting.weighted_majority(labels, weights)
    members = [i for i, label in enumerate(labels) if label == chosen and label is not None]
    return finals[max(members, key=lambda i: scores[i])] if members else None
