"""What verifiers make of N sampled solutions: best of n and weighted votes beside self-consistency. Pure functions.

In the papers' names: SC is the majority's answer, ORM and PRM the best of n by a verifier's value of a solution, and
SC+ORM and SC+PRM the answer with the highest sum of such values.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from understand_r1_zero.scoring import (
    Estimate,
    Outcome,
    bootstrap,
    problem_statistics,
    sample_sizes,
)
from understand_r1_zero.search.answers import AGGREGATES
from understand_r1_zero.search.sampled import SampledQuestion
from understand_r1_zero.search.step_oracle import PROBABILITY, Scale, scale_of
from understand_r1_zero.voting import Labels

VERIFIER_AGGREGATES = ("last", "min", "product")
"""Of `AGGREGATES`: those that papers verify by."""
VOTES = {"maj": "SC", "best": "{}", "weighted": "SC+{}", "pass": "pass@n"}
"""Statistics of `problem_statistics`, and what the table calls them."""


@dataclass(frozen=True, slots=True)
class Score:
    """A verifier by its name, and how the values of a solution's steps become one."""

    verifier: str
    aggregate: str


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: what a method's answer is right of, for each number n of solutions.

    `vote` is in `VOTES`, `score` None for SC and pass@n. `over_sc` is the mean over questions of the difference to SC
    at the largest n, None for SC itself.
    """

    vote: str
    score: Score | None
    accuracy: Mapping[int, Estimate]
    over_sc: Estimate | None

    @property
    def name(self) -> str:
        """As the papers have it, with the aggregate."""
        if self.score is None:
            return VOTES[self.vote]
        return f"{VOTES[self.vote].format(self.score.verifier)} ({self.score.aggregate})"


def parse_verifiers(spec: str) -> dict[str, str]:
    """Directories by name, of `NAME=DIR,NAME=DIR`; none of the empty text.

    Raises:
        ValueError: a part is no such pair, or two have one name.
    """
    found: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in spec.split(","))):
        name, is_pair, directory = (each.strip() for each in part.partition("="))
        if not (is_pair and name and directory):
            raise ValueError(f"--verifiers must be NAME=DIR,NAME=DIR, got {part!r}; name each one")
        if name in found:
            raise ValueError(f"--verifiers names {name} twice; give each verifier its own name")
        found[name] = directory
    return found


def scores_of(
    verifier: str,
    values: Sequence[Sequence[Sequence[float] | None]],
    scale: Scale,
    aggregates: Sequence[str] = VERIFIER_AGGREGATES,
) -> dict[Score, list[list[float]]]:
    """What each solution is worth by each aggregate: (questions, N).

    Values are brought into [0, 1] first, where products and weights make sense. A solution without an answer is worth
    less than any other (-inf), and votes for nothing.

    Args:
        verifier: its name.
        values: (questions, N, steps), None for a solution without an answer.
        scale: of the values.
        aggregates: names in `AGGREGATES`.

    Raises:
        ValueError: a value is outside the scale.
    """
    flat = [value for own in values for each in own if each for value in each]
    if any(not scale.low <= value <= scale.high for value in flat):
        raise ValueError(
            f"{verifier} has values from {min(flat):g} to {max(flat):g}, outside its scale "
            f"{scale.low:g} to {scale.high:g}"
        )
    scaled = [
        [each and [scale.into(PROBABILITY, value) for value in each] for each in own]
        for own in values
    ]
    return {
        Score(verifier, name): [
            [AGGREGATES[name](each) if each else -math.inf for each in own] for own in scaled
        ]
        for name in aggregates
    }


def scores_in_file(questions: Sequence[SampledQuestion]) -> dict[Score, list[list[float]]]:
    """`scores_of` the values that a file of trees has, as far as all solutions with an answer have them.

    Where a search has valued the last steps alone, there is no other aggregate; where it has valued none, no score.

    Raises:
        ValueError: a value is below -1 or above 1.
    """
    answered = [each for q in questions for each in q.solutions if each.answer is not None]
    if not answered or any(not each.values or each.values[-1] is None for each in answered):
        return {}
    is_whole = all(None not in each.values for each in answered)
    values = [
        [
            None if each.answer is None else [value for value in each.values if value is not None]
            for each in question.solutions
        ]
        for question in questions
    ]
    scale = scale_of(value for own in values for each in own for value in each or ())
    return scores_of("values", values, scale, VERIFIER_AGGREGATES if is_whole else ("last",))


def verifier_table(
    questions: Sequence[SampledQuestion],
    labels: Sequence[Labels],
    scores: Mapping[Score, Sequence[Sequence[float]]],
) -> list[Row]:
    """Accuracies of pass@n, of SC, of the best of n by each score, and of the votes weighted by each.

    For n = 1, 2, 4, ... and N. For n < N each is the mean over the N // n runs of n solutions in order, pass@n over all
    choices of n (`scoring.problem_statistics`). Intervals, also of the differences to SC, which are paired, are of one
    bootstrap over questions.

    Args:
        questions: (P), each with N solutions, in the order of their drawing or one that is as good.
        labels: (P, N), the classes of their answers.
        scores: (P, N) each.

    Source: self-consistency, Wang et al. 2023, arXiv:2203.11171; best of n, Cobbe et al. 2021, arXiv:2110.14168; weighted
    by a verifier, Li et al. 2023, arXiv:2206.02336. Math-Shepherd, Wang et al. 2024, arXiv:2312.08935, and ReST-MCTS*,
    Zhang et al. 2024, arXiv:2406.03816, compare verifiers like this.
    """
    sizes = sample_sizes(len(questions[0].solutions))
    statuses = [[each.status for each in question.solutions] for question in questions]
    methods: list[tuple[str, Score | None]] = [("pass", None), ("maj", None)]
    methods += [(vote, score) for vote in ("best", "weighted") for score in scores]
    columns: dict[tuple[str, Score | None], np.ndarray] = {}
    for score in (None, *scores):
        rows = [
            problem_statistics(
                Outcome(statuses[place], labels[place], scores[score][place] if score else ()),
                sizes,
            )
            for place in range(len(questions))
        ]
        for vote in ("pass", "maj") if score is None else ("best", "weighted"):
            columns[vote, score] = np.array([[row[f"{vote}@{n}"] for n in sizes] for row in rows])
    majority = columns["maj", None][:, -1:]
    blocks = [
        np.hstack([columns[method], columns[method][:, -1:] - majority]) for method in methods
    ]
    width = len(sizes) + 1
    estimates = bootstrap(np.hstack(blocks))
    found = []
    for place, (vote, score) in enumerate(methods):
        own = estimates[place * width : (place + 1) * width]
        accuracy = dict(zip(sizes, own, strict=False))
        found.append(Row(vote, score, accuracy, None if vote == "maj" else own[-1]))
    return found
