"""Which of a problem's responses answer alike, and which answer a vote picks: pure functions."""

from collections import Counter
from collections.abc import Callable, Sequence

Labels = Sequence[int | None]
"""The class of each response's answer, numbered as they first appear; None where it gives none."""


def class_labels(
    answers: Sequence[str | None], are_equal: Callable[[str, str], bool]
) -> list[int | None]:
    """The class of each answer: equal texts, or `are_equal(answer, first)` to the first of a class.

    A text is compared once, with the first answer of each class in turn up to the one it joins, so
    that d different texts in c classes cost at most d c comparisons. Where equality is not
    transitive, as with a tolerance, the first answers decide.
    """
    firsts: list[str] = []
    known: dict[str, int] = {}
    for answer in answers:
        if answer is None or answer in known:
            continue
        joined = (label for label, first in enumerate(firsts) if are_equal(answer, first))
        known[answer] = next(joined, len(firsts))
        if known[answer] == len(firsts):
            firsts.append(answer)
    return [None if answer is None else known[answer] for answer in answers]


def majority(labels: Labels) -> int | None:
    """The class that most responses are in; of equally large ones the first; None without answers.

    Source: Wang et al. 2023, arXiv:2203.11171 (self-consistency).
    """
    votes = Counter(label for label in labels if label is not None)
    return max(votes, key=votes.__getitem__, default=None)


def weighted_majority(labels: Labels, scores: Sequence[float]) -> int | None:
    """The class with the highest sum of scores; of equal ones the first; None without answers.

    Meant for scores of at least 0, such as probabilities: sums of negative ones favour rare answers.

    Source: Li et al. 2023, arXiv:2206.02336 (DiVeRSe).
    """
    totals: dict[int, float] = {}
    for label, score in zip(labels, scores, strict=True):
        if label is not None:
            totals[label] = totals.get(label, 0.0) + score
    return max(totals, key=totals.__getitem__, default=None)


def best_of(scores: Sequence[float]) -> int:
    """The position of the highest score, the first of equal ones, whether it answers or not.

    Source: Cobbe et al. 2021, arXiv:2110.14168.
    """
    return max(range(len(scores)), key=scores.__getitem__)
