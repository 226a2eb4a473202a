"""What stands beside a label file: how it was made, in FILE.made.json."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from understand_r1_zero.args import Args
from understand_r1_zero.args_rounds import LabelArgs
from understand_r1_zero.console import table
from understand_r1_zero.grading.conventions import conventions_record
from understand_r1_zero.labels.solutions import LeftOut
from understand_r1_zero.labels.sources import LabelSource, ProblemGroup
from understand_r1_zero.run_directory import write_atomic

_READ_BYTES = 2**20


@dataclass
class Counts:
    """What became of the problems of a file; `num_solved` have a right solution, `left_out` says what gave no row."""

    num_problems: int = 0
    num_solved: int = 0
    num_trees: int = 0
    num_responses: int = 0
    num_rows: int = 0
    num_steps: int = 0
    left_out: LeftOut = field(default_factory=LeftOut)

    def add_group(self, group: ProblemGroup) -> None:
        """Count a problem."""
        self.num_problems += 1
        self.num_trees += len(group.trees)
        self.num_responses += len(group.responses)
        is_solved = any(each.is_right for each in group.responses) or any(
            node.reward is not None and node.reward > 0
            for tree in group.trees
            for node in tree.nodes
        )
        self.num_solved += is_solved
        self.left_out["problems without a gold answer"] += not group.golds

    def add_row(self, row: Mapping[str, Any]) -> None:
        """Count a row, and its steps where it has them."""
        self.num_rows += 1
        self.num_steps += len(row.get("steps", ()))

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds them."""
        numbers = {
            each.name.removeprefix("num_"): getattr(self, each.name)
            for each in fields(self)
            if each.name != "left_out"
        }
        return {**numbers, "left_out": _given(self.left_out)}

    def lines(self) -> list[str]:
        """A small table."""
        rows = [["problems", f"{self.num_problems:,}", ""]]
        solved = self.num_solved / max(self.num_problems, 1)
        rows.append(["solved", f"{self.num_solved:,}", f"{solved:.1%}"])
        for name, count in (("trees", self.num_trees), ("responses", self.num_responses)):
            if count:
                rows.append([name, f"{count:,}", f"{count / self.num_problems:.1f} a problem"])
        rows.append(["rows", f"{self.num_rows:,}", ""])
        if self.num_steps:
            rows.append(
                ["steps", f"{self.num_steps:,}", f"{self.num_steps / self.num_rows:.1f} a row"]
            )
        lines = table(rows)
        if left_out := _given(self.left_out):
            gone = [[name, f"{count:,}"] for name, count in left_out.items()]
            lines += ["", "left out", *(f"  {line}" for line in table(gone))]
        return lines


def made_path(output: Path) -> Path:
    """Of the file beside a label file."""
    return output.with_name(f"{output.name}.made.json")


def write_made(
    output: Path, args: Args, source: LabelSource, counts: Counts, num_graded: int
) -> None:
    """Say how a label file was made: rule, flags, digest of the input, what that says of its making, counts.

    It depends on nothing else, so that the same input gives the same bytes.
    """
    made_by: dict[str, Any] = {
        name: found[0] if len(found) == 1 else found for name, found in source.made_by.items()
    }
    if num_graded:
        made_by["graded_here"] = {"answers": num_graded, **conventions_record(args.grading)}
    made = {
        "rule": args.labelling.label,
        "flags": changed_flags(args.labelling),
        "step_codec": args.steps.step_codec,
        "prompt_template": args.data.prompt_template,
        "inputs": {str(source.path): digest(source.path)},
        "made_by": made_by,
        "counts": counts.to_dict(),
    }
    write_atomic(made_path(output), json.dumps(made, indent=2, ensure_ascii=False) + "\n")


def changed_flags(args: LabelArgs) -> dict[str, Any]:
    """Those with another value than their default."""
    default = LabelArgs()
    return {
        each.name: getattr(args, each.name)
        for each in fields(args)
        if getattr(args, each.name) != getattr(default, each.name)
    }


def digest(path: Path) -> str:
    """BLAKE2b of a file's bytes, 128 bits in hexadecimal digits."""
    found = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while block := file.read(_READ_BYTES):
            found.update(block)
    return found.hexdigest()


def _given(left_out: LeftOut) -> dict[str, int]:
    return {name: count for name, count in sorted(left_out.items()) if count}
