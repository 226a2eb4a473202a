"""Grades a second: our pool with two workers over a bare loop of math-verify in one process.

Three figures of the same rounds, on pairs of MATH test answers (math_answers.py): of all pairs, of
those that the exact path leaves to the workers, and of those of two integers.
"""

import statistics
from collections.abc import Sequence

from bench.graders import NUM_WORKERS
from bench.math_answers import PARTS
from bench.result import Result
from bench.scale import Scale
from bench.side import Round, Side, take_turns

FIGURES = {
    "grader": (PARTS, 1.8),
    "grader_workers": (("workers",), 1.0),
    "grader_integers": (("integers",), 20.0),
}
"""What each figure counts, and its target."""


def run(scale: Scale) -> list[Result]:
    """Measure them."""
    golds = str(scale.golds)
    with (
        Side("bench.graders", ["ours", golds]) as ours,
        Side("bench.graders", ["theirs", golds]) as theirs,
    ):
        ours.wait_until_ready()
        theirs.wait_until_ready()
        mine, others = take_turns(ours, theirs, scale.rounds, scale.warm_up)
    return [
        Result(
            name,
            "grades/s",
            _grades_per_s(mine, parts),
            _grades_per_s(others, parts),
            target,
            details={
                "workers": NUM_WORKERS,
                "median_pairs_a_round": statistics.median(_total(mine, parts)),
                "share_same_text": _share(mine, parts, "_same_text"),
                "share_own": _share(mine, parts, "_own"),
                "share_as_expected_ours": _share(mine, parts, "_as_expected"),
                "share_as_expected_theirs": _share(others, parts, "_as_expected"),
            },
        )
        for name, (parts, target) in FIGURES.items()
    ]


def _total(rounds: Sequence[Round], parts: Sequence[str], suffix: str = "") -> list[float]:
    """The sum over the parts, of each round."""
    return [sum(one_round[part + suffix] for part in parts) for one_round in rounds]


def _grades_per_s(rounds: Sequence[Round], parts: Sequence[str]) -> list[float]:
    counts, seconds = _total(rounds, parts), _total(rounds, parts, "_seconds")
    return [count / time_s for count, time_s in zip(counts, seconds, strict=True)]


def _share(rounds: Sequence[Round], parts: Sequence[str], suffix: str) -> float:
    """Of pairs. As expected: own answers right, others wrong, though two problems may share one."""
    return sum(_total(rounds, parts, suffix)) / sum(_total(rounds, parts))
