"""Questions to search, from files of every format, each with the row it came from."""

from dataclasses import dataclass
from typing import Any

from understand_r1_zero.args import EvaluationArgs
from understand_r1_zero.continuing import Lines
from understand_r1_zero.data import benchmark_keys, problems_of
from understand_r1_zero.search.records import (
    FACTS_KEY,
    MARIO_KEYS,
    question_of,
)
from understand_r1_zero.sources import open_benchmarks
from understand_r1_zero.types import Problem


@dataclass(frozen=True, slots=True)
class Question:
    """A problem, and its row as it stands in the file, which its tree's record begins with."""

    problem: Problem
    row: dict[str, Any]


def read_questions(source: str, evaluation: EvaluationArgs) -> list[Question]:
    """Every question of a file, or of any other source of benchmarks; equal ones stay apart.

    The columns are `--eval_input_key` and `--eval_output_key` where the file has both, else question or
    content, and answer.

    Raises:
        ValueError: it cannot be read, or has rows without a question or a gold answer; they are named.
    """
    own = (evaluation.eval_input_key, evaluation.eval_output_key)
    questions = []
    for name, table in open_benchmarks(source).items():
        problems = problems_of(table, name, benchmark_keys(table, *own), evaluation.max_eval)
        questions += [
            Question(
                problem,
                {"question": problem.text, "answer": list(problem.answers)} | own_cells(row),
            )
            for problem, row in zip(problems, table.rows, strict=False)
        ]
    return questions


def question_row(problem: Problem) -> dict[str, Any]:
    """Question and answer of a problem, the answer as a list where there are several right ones."""
    golds = problem.answers
    return {"question": problem.text, "answer": golds[0] if len(golds) == 1 else list(golds)}


def own_cells(row: Any) -> dict[str, Any]:
    """What of a row its tree's record keeps: no other tree, and nothing that JSON cannot hold."""
    return {
        key: value
        for key, value in row.items()
        if key not in (*MARIO_KEYS, FACTS_KEY) and isinstance(value, str | int | float | list)
    }


def tree_lines(method: str) -> Lines:
    """The lines of a file of searched questions."""
    return Lines(
        "tree of these questions",
        "the --qaf it was made from",
        FACTS_KEY,
        question_of,
        {"method": method},
    )
