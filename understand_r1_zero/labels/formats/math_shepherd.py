"""Math-Shepherd's rows {input, label, task}: a solution with a tag at every step's end, and a sign in its place.

The texts are of search/codecs/math_shepherd.py. A step is good where a completion of it is right (the hard
estimate). `task` says which problems they are, GSM8K or MATH.

Source: Wang et al. 2023, arXiv:2312.08935; the data set peiyi9979/Math-Shepherd.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from understand_r1_zero.args_rounds import LabelArgs
from understand_r1_zero.labels.explored import first_pit, given_chain, is_explored, right_share
from understand_r1_zero.labels.sources import ProblemGroup
from understand_r1_zero.search.codecs.math_shepherd import (
    LabelledSolution,
    labelled,
    read_labels,
    tagged,
)
from understand_r1_zero.search.tree import SearchTree

_LABEL = re.compile(r"\s*Step [0-9]+ ?:")


def read_row(row: Mapping[str, Any]) -> LabelledSolution:
    """The problem, its steps without tags, and whether each is good.

    Raises:
        ValueError: input and label do not fit together.
    """
    return read_labels(row["input"], row["label"])


def write_row(solution: LabelledSolution, task: str = "") -> dict[str, str]:
    """A row of the published data; steps without a number get theirs, as `Step 1: `."""
    numbered = LabelledSolution(
        solution.problem_text,
        tuple(
            text if _LABEL.match(text) else f"Step {number}: {text}"
            for number, text in enumerate(solution.step_texts, start=1)
        ),
        solution.labels,
    )
    return {
        "input": tagged(numbered.problem_text, numbered.step_texts),
        "label": labelled(numbered),
        "task": task,
    }


def write_rows(groups: Iterable[ProblemGroup], args: LabelArgs) -> Iterator[dict[str, str]]:
    """A row for each solution of the trees; the record's `task` is the row's, empty without one.

    - Of an explored tree: the given solution. Steps before its first pit are good, the pit and what follows is
      not: a scan that stops there does not ask for more, where Math-Shepherd asks for every step. Without a
      pit all steps are good; those behind the last of which something is known are left out.
    - Of a search: every solution that is right or wrong. A step is good where a right end is below it.
    """
    del args  # The registry's form; these rows have no flags.
    for group in groups:
        for tree in group.trees:
            for solution in _solutions(tree, group.question):
                yield write_row(solution, str(tree.record.get("task", "")))


def _solutions(tree: SearchTree, question: str) -> Iterator[LabelledSolution]:
    if is_explored(tree):
        chain, pit = given_chain(tree), first_pit(tree)
        known = [place for place, step in enumerate(chain) if right_share(tree, step) is not None]
        if known:
            chain = chain if pit is not None else chain[: known[-1] + 1]
            labels = [pit is None or place < pit for place in range(len(chain))]
            yield _solution(tree, question, chain, labels)
        return
    is_good: set[int] = set()
    for number in tree.finals():
        if (tree.nodes[number].reward or 0.0) > 0:
            is_good |= set(tree.path(number))
    for number in tree.finals():
        if tree.nodes[number].reward is not None:
            path = tree.path(number)
            yield _solution(tree, question, path, [step in is_good for step in path])


def _solution(
    tree: SearchTree, question: str, path: list[int], labels: list[bool]
) -> LabelledSolution:
    # A tag is read at the end of a line.
    texts = (" ".join(tree.nodes[number].text.split("\n")).strip() for number in path)
    return LabelledSolution(question, tuple(texts), tuple(labels))
