"""Values of the steps of solutions, right and wrong: rows {prompt, steps, values} for `--value_data`.

A row's prompt is the codec's, to be taken as it is; steps without a value have null. A solution that is right has
1 as its last value, and no other has, so that `--value_joint` trains the policy on right ones alone. Where an
interpreter wrote a part of the solution, `trained_spans` are the characters that the policy wrote.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any

from understand_r1_zero.args_rounds import LabelArgs
from understand_r1_zero.labels.explored import first_pit, right_share
from understand_r1_zero.labels.rewritten import written
from understand_r1_zero.labels.solutions import LeftOut, Solution, select, solutions_of
from understand_r1_zero.labels.sources import ProblemGroup
from understand_r1_zero.labels.worths import WORTHS, path_values
from understand_r1_zero.search.codecs.step import StepCodec, ended
from understand_r1_zero.search.records import FACTS_KEY
from understand_r1_zero.search.step_values import (
    StepLabel,
    rest_labels,
    rest_values,
    simple_value,
)
from understand_r1_zero.search.tree import ROOT, SearchTree

Values = list[float | None]
COUNTED = ("hard", "soft")
"""Values of `--label_value` that need completions of the steps of a given solution."""


def rows(
    groups: Iterable[ProblemGroup], args: LabelArgs, codec: StepCodec, left_out: LeftOut
) -> Iterator[dict[str, Any]]:
    """A row for each solution that `select` takes, with values by `--label_value`."""
    values_of = VALUES[args.label_value]
    for group in groups:
        found = solutions_of(group, codec, left_out, is_given=args.label_value in COUNTED)
        found, target = written(found, args, codec, left_out)
        for solution in select(found, args, left_out):
            values = values_of(solution)
            if all(value is None for value in values):
                left_out["solutions without a value"] += 1
                continue
            yield row_of(solution, values, target)


def row_of(solution: Solution, values: Values, codec: StepCodec) -> dict[str, Any]:
    """The row of a solution whose steps have these values."""
    row: dict[str, Any] = {
        "prompt": codec.prompt(solution.question),
        "steps": [step.text for step in ended(solution.steps, codec)],
        "values": values,
    }
    if (spans := solution.trained_spans) is not None:
        row["trained_spans"] = spans
    return row


def by_worths(worths: Callable[[SearchTree], Values]) -> Callable[[Solution], Values]:
    """`path_values` of a solution by what the nodes of its tree are worth."""
    return lambda solution: path_values(worths(_tree(solution)), solution.nodes, solution.is_right)


def weighted_progress(solution: Solution) -> Values:
    """ReST-MCTS*'s values in [0, 1] (`search.step_values.rest_values`); null on no way to an end with an answer."""
    values = _rest_values(_tree(solution))
    return [values.get(number) for number in solution.nodes]


def simple_progress(solution: Solution) -> Values:
    """`simple_value` in [0, 1] by the shortest way to a right answer through the step, or through the last good one.

    Departs from ReST-MCTS*'s code, where steps far off every right way come to exceed 1: theirs is that of the
    last but one step at most.
    """
    tree = _tree(solution)
    labels = _rest_labels(tree)
    return [_simple(tree, number, labels) for number in solution.nodes]


def soft_counts(solution: Solution) -> Values:
    """The share of right completions after each step, as `by_counts` fills it in."""
    return by_counts(solution, is_hard=False)


def hard_counts(solution: Solution) -> Values:
    """1 where any completion is right, as `by_counts` fills it in."""
    return by_counts(solution, is_hard=True)


def by_counts(solution: Solution, *, is_hard: bool) -> Values:
    """What the completions of a given solution say of its steps, in [0, 1].

    The last step is right or wrong itself. Behind the first step after which no completion is right, a linear
    or binary scan has asked nothing: null. A binary one has jumped over steps before it: they are taken as good, 1.

    Source: Math-Shepherd, Wang et al. 2024, arXiv:2312.08935, eq. 3 and 4; OmegaPRM, Luo et al. 2024, arXiv:2406.06592.
    """
    tree = _tree(solution)
    shares: Values = [right_share(tree, number) for number in solution.nodes]
    shares[-1] = float(solution.is_right)
    scan = tree.record[FACTS_KEY].get("scan", "soft")
    if scan in ("linear", "binary"):
        pit = first_pit(tree)
        # A wrong solution that was cut has no answer, and so no pit at its end.
        error = len(shares) - (not solution.is_right) if pit is None else pit
        if scan == "binary":
            shares = [1.0 if k < error else share for k, share in enumerate(shares)]
        shares = [share if k <= error else None for k, share in enumerate(shares)]
    return [None if s is None else float(s > 0) for s in shares] if is_hard else shares


def outcome(solution: Solution) -> Values:
    """1 at the last step of a right solution, 0 of a wrong one; null before."""
    return [*[None] * (len(solution.steps) - 1), float(solution.is_right)]


VALUES: dict[str, Callable[[Solution], Values]] = {
    **{name: by_worths(worths) for name, worths in WORTHS.items()},
    "rest": weighted_progress,
    "simple": simple_progress,
    "hard": hard_counts,
    "soft": soft_counts,
    "outcome": outcome,
}
"""By `--label_value`; all but `outcome` need trees."""


def _tree(solution: Solution) -> SearchTree:
    assert solution.tree is not None, "the command refuses responses for values of trees"
    return solution.tree


# Several solutions of a problem are of one tree.
_rest_values = lru_cache(maxsize=32)(rest_values)
_rest_labels = lru_cache(maxsize=32)(rest_labels)


def _simple(tree: SearchTree, number: int, labels: dict[int, StepLabel]) -> float | None:
    label = labels.get(number)
    if label is None:
        return None
    depth = tree.nodes[number].depth
    good = number
    while good != ROOT and not labels[good].is_good:
        good = tree.nodes[good].parent
    num_steps = tree.nodes[good].depth + label.num_left
    value = simple_value(depth, num_steps, label.is_good)
    return value if label.is_good else min(value, (num_steps - 1) / num_steps)
