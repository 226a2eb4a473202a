"""Rejection-sampling fine-tuning: correct responses, the same one once, at most k a problem.

What is kept is written as rows {query, response}, which `--sft_data` reads.

Source: Yuan et al. 2023, arXiv:2308.01825, section 3.3 (distinct equation lists); Hwang et al. 2024,
Self-Explore, arXiv:2404.10346, whose GSM8K filter is `equations` with k = 8: one response an equation
list, its equations checked.
"""

import json
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from understand_r1_zero.args_supervised import SupervisedArgs
from understand_r1_zero.encoding import SupervisedExample
from understand_r1_zero.equations import equations, holds
from understand_r1_zero.types import Group, Response, Status
from understand_r1_zero.verdicts import GradedRow

T = TypeVar("T")
Key = Callable[[str], Hashable]
"""What two responses share that count as one; None for a response that is not kept."""


@dataclass(frozen=True, slots=True)
class Attempts:
    """A problem's text and its correct responses, of `num_responses` in all."""

    problem_text: str
    correct: tuple[str, ...]
    num_responses: int


@dataclass
class RejectionCounts:
    """What became of the responses; `num_unsolved` problems have nothing kept."""

    num_problems: int = 0
    num_unsolved: int = 0
    num_responses: int = 0
    num_correct: int = 0
    num_kept: int = 0


def attempts_of_groups(groups: Iterable[Group]) -> Iterator[Attempts]:
    """Graded groups in the order they were asked, whatever the order they finished in."""
    for group in sorted(groups, key=lambda group: group.index):
        correct = tuple(r.text for r in group.responses if r.verdict.status is Status.CORRECT)
        yield Attempts(group.problem.text, correct, len(group.responses))


def attempts_of_completions(
    rows: Iterable[GradedRow], problem_texts: Mapping[int, str]
) -> Iterator[Attempts]:
    """Anyone's completions, graded; `problem_texts` by the number of the row."""
    for graded in rows:
        pairs = zip(graded.row.responses, graded.grades, strict=True)
        correct = tuple(text for text, grade in pairs if grade.status is Status.CORRECT)
        yield Attempts(problem_texts[graded.row.row], correct, len(graded.row.responses))


def kept_examples(groups: Iterable[Group], supervised: SupervisedArgs) -> list[SupervisedExample]:
    """The correct responses of each group that `select` would keep, by the tokens that were sampled."""
    examples = []
    for group in sorted(groups, key=lambda group: group.index):
        kept: dict[Hashable, Response] = {}
        for response in group.responses:
            if response.verdict.status is Status.CORRECT:
                _keep(kept, response.text, response, supervised)
        examples += [
            SupervisedExample(
                group.prompt_token_ids, r.token_ids, np.ones(len(r.token_ids), dtype=bool)
            )
            for r in kept.values()
        ]
    return examples


def by_text(response: str) -> Hashable:
    """The words, without regard to case and white space."""
    return " ".join(response.casefold().split())


def by_equations(response: str) -> Hashable:
    """The equations in order (`equations`), None if one does not hold; without any, the words."""
    found = equations(response)
    if not all(map(holds, found)):
        return None
    return found or by_text(response)


KEYS: dict[str, Key] = {"text": by_text, "equations": by_equations}
"""By `--rft_deduplicate`; `none` has no key: repeated responses are kept."""


def select(
    attempts: Iterable[Attempts], supervised: SupervisedArgs
) -> tuple[list[dict[str, str]], RejectionCounts]:
    """Rows {query, response} and how many responses there were.

    Problems come in the order they first appear, attempts at one problem count together, and of a
    problem's responses the first of each kind are kept, `--rft_max_per_problem` at most: what is kept
    follows from the attempts and their order alone.
    """
    counts = RejectionCounts()
    kept: dict[str, dict[Hashable, str]] = {}
    for each in attempts:
        counts.num_responses += each.num_responses
        counts.num_correct += len(each.correct)
        responses = kept.setdefault(each.problem_text, {})
        for response in each.correct:
            _keep(responses, response, response, supervised)
    rows = [
        {"query": problem, "response": response}
        for problem, responses in kept.items()
        for response in responses.values()
    ]
    counts.num_problems, counts.num_kept = len(kept), len(rows)
    counts.num_unsolved = sum(not responses for responses in kept.values())
    return rows, counts


def _keep(kept: dict[Hashable, T], text: str, item: T, supervised: SupervisedArgs) -> None:
    """Add `item`, whose response is `text`, if it is the first of its kind and there is room."""
    key_of, limit = KEYS.get(supervised.rft_deduplicate), supervised.rft_max_per_problem
    key = key_of(text) if key_of else len(kept)
    if key is not None and key not in kept and not 0 < limit <= len(kept):
        kept[key] = item


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """One JSON object a line; the file has its name only once it is whole."""
    partial = path.with_name(f"{path.name}.partial")
    try:
        # A lone surrogate in a model's text becomes its JSON escape.
        with partial.open("w", encoding="utf-8", errors="backslashreplace") as file:
            file.writelines(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
