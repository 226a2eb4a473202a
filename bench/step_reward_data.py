"""What `bench.step_rewards` learns from: sums that nearly all subtract, pupils' hasty homework, a teacher's marks."""

import random
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bench.algorithm_data import write_rows
from examples.tiny.build import Sum
from examples.tiny.pupils import Move, in_lines, question_of, tempts
from understand_r1_zero.search.codecs.registry import load_codec
from understand_r1_zero.search.codecs.step import ended
from understand_r1_zero.templates import load_template, render_qwen_math

NUM_TERMS, MAX_TERM = 7, 5
"""Of what is asked: how many numbers, and the largest."""
LENGTHS = range(3, NUM_TERMS + 1)
"""Numbers of terms of what is learned from."""
HASTE = 0.8
"""How often a pupil errs at a subtraction; a sum of six of them is right in 0.2^6 = 0.00006."""
FAULTS = {"haste": 2, "false sum": 4, "misread": 1, "slip": 1}
"""Weights of what a teacher has marked; a false sum is the hardest to see."""
EARLY = 0.25
"""How often the fault is instead that the solution ends where terms are left."""
OFF = (1, 1, 2, 3, 4, 5, 10, 20)
PEN = "0123456789+-=\n\\{}boxed </p>"


def draw_subtractions(rng: random.Random, num_terms: int) -> Sum:
    """Small numbers, each but the first taken from the total."""
    first, *rest = (rng.randint(1, MAX_TERM) for _ in range(num_terms))
    return Sum((first, *(-term for term in rest)))


def write_problems(path: Path, num_problems: int, seed: int) -> None:
    """Different problems, as `--prompt_data`."""
    rng, rows = random.Random(seed), {}
    while len(rows) < num_problems:
        drawn = draw_subtractions(rng, NUM_TERMS)
        rows[question_of(drawn)] = str(drawn.answer)
    write_rows(path, ({"problem": text, "answer": answer} for text, answer in rows.items()))


def write_homework(path: Path, num_rows: int, seed: int) -> None:
    """Prompts and completions as `--sft_data`, of all lengths; what is drawn here may be asked there too."""
    rng = random.Random(seed)
    drawn = (draw_subtractions(rng, rng.choice(LENGTHS)) for _ in range(num_rows))
    pairs = (in_lines(question_of(each), hasty_moves(each, rng)) for each in drawn)
    write_rows(path, ({"prompt": prompt, "completion": text} for prompt, text in pairs))


def hasty_moves(problem: Sum, rng: random.Random) -> list[Move]:
    """Each subtraction may be turned round, where the total is smaller, or its minus overlooked."""
    total, *terms = problem.terms
    moves = []
    for term in terms:
        moves.append(_hasty(total, term) if rng.random() < HASTE else Move(total, term))
        total = moves[-1].result
    return moves


def write_marked(path: Path, num_problems: int, seed: int) -> None:
    """Two solutions a problem, one right and one with a fault, their steps marked, as `--value_data`.

    A mark is 1 while all steps so far are those of the right solution, else 0: there is one way to write it.
    """
    rng, codec = random.Random(seed), load_codec("lines", load_template("qwen_math"))

    def steps_of(text: str) -> list[str]:
        return [step.text for step in ended(codec.split(text), codec)]

    def rows() -> Iterable[Mapping[str, Any]]:
        for _ in range(num_problems):
            problem = draw_subtractions(rng, rng.choice(LENGTHS))
            prompt = render_qwen_math(question_of(problem))
            right = steps_of("\n".join([*problem.lines, _boxed(problem.answer)]))
            for steps in (right, steps_of(faulty(problem, rng))):
                yield {"prompt": prompt, "steps": steps, "values": marks(steps, right)}

    write_rows(path, rows())


def marks(steps: list[str], right: list[str]) -> list[float]:
    """1 for each step up to which all are right, else 0."""
    return [float(steps[:end] == right[:end]) for end in range(1, len(steps) + 1)]


def faulty(problem: Sum, rng: random.Random) -> str:
    """A solution that is right up to a fault anywhere, and goes on in haste from what came of it."""
    place = rng.randrange(len(problem.terms))
    lines = problem.lines[:place]
    total, rest = sum(problem.terms[: place + 1]), problem.terms[place + 1 :]
    if not rest:
        return "\n".join([*lines, _wrong_end(total, lines[-1], rng)])
    if rng.random() >= EARLY:
        line, total = _fault(total, rest[0], rng)
        moves = hasty_moves(Sum((total, *rest[1:])), rng)
        lines += [line, *(move.line for move in moves)]
        total = moves[-1].result if moves else total
    return "\n".join([*lines, _boxed(total)])


def _hasty(total: int, term: int) -> Move:
    return Move(total, term, True) if tempts(total, term) else Move(total, -term)


def _fault(total: int, term: int, rng: random.Random) -> tuple[str, int]:
    """A wrong step, and the total that the pupil goes on from."""
    move = Move(total, term)
    match rng.choices(list(FAULTS), list(FAULTS.values()))[0]:
        case "false sum":
            wrong = move.result + _off(rng)
            return move.line.replace(f"={move.result}", f"={wrong}"), wrong
        case "slip":
            return _slip(move.line, rng), move.result
        case "misread":
            others = [-number for number in range(1, MAX_TERM + 1) if number != -term]
            move = Move(total + rng.choice((0, 0, _off(rng))), rng.choice(others))
        case _:
            move = _hasty(total, term)
    return move.line, move.result


def _wrong_end(total: int, line: str, rng: random.Random) -> str:
    """The answer misspelt or false, or a line again after it."""
    right = _boxed(total)
    return rng.choice((_slip(right, rng), _boxed(total + _off(rng)), f"{right}\n{line}"))


def _boxed(total: int) -> str:
    return f"\\boxed{{{total}}}"


def _off(rng: random.Random) -> int:
    return rng.choice((1, -1)) * rng.choice(OFF)


def _slip(line: str, rng: random.Random) -> str:
    """The line with one to three characters written over, left out or put in."""
    signs = list(line)
    while "".join(signs) == line:
        for _ in range(rng.randint(1, 3)):
            place = rng.randrange(len(signs) + 1)
            signs[place : place + rng.randint(0, 1)] = rng.choice(([], [rng.choice(PEN)]))
    return "".join(signs)
