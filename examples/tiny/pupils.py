"""Pupils who add up in steps, in three step formats: the corpus of the tiny model for search.

At every step a pupil may be hasty in one of two ways, whatever they did at the steps before:

- **Smaller from larger.** Where a term is to be taken from a smaller total, 3 - 7, they take the total from
  the term: 4. It is the commonest fault of children who subtract (Brown and Burton 1978, "Diagnostic models
  for procedural bugs in basic mathematical skills", Cognitive Science 2, there digit by digit).
- **A minus overlooked.** They add where they should subtract.

A pupil goes on from their own total, right or wrong.
"""

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from examples.tiny.build import END, STEM, Document, Sum
from understand_r1_zero.search.codecs.alphamath import XmlCodec
from understand_r1_zero.search.step import Step
from understand_r1_zero.templates import render_no, render_qwen_math

SMALLER_FROM_LARGER = 0.55
"""Share of the steps that tempt to it: above one half, so that it is the likelier step."""
OVERLOOKED_MINUS = 0.12
"""Share of the other subtractions."""
XML = XmlCodec()


@dataclass(frozen=True)
class Move:
    """One step of a pupil: `left` and the signed `right` as they read them, and what they make of it."""

    left: int
    right: int
    is_reversed: bool = False

    @property
    def calculation(self) -> str:
        """In code, where nobody but the interpreter reckons: `7-3` for a reversed `3-7`."""
        return f"{-self.right}-{self.left}" if self.is_reversed else f"{self.left}{self.right:+d}"

    @property
    def result(self) -> int:
        """The total after it."""
        return -self.right - self.left if self.is_reversed else self.left + self.right

    @property
    def line(self) -> str:
        """`3-7=4`, where it is reversed."""
        return f"{self.left}{self.right:+d}={self.result}"

    @property
    def thought(self) -> str:
        """What is to be done, in words."""
        if self.right < 0:
            return f"Take {-self.right} from {self.left}."
        return f"Add {self.right} to {self.left}."


def tempts(left: int, right: int) -> bool:
    """Whether a larger number is to be taken from a smaller one."""
    return 0 <= left < -right


def work(problem: Sum, rng: random.Random, is_careful: bool = False) -> list[Move]:
    """A pupil's steps, one for each term after the first."""
    total, *terms = problem.terms
    moves = []
    for term in terms:
        move = Move(total, term)
        if not is_careful:
            if tempts(total, term):
                move = Move(total, term, rng.random() < SMALLER_FROM_LARGER)
            elif term < 0 and rng.random() < OVERLOOKED_MINUS:
                move = Move(total, -term)
        moves.append(move)
        total = move.result
    return moves


def in_lines(question: str, moves: list[Move]) -> Document:
    """For the codec `lines`, asked by the template `qwen_math`."""
    lines = "".join(f"{move.line}\n" for move in moves)
    return render_qwen_math(question), f"{lines}\\boxed{{{moves[-1].result}}}{END}"


def in_numbered_steps(question: str, moves: list[Move]) -> Document:
    """For the codec `step_k`, asked by the template `no`."""
    lines = "".join(f"Step {number}: {move.line}\n" for number, move in enumerate(moves, 1))
    last = f"Step {len(moves) + 1}: The answer is \\boxed{{{moves[-1].result}}}.{END}"
    return render_no(question), lines + last


def in_code(question: str, moves: list[Move]) -> Document:
    """For the codec `xml`, asked by its own prompt; what the interpreter writes is given, not learned."""
    given, document = XML.prompt(question), []
    for move in moves:
        fence = f"```python\nprint({move.calculation})\n```"
        step = Step(f"<step>\n<p>\n{move.thought}\n</p>\n<code>\n{fence}\n</code>", code=fence)
        document += [given, step.text]
        given = XML.observe(step, str(move.result)).text.removeprefix(step.text)
    last = f"<step>\n<p>\nThat was all.\n</p>\n<p>\nFinal Answer: {moves[-1].result}\n</p>\n</step>"
    return (*document, given, last + END)


FORMATS: Mapping[str, Callable[[str, list[Move]], Document]] = {
    "lines": in_lines,
    "step_k": in_numbered_steps,
    "xml": in_code,
}
"""By codec."""


def question_of(problem: Sum) -> str:
    """As `chain_sum` asks it."""
    return f"{STEM}{problem.expression} ="


def documents(
    rng: random.Random,
    draw: Callable[[random.Random], Sum],
    held_out: frozenset[str],
    is_careful: bool,
) -> Iterator[Document]:
    """Endless homework in all formats in turn; no question of `held_out` among them."""
    while True:
        for write in FORMATS.values():
            problem = draw(rng)
            while question_of(problem) in held_out:
                problem = draw(rng)
            yield write(question_of(problem), work(problem, rng, is_careful))
