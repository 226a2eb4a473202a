"""What `bench.step_rewards` learns from: sums that nearly all subtract, homework of pupils who seldom do, marked steps."""

import json
import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from examples.tiny.build import Sum
from examples.tiny.pupils import Move, in_lines, question_of, tempts
from understand_r1_zero.search.codecs.registry import load_codec
from understand_r1_zero.templates import load_template

NUM_TERMS = 7
SHORT = range(3, 6)
"""Numbers of terms: of what is asked, and of what the process reward model is made of."""
HASTE = 0.6
"""How often a pupil errs at a subtraction; a sum of six of them is right in 0.4^6 = 0.004."""


def draw_subtractions(rng: random.Random, num_terms: int) -> Sum:
    """Digits, each but the first taken from the total."""
    first, *rest = (rng.randint(1, 9) for _ in range(num_terms))
    return Sum((first, *(-term for term in rest)))


def write_problems(path: Path, num_problems: int, num_terms: Sequence[int], seed: int) -> None:
    """Different problems, as `--prompt_data`."""
    rng, rows = random.Random(seed), {}
    while len(rows) < num_problems:
        drawn = draw_subtractions(rng, rng.choice(num_terms))
        rows[question_of(drawn)] = str(drawn.answer)
    _write(path, ({"problem": text, "answer": answer} for text, answer in rows.items()))


def write_homework(path: Path, num_rows: int, seed: int) -> None:
    """Prompts and completions as `--sft_data`, of all lengths; what is drawn here may be asked there too."""
    rng = random.Random(seed)
    lengths = range(SHORT.start, NUM_TERMS + 1)
    drawn = (draw_subtractions(rng, rng.choice(lengths)) for _ in range(num_rows))
    pairs = (in_lines(question_of(each), hasty_moves(each, rng)) for each in drawn)
    _write(path, ({"prompt": prompt, "completion": text} for prompt, text in pairs))


def hasty_moves(problem: Sum, rng: random.Random) -> list[Move]:
    """Each subtraction may be turned round, where the total is smaller, or its minus overlooked."""
    total, *terms = problem.terms
    moves = []
    for term in terms:
        move = Move(total, term)
        if rng.random() < HASTE:
            move = Move(total, term, True) if tempts(total, term) else Move(total, -term)
        moves.append(move)
        total = move.result
    return moves


def write_marked(samples: Path, path: Path) -> int:
    """Write a run's samples (its `samples/`) with their steps marked, as `--value_data`; returns how many."""
    groups: dict[str, list[tuple[str, bool]]] = defaultdict(list)
    prompts: dict[str, str] = {}
    for file in sorted(samples.glob("*.jsonl")):
        for group in map(json.loads, file.read_text(encoding="utf-8").splitlines()):
            prompts[group["problem"]] = group["prompt"]
            groups[group["problem"]] += [
                (response["text"], response["status"] == "correct")
                for response in group["responses"]
                if response["status"] != "truncated"
            ]
    rows = [
        {"prompt": prompts[problem], "steps": steps, "values": values}
        for problem, solutions in groups.items()
        for steps, values in marked(solutions)
    ]
    _write(path, rows)
    return len(rows)


def marked(solutions: Sequence[tuple[str, bool]]) -> Iterator[tuple[list[str], list[float]]]:
    """The different solutions of a problem in steps, each 1 if a right one begins with the steps up to it, else 0.

    Nothing where no solution is right.
    """
    codec = load_codec("lines", load_template("qwen_math"))
    split = [
        (tuple(step.text for step in codec.split(text)), is_right) for text, is_right in solutions
    ]
    good = {
        steps[:end] for steps, is_right in split if is_right for end in range(1, len(steps) + 1)
    }
    if good:
        for steps in dict.fromkeys(steps for steps, _ in split if steps):
            yield list(steps), [float(steps[:end] in good) for end in range(1, len(steps) + 1)]


def _write(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
