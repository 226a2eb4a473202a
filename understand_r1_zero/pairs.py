"""Preference pairs of sampled groups, and what a pair's label is worth. No torch."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from understand_r1_zero.args_preference import PreferenceArgs
from understand_r1_zero.types import Group, PreferencePair, Response, Status


@dataclass(frozen=True, slots=True)
class Evidence:
    """What speaks for a pair's label: the chosen reward over the rejected, and visits in a search."""

    margin: float | None = None
    visits: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Pairing:
    """The pairs of some groups; `metrics` say how many there are and what became of the rest."""

    pairs: list[PreferencePair]
    metrics: dict[str, float]


def pairs_of_groups(
    groups: Sequence[Group], args: PreferenceArgs, *, drop_truncated: bool
) -> Pairing:
    """Pairs of every group, in order, by `--pairs`.

    - `best_worst`: the highest reward against the lowest, the first of equals; a tie gives no pair.
    - `correct_incorrect`: each correct response against each that is not, at most
      `--max_pairs_per_group`, spread so that responses are used about equally often. A pair whose
      rewards say otherwise (a correct response that a length penalty puts no higher) is left out.

    A response of unknown worth is in no pair. A truncated one may be rejected, as what ran on without
    an answer, but is never chosen: it would teach not to stop. With `drop_truncated`
    (`--ignore_no_eos`) it is in no pair. Nor are two responses of the same tokens a pair.
    """
    found: list[tuple[PreferencePair, Evidence]] = []
    num_without = 0
    for group in groups:
        matches = _matches(group, args, drop_truncated=drop_truncated)
        num_without += not matches
        for chosen, rejected in matches:
            pair = PreferencePair(group.prompt_token_ids, chosen.token_ids, rejected.token_ids)
            found.append((pair, Evidence(margin=_margin(chosen, rejected))))
    pairs = weigh([pair for pair, _ in found], [evidence for _, evidence in found], args)
    return Pairing(
        pairs,
        {
            "actor/num_pairs": float(len(pairs)),
            "actor/groups_without_pairs": float(num_without),
            "actor/pair_margin": _mean(evidence.margin or 0.0 for _, evidence in found),
        },
    )


def _matches(
    group: Group, args: PreferenceArgs, *, drop_truncated: bool
) -> list[tuple[Response, Response]]:
    """(chosen, rejected) of one group."""
    known = [
        response
        for response in group.responses
        if response.verdict.status is not Status.UNKNOWN
        and len(response.token_ids)
        and not (drop_truncated and response.is_truncated)
    ]
    complete = [response for response in known if not response.is_truncated]
    if args.pairs == "best_worst":
        if not complete:
            return []
        best = max(complete, key=lambda response: response.verdict.reward)
        worst = min(known, key=lambda response: response.verdict.reward)
        return [(best, worst)] if _is_pair(best, worst) else []
    right = [response for response in complete if response.verdict.status is Status.CORRECT]
    wrong = [response for response in known if response.verdict.status is not Status.CORRECT]
    matches = [match for match in _crossed(right, wrong) if _is_pair(*match)]
    return matches[: args.max_pairs_per_group]


def _crossed(
    right: Sequence[Response], wrong: Sequence[Response]
) -> Iterator[tuple[Response, Response]]:
    """Every right one with every wrong one; any first few use all of them about equally often."""
    for shift in range(len(wrong)):
        for i, response in enumerate(right):
            yield response, wrong[(i + shift) % len(wrong)]


def _is_pair(chosen: Response, rejected: Response) -> bool:
    is_better = _margin(chosen, rejected) > 0
    return is_better and not np.array_equal(chosen.token_ids, rejected.token_ids)


def _margin(chosen: Response, rejected: Response) -> float:
    return chosen.verdict.reward - rejected.verdict.reward


def weigh(
    pairs: Sequence[PreferencePair], evidence: Sequence[Evidence], args: PreferenceArgs
) -> list[PreferencePair]:
    """The pairs with the weights of `--pair_weights` and the labels of `--soft_labels`.

    Weights are the margin, or the visits of both responses together, over their mean over all these
    pairs. The label smoothing is that of `smoothing_of`.

    Raises:
        ValueError: a pair has not got what the flags ask for.
    """
    weights = np.ones(len(pairs))
    if args.pair_weights != "none" and pairs:
        weights = np.array([_worth(each, args.pair_weights) for each in evidence], np.float64)
        weights /= weights.mean()
    smoothing = [
        None if args.soft_labels == "none" else smoothing_of(each, args.soft_labels)
        for each in evidence
    ]
    return [
        replace(pair, weight=float(weight), label_smoothing=eps)
        for pair, weight, eps in zip(pairs, weights, smoothing, strict=True)
    ]


def smoothing_of(evidence: Evidence, source: str) -> float:
    """How likely a label is wrong by its evidence, at most just below 1/2.

    - `visits`: `N_r / (N_c + N_r)` (Xie et al. 2024, arXiv:2405.00451, where `1 / (1 + N_c / N_r)`).
    - `margin`: `sigmoid(-m)`, the Bradley-Terry probability that the rejected one is better.

    Raises:
        ValueError: the pair has no such evidence.
    """
    if source == "visits":
        chosen, rejected = _visits(evidence, "--soft_labels visits")
        return min(rejected / (chosen + rejected), _JUST_BELOW_HALF)
    margin = _margin_of(evidence, "--soft_labels margin")
    return min(1 / (1 + math.exp(min(margin, 700.0))), _JUST_BELOW_HALF)


_JUST_BELOW_HALF = 0.499
"""Robust DPO divides by 1 - 2 eps."""


def _worth(evidence: Evidence, source: str) -> float:
    if source == "visits":
        return float(sum(_visits(evidence, "--pair_weights visits")))
    return _margin_of(evidence, "--pair_weights margin")


def _visits(evidence: Evidence, flag: str) -> tuple[int, int]:
    if evidence.visits is None:
        raise ValueError(
            f"{flag} needs the visits of both responses; use margin or none, or data with columns "
            "chosen_visits and rejected_visits"
        )
    return evidence.visits


def _margin_of(evidence: Evidence, flag: str) -> float:
    if evidence.margin is None:
        raise ValueError(f"{flag} needs a margin; use none, or data with a column margin")
    return evidence.margin


def _mean(values: Iterable[float]) -> float:
    numbers = list(values)
    return sum(numbers) / len(numbers) if numbers else 0.0
