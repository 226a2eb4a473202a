"""Statistics of graded responses, with bootstrap intervals: of one problem, and of benchmarks.

The evaluator, in training and offline, and the command `grade` share them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb

import numpy as np

from understand_r1_zero.types import Group, Response, Status
from understand_r1_zero.voting import Labels, best_of, majority, weighted_majority

NUM_RESAMPLES = 1000
INTERVAL = (2.5, 97.5)
"""Percentiles of the resampled means: a 95% interval."""
_BOOTSTRAP_SEED = 0
_DRAWS_AT_ONCE = 1_000_000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over problems and its bootstrap 95% interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class BenchmarkScore:
    """One benchmark at one policy version.

    `estimates` holds `accuracy`, `score` (mean reward), `avg@n`, `pass@k`, `maj@k`,
    `response_tok_len`, `truncated` and `unparsable`; `num_unknown` problems have a gold answer
    that could not be read and are left out of all of them.
    """

    num_problems: int
    num_samples: int
    num_unknown: int
    elapse_s: float
    estimates: Mapping[str, Estimate]

    @property
    def accuracy(self) -> Estimate:
        """Mean over problems of the share of correct responses."""
        return self.estimates["accuracy"]

    def to_dict(self) -> dict[str, float]:
        """Flat metrics: `{name}`, `{name}_low`, `{name}_high`, the counts and `elapse` (seconds)."""
        metrics: dict[str, float] = {}
        for name, estimate in self.estimates.items():
            metrics[name] = estimate.mean
            metrics[f"{name}_low"] = estimate.low
            metrics[f"{name}_high"] = estimate.high
        metrics["eval_count"] = float(self.num_problems)
        metrics["unknown_count"] = float(self.num_unknown)
        metrics["elapse"] = self.elapse_s
        return metrics


@dataclass(frozen=True, slots=True)
class Outcome:
    """One problem's graded responses: what became of each, its answer's class, and its score.

    Without labels there are no votes, without scores none by score.
    """

    statuses: Sequence[Status]
    labels: Labels = ()
    scores: Sequence[float] = ()

    def split(self, size: int) -> "list[Outcome]":
        """Runs of `size` responses in order; what is left over is dropped."""
        starts = range(0, len(self.statuses) - size + 1, size)
        parts = [slice(start, start + size) for start in starts]
        return [
            Outcome(self.statuses[part], self.labels[part], self.scores[part]) for part in parts
        ]


def problem_statistics(outcome: Outcome, sizes: Sequence[int]) -> dict[str, float]:
    """`accuracy`, and for every k of `sizes`, none above the n responses, what k of them achieve.

    - `accuracy` = `pass@1`: the share of correct responses.
    - `pass@k`: `pass_at_k`.
    - `maj@k`: whether the majority's answer is correct; with scores also `best@k`, whether the
      response with the highest score is, and `weighted@k`, the answer with the highest sum of scores.
      For k < n each is the mean over the n // k runs of k responses in order, which is unbiased.

    A voted class is as correct as the first of its responses whose grading did not fail.
    """
    num_samples, num_correct = len(outcome.statuses), outcome.statuses.count(Status.CORRECT)
    votes = {}
    if outcome.labels:
        votes["maj"] = _majority_is_correct
    if outcome.scores:
        votes["best"] = _best_is_correct
    if outcome.labels and outcome.scores:
        votes["weighted"] = _weighted_majority_is_correct
    statistics = {"accuracy": num_correct / num_samples}
    statistics |= {f"pass@{k}": pass_at_k(num_samples, num_correct, k) for k in sizes}
    for name, is_correct in votes.items():
        for k in sizes:
            parts = outcome.split(k)
            statistics[f"{name}@{k}"] = sum(map(is_correct, parts)) / len(parts)
    return statistics


def sample_sizes(num_samples: int) -> list[int]:
    """The k of pass@k and the votes: 1, 2, 4, ... below n, and n itself."""
    powers = [2**i for i in range(num_samples.bit_length())]
    return sorted({k for k in powers if k < num_samples} | {num_samples})


def score(
    groups: Sequence[Group], labels: Sequence[Labels] | None = None, elapse_s: float = 0.0
) -> BenchmarkScore:
    """Score a benchmark; every group has the same number n of responses.

    `labels` are the classes of each group's answers; votes are left out without them, and when the
    oracle names no answers to vote on. Each statistic is computed per problem, then averaged over
    problems: those of `problem_statistics` for k = 1, 2, 4, ... and n, `avg@n`, the same as
    `accuracy`, and means over the responses.

    A problem with an `UNKNOWN` verdict counts nowhere: nothing is known about it. Grading that
    timed out or crashed counts as not correct. The result does not depend on the groups' order.

    Raises:
        ValueError: no problem has a readable gold answer.
    """
    known = sorted(
        (
            (group, own)
            for group, own in zip(groups, labels or [()] * len(groups), strict=True)
            if not _is_unknown(group)
        ),
        key=lambda pair: (pair[0].problem.source, pair[0].problem.row),
    )
    if not known:
        source = groups[0].problem.source if groups else "the benchmark"
        reasons = [r.verdict.reason for group in groups for r in group.responses]
        why = next(filter(None, reasons), "there is no problem")
        raise ValueError(
            f"no gold answer of {source} could be read ({why}); check --eval_output_key and the "
            "answers"
        )
    num_samples = len(known[0][0].responses)
    assert all(len(group.responses) == num_samples for group, _ in known), "groups differ in size"
    has_votes = _names_answers([group for group, _ in known])
    rows = [_group_statistics(group, own if has_votes else ()) for group, own in known]
    return BenchmarkScore(
        num_problems=len(known),
        num_samples=num_samples,
        num_unknown=len(groups) - len(known),
        elapse_s=elapse_s,
        estimates=estimates(list(rows[0]), np.array([list(row.values()) for row in rows])),
    )


def average(scores: Mapping[str, BenchmarkScore]) -> dict[str, float]:
    """Unweighted mean over benchmarks of every statistic that all of them have, as Oat's.

    Benchmarks of 30 and of 675 problems weigh the same. Empty for no benchmark.
    """
    if not scores:
        return {}
    columns = [score.estimates for score in scores.values()]
    shared = [name for name in columns[0] if all(name in column for column in columns)]
    return {name: float(np.mean([column[name].mean for column in columns])) for name in shared}


def evaluation_metrics(scores: Mapping[str, BenchmarkScore]) -> dict[str, float]:
    """All benchmarks under Oat's keys: `eval/{benchmark}/accuracy`, `eval/average/accuracy`, ..."""
    metrics = {
        f"eval/{benchmark}/{name}": value
        for benchmark, score in scores.items()
        for name, value in score.to_dict().items()
    }
    return metrics | {f"eval/average/{name}": value for name, value in average(scores).items()}


