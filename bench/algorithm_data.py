"""What `bench.algorithms` learns from besides the demo's problems: homework, marked steps, a random model.

All of it is made anew from a seed, of the pupils and sums that `examples/tiny/build.py` pre-trains the
bundled model on.
"""

import itertools
import json
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer

from examples.tiny.build import (
    STEM,
    Sum,
    answer_at_once,
    answer_in_steps,
    build_model,
    dialogues,
    draw_sum,
)
from understand_r1_zero.args import TINY_MODEL

HASTY = 50 / 92
"""Share of the pupils who answer at once among those who come to an end, as in the base's corpus."""
MAX_ERROR = 9
"""A wrong running total is off by 1 to this."""
NUM_TERMS = (3, 4)
"""As in the demo's training problems and benchmarks; the base's corpus has sums of five too."""


def write_random_model(directory: Path, seed: int) -> None:
    """The bundled model's shape and tokenizer with freshly drawn weights."""
    torch.manual_seed(seed)
    tokenizer = AutoTokenizer.from_pretrained(TINY_MODEL)
    build_model(tokenizer).save_pretrained(directory)
    tokenizer.save_pretrained(directory)


def write_homework(path: Path, num_rows: int, seed: int) -> None:
    """Prompts and completions of the base's corpus, without the benchmarks' problems.

    Those pupils are left out who never come to an end: `--sft_data` ends every completion.
    """
    rows = itertools.islice(dialogues(random.Random(seed), _answer), num_rows)
    write_rows(path, ({"prompt": prompt, "completion": text} for prompt, text in rows))


def write_marked_steps(path: Path, num_problems: int, seed: int) -> None:
    """Two solutions a problem, one right, one with a wrong running total from which the rest follows.

    There are `num_problems` of each of `NUM_TERMS`, all different.

    The mark of a step is 1 while all steps so far are right. Both solutions are marked from the step
    with the error on: at every position, and in every problem, half of the marks are 1, so that
    neither tells them apart. A step ends in the last digit of its total, not in the line's end.
    """
    rng = random.Random(seed)
    problems = [problem for n in NUM_TERMS for problem in _distinct(n, num_problems, rng)]
    write_rows(path, (row for problem in problems for row in _marked(problem, rng)))


def wrong_lines(problem: Sum, place: int, error: int) -> list[str]:
    """The lines of a solution whose running total is off by `error` from line `place` on."""
    totals = list(itertools.accumulate(problem.terms))
    totals[place + 1 :] = [total + error for total in totals[place + 1 :]]
    steps = zip(totals, problem.terms[1:], totals[1:], strict=False)
    return [f"{before}{term:+d}={after}" for before, term, after in steps]


def _distinct(num_terms: int, num_problems: int, rng: random.Random) -> Iterable[Sum]:
    found: dict[Sum, None] = {}
    while len(found) < num_problems:
        problem = draw_sum(rng)
        if len(problem.terms) == num_terms:
            found[problem] = None
    return found


def _marked(problem: Sum, rng: random.Random) -> Iterator[dict[str, Any]]:
    place = rng.randrange(len(problem.lines))
    error = rng.choice((1, -1)) * rng.randint(1, MAX_ERROR)
    for lines, mark in ((problem.lines, 1.0), (wrong_lines(problem, place, error), 0.0)):
        marks: Sequence[float | None] = [None] * place + [mark] * (len(lines) - place)
        yield {
            "problem": f"{STEM}{problem.expression} =",
            "steps": [lines[0], *(f"\n{line}" for line in lines[1:])],
            "values": marks,
        }


def _answer(problem: Sum, rng: random.Random) -> str:
    return (answer_at_once if rng.random() < HASTY else answer_in_steps)(problem, rng)


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write JSON Lines, and the directory above them where there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
