"""What the steps of the tiny policy are worth: labels for its value model, and how well that tells them apart.

Labels know nothing but which solutions come to the right answer. Only the tests of the finished value model
(`judged`) know which steps are right.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForTokenClassification, AutoTokenizer

from examples.tiny.build import STEM
from examples.tiny.pupils import tempts
from examples.tiny.step_samples import BATCH, MAX_STEPS, Solution, Writer, codec_of
from understand_r1_zero.search.step import Step
from understand_r1_zero.types import Problem
from understand_r1_zero.values import ACTIVATIONS, activation_of, area_under_roc

_NUMBER, _TERM = re.compile(r"-?\d+"), re.compile(r"[+-]?\d+")


def value_rows(format_name: str, group: Sequence[Solution]) -> Iterator[dict[str, Any]]:
    """Rows of `--value_data`: the different solutions of a problem, every step with its worth.

    The worth of a step is the share of right solutions among all of the group that begin with the same
    steps up to it: its Monte-Carlo value, with the group's own samples as completions.
    """
    right: dict[str, list[bool]] = defaultdict(list)
    for solution in group:
        for prefix in _prefixes(solution.steps):
            right[prefix].append(solution.is_right)
    for steps in dict.fromkeys(solution.steps for solution in group if solution.steps):
        shares = [right[prefix] for prefix in _prefixes(steps)]
        yield {
            "prompt": codec_of(format_name).prompt(group[0].problem.text),
            "steps": [step.text for step in steps],
            "values": [sum(share) / len(share) for share in shares],
        }


def write_value_data(path: Path, groups: Iterable[tuple[str, Sequence[Solution]]]) -> int:
    """Write the rows of (format, solutions of one problem); returns how many."""
    rows = [row for name, group in groups for row in value_rows(name, group)]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return len(rows)


def _prefixes(steps: Sequence[Step]) -> list[str]:
    texts = [step.text for step in steps]
    return ["".join(texts[:count]) for count in range(1, len(texts) + 1)]


class Valuer:
    """Reads a value model at the end of partial solutions."""

    def __init__(self, directory: Path) -> None:
        self._tokenizer: Any = AutoTokenizer.from_pretrained(directory)
        self._model: Any = AutoModelForTokenClassification.from_pretrained(directory).eval()
        self._activation = ACTIVATIONS[activation_of(directory)]

    @torch.no_grad()
    def values(
        self, format_name: str, states: Sequence[tuple[Problem, Sequence[Step]]]
    ) -> np.ndarray:
        """(N,): the value of each state, a problem with the steps so far."""
        codec = codec_of(format_name)
        texts = [codec.prompt(problem.text, steps) for problem, steps in states]
        found = []
        for start in range(0, len(texts), BATCH):
            inputs = self._tokenizer(
                texts[start : start + BATCH],
                padding=True,
                padding_side="right",
                return_tensors="pt",
            )
            logits = self._model(**inputs).logits[..., 0]
            last = inputs.attention_mask.sum(dim=1, keepdim=True) - 1
            found.append(logits.gather(1, last)[:, 0].numpy())
        return self._activation(np.concatenate(found))


@dataclass(frozen=True)
class Judged:
    """A step after right ones only: whether it is right too, its place from 1, and its value."""

    format_name: str
    problem: Problem
    place: int
    is_right: bool
    value: float


def judged(format_name: str, solutions: Sequence[Solution], valuer: Valuer) -> list[Judged]:
    """Every different step that follows right steps only, up to the first that is wrong."""
    states: dict[tuple[str, str], tuple[Problem, Sequence[Step], bool]] = {}
    for solution in solutions:
        totals = _totals(solution.problem)
        for place, step in enumerate(solution.steps, start=1):
            is_right = place <= len(totals) and _result(step) == totals[place - 1]
            steps = solution.steps[:place]
            key = (solution.problem.text, _prefixes(steps)[-1])
            states[key] = (solution.problem, steps, is_right)
            if not is_right:
                break
    found = list(states.values())
    values = valuer.values(format_name, [(problem, steps) for problem, steps, _ in found])
    return [
        Judged(format_name, problem, len(steps), is_right, float(value))
        for (problem, steps, is_right), value in zip(found, values, strict=True)
    ]


def auc(steps: Sequence[Judged]) -> float:
    """How often a right step has a higher value than a wrong one."""
    return area_under_roc(
        np.array([step.value for step in steps]), np.array([step.is_right for step in steps])
    )


def sibling_accuracy(steps: Sequence[Judged]) -> float:
    """How often a right step has a higher value than a wrong one with the same steps before it."""
    families: dict[tuple[str, int], list[Judged]] = defaultdict(list)
    for step in steps:
        families[step.problem.text, step.place].append(step)
    wins = [
        right.value > wrong.value
        for family in families.values()
        for right in family
        for wrong in family
        if right.is_right and not wrong.is_right
    ]
    return float(np.mean(wins)) if wins else float("nan")


def kinds(solutions: Sequence[Solution]) -> dict[str, float]:
    """The shares of the kinds of steps after right ones, and of right ones among those that tempt.

    Faults that the corpus has not (`other`) are the policy's own.
    """
    counts: Counter[str] = Counter()
    tempting: list[bool] = []
    for solution in solutions:
        first, *terms = _terms(solution.problem)
        total = first
        for step, term in zip(solution.steps, terms, strict=False):
            kind = _kind(_result(step), total, term)
            counts[kind] += 1
            if tempts(total, term):
                tempting.append(kind == "right")
            if kind != "right":
                break
            total += term
    shares = {kind: count / counts.total() for kind, count in counts.most_common()}
    return shares | {"right where it tempts": float(np.mean(tempting))}


def _kind(result: int | None, total: int, term: int) -> str:
    if result == total + term:
        return "right"
    if tempts(total, term) and result == -term - total:
        return "smaller from larger"
    return "minus overlooked" if term < 0 and result == total - term else "other"


def _terms(problem: Problem) -> list[int]:
    expression = problem.text.removeprefix(STEM).removesuffix(" =").replace(" ", "")
    return [int(term) for term in _TERM.findall(expression)]


def _totals(problem: Problem) -> list[int]:
    """The right running totals, and the answer once more for the step that names it."""
    totals = list(accumulate(_terms(problem)))
    return [*totals[1:], totals[-1]]


def _result(step: Step) -> int | None:
    """What a step comes to: its answer, what its code printed, or the last number of its line."""
    shown = step.answer or step.observation or step.text
    numbers = _NUMBER.findall(shown.rpartition("=")[2])
    return int(numbers[-1]) if numbers else None


def guided(
    writer: Writer, valuer: Valuer, format_name: str, problems: Sequence[Problem], width: int
) -> list[Solution]:
    """Of `width` samples of each next step always the one of the highest value."""
    solutions = [Solution(problem) for problem in problems]
    for _ in range(MAX_STEPS):
        places = [i for i, solution in enumerate(solutions) if solution.is_open]
        if not places:
            break
        grown = writer.extend([solutions[i] for i in places for _ in range(width)])
        is_step = np.array([each.fault is None for each in grown])
        values = valuer.values(format_name, [(each.problem, each.steps) for each in grown])
        best = np.where(is_step, values, -np.inf).reshape(-1, width).argmax(axis=1)
        for row, i in enumerate(places):
            solutions[i] = grown[row * width + int(best[row])]
    return solutions
