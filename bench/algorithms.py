"""`python -m bench.algorithms [NAME ...]`: train the demo with every estimator; writes docs/algorithms.

Each variant is one run of train_zero_math.py on the bundled model and sums, with the same seed and
steps; what differs stands in its flags. The table and the curves in `docs/` are made of their
metrics; runs stay in `runs/algorithms/`, and one that is complete is not run again.
"""

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.side import LOG_LINES, REPOSITORY
from understand_r1_zero.charts import Line, draw_lines, finish, line_of, new_figure

VARIANTS: Mapping[str, tuple[str, ...]] = {
    "Dr. GRPO": (),
    "GRPO": ("--critic_type", "grpo"),
    "RLOO": ("--critic_type", "rloo"),
    "REINFORCE": ("--critic_type", "reinforce", "--policy_loss", "reinforce"),
    "REINFORCE++": ("--critic_type", "reinforce_pp"),
    "REINFORCE++-baseline": ("--critic_type", "reinforce_pp_baseline"),
    "ReMax": ("--critic_type", "remax"),
    "DAPO": (
        *("--critic_type", "grpo", "--loss_aggregation", "token"),
        *("--cliprange_high", "0.28", "--filter_zero_variance"),
    ),
    "GSPO": ("--critic_type", "grpo", "--policy_loss", "gspo"),
    "CISPO": ("--critic_type", "grpo", "--policy_loss", "cispo"),
}
"""The flags of each variant, over the demo's."""

STEPS = 30
MARGIN = 0.15
"""How far held-out accuracy must rise over the start."""
LIMIT_S = 240.0

RUNS = REPOSITORY / "runs" / "algorithms"
DOCUMENT = REPOSITORY / "docs" / "algorithms.md"
CURVES = REPOSITORY / "docs" / "algorithms.png"
BEGIN, END = "<!-- table: python -m bench.algorithms -->", "<!-- end of table -->"
ACCURACY = "eval/average/accuracy"

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Outcome:
    """One variant's run: its metrics, and wall seconds from start to end."""

    name: str
    rows: Rows
    elapsed_s: float

    @property
    def accuracies(self) -> tuple[float, float]:
        """Held-out accuracy at the start and at the end."""
        found = [row[ACCURACY] for row in self.rows if ACCURACY in row]
        return found[0], found[-1]

    @property
    def is_enough(self) -> bool:
        """Whether it learned, in time."""
        start, end = self.accuracies
        return end - start >= MARGIN and self.elapsed_s <= LIMIT_S


def main() -> int:
    """Run what was named, or all; exit status 1 where one did not learn."""
    parser = argparse.ArgumentParser(prog="python -m bench.algorithms", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(VARIANTS))
    parser.add_argument("--steps", type=int, default=STEPS)
    args = parser.parse_args()
    unknown = sorted(set(args.names) - set(VARIANTS))
    if unknown:
        parser.error(f"no variant {', '.join(unknown)}; there are {', '.join(VARIANTS)}")
    outcomes = []
    for name in args.names or VARIANTS:
        outcome = run(name, args.steps)
        outcomes.append(outcome)
        start, end = outcome.accuracies
        print(f"{name}: {start:.3f} -> {end:.3f} in {outcome.elapsed_s:.0f} s", flush=True)
    if not args.names:
        write(outcomes)
    return 0 if all(outcome.is_enough for outcome in outcomes) else 1


def run(name: str, steps: int) -> Outcome:
    """Train one variant, unless its run is there; RuntimeError with the end of its output."""
    directory = RUNS / re.sub(r"\W+", "_", name.lower().replace("+", "p"))
    seconds = directory / "seconds.json"
    if not seconds.exists():
        flags = ["--max_steps", str(steps), "--eval_steps", "10", "--save_path", str(directory)]
        started_s = time.monotonic()
        done = subprocess.run(
            [sys.executable, "train_zero_math.py", *VARIANTS[name], *flags],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode:
            tail = "\n".join(done.stdout.splitlines()[-LOG_LINES:])
            raise RuntimeError(f"{name}: train_zero_math.py ended with {done.returncode}:\n{tail}")
        seconds.write_text(json.dumps(time.monotonic() - started_s))
    lines = (directory / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return Outcome(name, [json.loads(line) for line in lines], json.loads(seconds.read_text()))


def write(outcomes: Sequence[Outcome]) -> None:
    """Put the table between its marks, and draw the curves."""
    text = DOCUMENT.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    table = "\n".join(table_lines(outcomes))
    DOCUMENT.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}", encoding="utf-8")
    curves([line_of(outcome.rows, ACCURACY, outcome.name) for outcome in outcomes])


def table_lines(outcomes: Sequence[Outcome]) -> list[str]:
    """A row for each variant: flags, accuracy at the start and at the end, seconds."""
    lines = [
        "| variant | flags over the demo's | accuracy at step 0 | at the end | seconds |",
        "|---|---|---|---|---|",
    ]
    for outcome in outcomes:
        start, end = outcome.accuracies
        flags = " ".join(VARIANTS[outcome.name])
        shown = f"`{flags}`" if flags else "none"
        lines.append(
            f"| {outcome.name} | {shown} | {start:.3f} | {end:.3f} | {outcome.elapsed_s:.0f} |"
        )
    return lines


def curves(lines: Sequence[Line]) -> None:
    """Held-out accuracy over steps, all variants in one picture."""
    figure, (axes,) = new_figure()
    labels = draw_lines(axes, lines, lambda value: f"{value:.2f}")
    finish(axes, "Held-out accuracy", "over optimizer steps, the demo's sums", labels)
    figure.savefig(CURVES)


if __name__ == "__main__":
    sys.exit(main())
