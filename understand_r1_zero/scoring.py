"""Evaluation statistics of one benchmark from its graded groups, with bootstrap intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb

import numpy as np

from understand_r1_zero.types import Group, Response, Status

NUM_RESAMPLES = 1000
INTERVAL = (2.5, 97.5)
"""Percentiles of the resampled means: a 95% interval."""
_BOOTSTRAP_SEED = 0


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over problems and its bootstrap 95% interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class BenchmarkScore:
    """One benchmark at one policy version.

    `estimates` holds `accuracy`, `score` (mean reward), `avg@n`, `pass@k`, `maj@n`,
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


def score(groups: Sequence[Group], elapse_s: float = 0.0) -> BenchmarkScore:
    """Score a benchmark; every group has the same number n of responses.

    Each statistic is computed per problem, then averaged over problems:

    - `accuracy` = `avg@n` = `pass@1`: share of the problem's responses that are correct.
    - `pass@k` for k = 1, 2, 4, ... and n: `pass_at_k`.
    - `maj@n`: `majority_is_correct`; left out when the oracle names no answers to vote on.

    A problem with an `UNKNOWN` verdict counts nowhere: nothing is known about it. Grading that
    timed out or crashed counts as not correct. The result does not depend on the groups' order.

    Raises:
        ValueError: no problem has a readable gold answer.
    """
    known = sorted(
        (group for group in groups if not _is_unknown(group)),
        key=lambda group: (group.problem.source, group.problem.row),
    )
    if not known:
        source = groups[0].problem.source if groups else "the benchmark"
        raise ValueError(
            f"no gold answer of {source} could be read; check --eval_output_key and the answers"
        )
    num_samples = len(known[0].responses)
    assert all(len(group.responses) == num_samples for group in known), "groups differ in size"
    statistics = _per_problem(known, num_samples)
    intervals = bootstrap(np.stack(list(statistics.values()), axis=1))
    return BenchmarkScore(
        num_problems=len(known),
        num_samples=num_samples,
        num_unknown=len(groups) - len(known),
        elapse_s=elapse_s,
        estimates=dict(zip(statistics, intervals, strict=True)),
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


def majority_is_correct(responses: Sequence[Response]) -> bool:
    """Whether the answer that most responses give is correct (self-consistency).

    Answers are one when they are equal after `normalise_answer`; of equally frequent answers the
    one given first wins. A response without an answer has no vote, unless no response has an answer.
    The winner is correct when any response that gave it is: one of them may have timed out.

    Source: Wang et al. 2023, arXiv:2203.11171.
    """
    votes: dict[str, int] = {}
    for response in responses:
        if response.verdict.answer is not None:
            answer = normalise_answer(response.verdict.answer)
            votes[answer] = votes.get(answer, 0) + 1
    if not votes:
        return any(_is_correct(response) for response in responses)
    winner = max(votes, key=lambda answer: votes[answer])
    return any(
        _is_correct(response)
        for response in responses
        if response.verdict.answer is not None
        and normalise_answer(response.verdict.answer) == winner
    )


def normalise_answer(answer: str) -> str:
    r"""Drop what never distinguishes two answers as strings: white space, `$`, a final full stop.

    Equal values written differently (`1/2`, `\frac12`) stay apart.
    """
    return "".join(answer.split()).strip("$").removesuffix(".").strip("$")


def bootstrap(values: np.ndarray) -> list[Estimate]:
    """Mean of each column with its percentile interval over resampled rows.

    `values` float64 (P, M): M statistics of P problems; every column sees the same
    `NUM_RESAMPLES` resamples, drawn with a fixed seed, so that equal input gives equal intervals.

    Source: Efron 1979, "Bootstrap methods: another look at the jackknife".
    """
    num_problems = len(values)
    rng = np.random.default_rng(_BOOTSTRAP_SEED)
    drawn = rng.integers(num_problems, size=(NUM_RESAMPLES, num_problems))
    # How often each problem was drawn, (R, P): means of all columns are then one matrix product.
    offsets = num_problems * np.arange(NUM_RESAMPLES)[:, None]
    counts = np.bincount((drawn + offsets).ravel(), minlength=NUM_RESAMPLES * num_problems)
    means = counts.reshape(NUM_RESAMPLES, num_problems) @ values / num_problems
    low, high = np.percentile(means, INTERVAL, axis=0)
    return [
        Estimate(float(mean), float(lower), float(upper))
        for mean, lower, upper in zip(values.mean(axis=0), low, high, strict=True)
    ]


def _per_problem(groups: Sequence[Group], num_samples: int) -> dict[str, np.ndarray]:
    """Each statistic as float64 (P,), one value a problem."""
    num_correct = [sum(map(_is_correct, group.responses)) for group in groups]
    correct_share = np.array(num_correct, dtype=np.float64) / num_samples
    statistics = {
        "accuracy": correct_share,
        "score": np.array([group.rewards.mean() for group in groups]),
        f"avg@{num_samples}": correct_share,
    }
    for k in _pass_sizes(num_samples):
        statistics[f"pass@{k}"] = np.array([pass_at_k(num_samples, c, k) for c in num_correct])
    if _names_answers(groups):
        majority = [majority_is_correct(group.responses) for group in groups]
        statistics[f"maj@{num_samples}"] = np.array(majority, dtype=np.float64)
    statistics["response_tok_len"] = np.array(
        [np.mean([len(response.token_ids) for response in group.responses]) for group in groups]
    )
    statistics["truncated"] = np.array(
        [np.mean([response.is_truncated for response in group.responses]) for group in groups]
    )
    statistics["unparsable"] = np.array(
        [np.mean([_is_unparsable(response) for response in group.responses]) for group in groups]
    )
    return statistics


def _pass_sizes(num_samples: int) -> list[int]:
    """1, 2, 4, ... below n, and n itself."""
    powers = [2**i for i in range(num_samples.bit_length())]
    return sorted({k for k in powers if k < num_samples} | {num_samples})


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


def _is_unparsable(response: Response) -> bool:
    return response.verdict.status is Status.UNPARSABLE


def _is_unknown(group: Group) -> bool:
    return any(response.verdict.status is Status.UNKNOWN for response in group.responses)
