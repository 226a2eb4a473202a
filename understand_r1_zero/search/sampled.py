"""Questions with N independently sampled solutions each, from files of trees or of responses."""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from understand_r1_zero.data import parse_answers
from understand_r1_zero.grading.grader import Grader
from understand_r1_zero.search.codecs.step import StepCodec, ended
from understand_r1_zero.search.records import (
    OUR_KEY,
    facts_of,
    from_record,
    golds_of,
    question_of,
    read_records,
)
from understand_r1_zero.search.settings import WHOLE_SOLUTIONS
from understand_r1_zero.search.step import Step
from understand_r1_zero.search.step_sampler import node_seed
from understand_r1_zero.search.tree import ROOT, SearchTree
from understand_r1_zero.types import Problem, Status

RESPONSES_KEY = "preds"
"""Where a line of a file of responses keeps them, as Self-Explore's files do."""


@dataclass(frozen=True, slots=True)
class Solution:
    """A sampled solution, the verdict on its answer, and the values that its steps have in the file.

    One that came to no answer has `answer` None and is UNPARSABLE or TRUNCATED; its steps are left out. `values`
    are in the scale of whoever gave them, None where a step has none; empty in files of responses.
    """

    steps: tuple[Step, ...]
    answer: str | None
    status: Status
    values: tuple[float | None, ...] = ()


@dataclass(frozen=True, slots=True)
class SampledQuestion:
    """A problem with its solutions in the order of their drawing; equal ones may be one object."""

    problem: Problem
    solutions: tuple[Solution, ...]

    @property
    def is_known(self) -> bool:
        """Whether its gold answer could be read."""
        return all(each.status is not Status.UNKNOWN for each in self.solutions)


def read_sampled(
    path: Path, codec: StepCodec, grader: Grader, seed: int = 0
) -> list[SampledQuestion]:
    """The questions of a file of trees or of responses (whose lines have `preds`), as they lie there.

    Args:
        path: the file.
        codec: cuts responses into steps, and finds their answers where the file names none.
        grader: of answers on which the file has no verdict.
        seed: of the order of a tree's solutions, which its merged nodes do not keep.

    Raises:
        ValueError: there is no line, or one that is neither, or of a tree whose solutions are not independent.
    """
    questions = []
    for place, record in enumerate(read_records(path)):
        try:
            if RESPONSES_KEY in record:
                questions.append(of_responses(record, place, codec, grader))
            else:
                questions.append(of_tree(from_record(record), place, grader, seed))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"--verify {path}, line {place + 1}: {error}") from error
    if not questions:
        raise ValueError(f"--verify {path} has no questions: it is empty, or not there")
    return questions


def of_tree(tree: SearchTree, place: int, grader: Grader, seed: int = 0) -> SampledQuestion:
    """The N solutions of a tree of `best_of_n` or `maj`, in an order drawn anew.

    Equal steps are one node with a count, so that the order of drawing is lost. Samples are independent: any
    order drawn without looking at them is as good as theirs, and the first n of N are n samples. The order of the
    nodes would not be: there equal solutions are neighbours.

    Raises:
        ValueError: another method grew the tree.
    """
    facts = facts_of(tree)
    if facts.get("method") not in WHOLE_SOLUTIONS:
        raise ValueError(
            f"a tree of the method {facts.get('method', 'of another program')}, whose solutions are not "
            f"sampled independently; search with --method {' or '.join(WHOLE_SOLUTIONS)}"
        )
    golds = tuple(golds_of(tree.record))
    solutions: list[Solution] = []
    for number, count in solution_counts(tree, facts.get("samples")).items():
        answer = tree.nodes[number].answer
        status = _status_of(tree, number, golds, grader)
        if answer is None:
            solutions += [Solution((), None, status)] * count
        else:
            values = tuple(node.value for node in tree.way(number))
            solutions += [Solution(tuple(tree.steps(number)), answer, status, values)] * count
    place = facts.get("place", place)
    random.Random(node_seed(seed, f"solutions {place}")).shuffle(solutions)
    if facts.get("status") == Status.UNKNOWN:
        solutions = [Solution((), None, Status.UNKNOWN)] * len(solutions)
    problem = Problem("verify", place, question_of(tree.record), golds)
    return SampledQuestion(problem, tuple(solutions))


def solution_counts(tree: SearchTree, num_samples: int | None = None) -> dict[int, int]:
    """How many of the sampled solutions end at each node, those that were left out or cut off among them.

    `count(n) - sum(count(children of n))`, and of the root, which no sample ends at but one whose first step was
    left out, `num_samples - sum(...)`, 0 where that is not known. Nodes at which none ends are left out.
    """
    counts = {}
    for number, node in enumerate(tree.nodes):
        below = sum(tree.nodes[child].count for child in node.children)
        own = (num_samples or below) if number == ROOT else node.count
        if own > below:
            counts[number] = own - below
    return counts


def of_responses(
    record: Mapping[str, Any], place: int, codec: StepCodec, grader: Grader
) -> SampledQuestion:
    """The solutions of a line of responses, in its order.

    Answers and verdicts are the line's own, under `ours`, or else read by the codec and graded; the gold answer may
    be a whole GSM8K solution (`data.parse_answers`).

    Raises:
        ValueError: the line has no gold answer, or as many verdicts as it has no responses.
        KeyError: it has no prompt.
    """
    texts = record[RESPONSES_KEY]
    golds = parse_answers(record["answer"])
    if not golds:
        raise ValueError("it has no gold answer")
    own = record.get(OUR_KEY) or {}
    steps = [tuple(ended(codec.split(text), codec)) for text in texts]
    if own:
        statuses, answers = [Status(each) for each in own["statuses"]], own["answers"]
    else:
        answers = [each[-1].answer if each else None for each in steps]
        grades = [grader.grade(answer, golds) for answer in answers]
        statuses = [grade.result().status for grade in grades]
    if not len(texts) == len(statuses) == len(answers):
        raise ValueError(
            f"it has {len(texts)} responses, {len(answers)} answers and {len(statuses)} verdicts"
        )
    problem = Problem("verify", own.get("place", place), str(record["prompt"]), golds)
    solutions = (
        Solution(() if answer is None else each, answer, status)
        for each, answer, status in zip(steps, answers, statuses, strict=True)
    )
    return SampledQuestion(problem, tuple(solutions))


def with_equal_counts(questions: list[SampledQuestion]) -> list[SampledQuestion]:
    """The first N solutions of each question whose gold answer is known, N being the least number.

    They come in the order of their places: lines lie in that in which searches ended, and intervals depend on it.

    Raises:
        ValueError: no question is known, or one has no solution.
    """
    known = sorted((each for each in questions if each.is_known), key=lambda q: q.problem.row)
    if not known:
        raise ValueError("--verify has no question whose gold answer can be read")
    num_samples = min(len(question.solutions) for question in known)
    if not num_samples:
        raise ValueError("--verify has a question without solutions; leave it out")
    return [
        SampledQuestion(each.problem, tuple(islice(each.solutions, num_samples))) for each in known
    ]


def distinct(question: SampledQuestion) -> Iterator[tuple[Step, ...]]:
    """The steps of each different solution that has an answer, in the order of their first appearance."""
    yield from dict.fromkeys(each.steps for each in question.solutions if each.answer is not None)


def _status_of(tree: SearchTree, number: int, golds: tuple[str, ...], grader: Grader) -> Status:
    node = tree.nodes[number]
    if node.answer is None:
        return Status.UNPARSABLE
    if node.reward is None:
        return grader.grade(node.answer, golds).result().status
    return Status.CORRECT if node.reward > 0 else Status.INCORRECT
