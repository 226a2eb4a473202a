"""Rules by name: what `--label` makes of problems, and how `--label_format` writes it."""

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from understand_r1_zero.args_rounds import LabelArgs
from understand_r1_zero.labels import (
    first_pit,
    right_solutions,
    solution_pairs,
    step_pairs,
    step_values,
)
from understand_r1_zero.labels.formats import math_shepherd, omega, rest
from understand_r1_zero.labels.solutions import LeftOut
from understand_r1_zero.labels.sources import ProblemGroup
from understand_r1_zero.search.codecs.step import StepCodec


class Rule(Protocol):
    """Makes labels; a pure function of the problems and the flags, which says what it leaves out and why."""

    def __call__(
        self,
        groups: Iterable[ProblemGroup],
        args: LabelArgs,
        codec: StepCodec,
        left_out: LeftOut,
        /,
    ) -> Iterator[dict[str, Any]]:
        """The rows of a label file, in the order of the problems."""
        ...


class Format(Protocol):
    """Writes what a rule makes of the problems, a row a line, as some program reads it."""

    def __call__(
        self,
        rule: Rule,
        groups: Iterable[ProblemGroup],
        args: LabelArgs,
        codec: StepCodec,
        left_out: LeftOut,
        /,
    ) -> Iterator[dict[str, Any]]:
        """The rows of the file."""
        ...


class Writer(Protocol):
    """Makes the rows of a format of whole problems, whatever the rule."""

    def __call__(
        self, groups: Iterable[ProblemGroup], args: LabelArgs, /
    ) -> Iterator[dict[str, Any]]:
        """The rows of the file."""
        ...


def without_rule(writer: Writer) -> Format:
    """A writer of two arguments as a format."""
    return lambda rule, groups, args, codec, left_out: writer(groups, args)


RULES: dict[str, Rule] = {
    "step_values": step_values.rows,
    "step_pairs": step_pairs.rows,
    "solutions": right_solutions.rows,
    "solution_pairs": solution_pairs.rows,
    "first_pit": first_pit.rows,
}
"""By `--label`."""

FORMATS: dict[str, Format] = {
    "training": lambda rule, *given: rule(*given),
    "rest_mcts": without_rule(rest.write_rows),
    "math_shepherd": without_rule(math_shepherd.write_rows),
    "omega": without_rule(omega.write_rows),
    "omega_tree": without_rule(omega.write_rows),
}
"""By `--label_format`."""