def pass_at_k(num_samples: int, num_correct: int, k: int) -> float:
    """Chance that at least one of k responses, drawn without replacement, is correct.

    `1 - C(n - c, k) / C(n, k)` for c correct among n >= k responses: unbiased.

    Source: Chen et al. 2021, arXiv:2107.03374, eq. 1; exact integers instead of their product.
    """
    assert 1 <= k <= num_samples and 0 <= num_correct <= num_samples
    return 1.0 - comb(num_samples - num_correct, k) / comb(num_samples, k)


def estimates(names: Sequence[str], values: np.ndarray) -> dict[str, Estimate]:
    """The `bootstrap` of float64 (P, M) by the names of its M columns."""
    return dict(zip(names, bootstrap(values), strict=True))


def bootstrap(values: np.ndarray) -> list[Estimate]:
    """Mean of each column with its percentile interval over resampled rows.

    `values` float64 (P, M): M statistics of P problems; every column sees the same
    `NUM_RESAMPLES` resamples, drawn with a fixed seed, so that equal input gives equal intervals.

    Source: Efron 1979, "Bootstrap methods: another look at the jackknife".
    """
    num_problems = len(values)
    rng = np.random.default_rng(_BOOTSTRAP_SEED)
    means = np.empty((NUM_RESAMPLES, values.shape[1]))
    at_once = max(_DRAWS_AT_ONCE // num_problems, 1)
    for start in range(0, NUM_RESAMPLES, at_once):
        num_resamples = min(at_once, NUM_RESAMPLES - start)
        drawn = rng.integers(num_problems, size=(num_resamples, num_problems))
        # How often each problem was drawn, (R, P): means of all columns are then one matrix product.
        offsets = num_problems * np.arange(num_resamples)[:, None]
        counts = np.bincount((drawn + offsets).ravel(), minlength=num_resamples * num_problems)
        sums = counts.reshape(num_resamples, num_problems) @ values
        means[start : start + num_resamples] = sums / num_problems
    low, high = np.percentile(means, INTERVAL, axis=0)
    return [
        Estimate(float(mean), float(lower), float(upper))
        for mean, lower, upper in zip(values.mean(axis=0), low, high, strict=True)
    ]


def _group_statistics(group: Group, labels: Labels) -> dict[str, float]:
    responses = group.responses
    statuses = [response.verdict.status for response in responses]
    found = problem_statistics(Outcome(statuses, labels), sample_sizes(len(responses)))
    accuracy = found.pop("accuracy")
    return {
        "accuracy": accuracy,
        "score": float(group.rewards.mean()),
        f"avg@{len(responses)}": accuracy,
        **found,
        "response_tok_len": float(np.mean([len(response.token_ids) for response in responses])),
        "truncated": float(np.mean([response.is_truncated for response in responses])),
        "unparsable": statuses.count(Status.UNPARSABLE) / len(responses),
    }


def _majority_is_correct(outcome: Outcome) -> bool:
    return _is_class_correct(majority(outcome.labels), outcome)


def _weighted_majority_is_correct(outcome: Outcome) -> bool:
    return _is_class_correct(weighted_majority(outcome.labels, outcome.scores), outcome)


def _best_is_correct(outcome: Outcome) -> bool:
    return outcome.statuses[best_of(outcome.scores)] is Status.CORRECT


def _is_class_correct(label: int | None, outcome: Outcome) -> bool:
    if label is None:
        return False
    graded = (
        status
        for status, own in zip(outcome.statuses, outcome.labels, strict=True)
        if own == label and status in (Status.CORRECT, Status.INCORRECT)
    )
    return next(graded, None) is Status.CORRECT


def _names_answers(groups: Sequence[Group]) -> bool:
    """Whether correct responses come with their answers: bare-float oracles leave them out."""
    return all(
        response.verdict.answer is not None
        for group in groups
        for response in group.responses
        if _is_correct(response)
    )


def _is_correct(response: Response) -> bool:
    return response.verdict.status is Status.CORRECT


def _is_unknown(group: Group) -> bool:
    return any(response.verdict.status is Status.UNKNOWN for response in group.responses)
