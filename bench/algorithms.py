"""`python -m bench.algorithms [NAME ...]`: show that every algorithm learns; writes docs/algorithms.

Each variant is one run of train_zero_math.py on the bundled model, with the same seed; what differs
stands in its flags (algorithm_kinds.py). The table and the curves in `docs/` are made of their metrics.
Runs stay in `runs/algorithms/`, and one that is complete under the same flags is not run again.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.algorithm_curves import draw_curves
from bench.algorithm_kinds import KINDS, RUNS, Flags, Kind, Reading, Run, write_data
from bench.side import LOG_LINES, REPOSITORY

DOCUMENT = REPOSITORY / "docs" / "algorithms.md"
CURVES = REPOSITORY / "docs" / "algorithms.png"
BEGIN, END = "<!-- table: python -m bench.algorithms -->", "<!-- end of table -->"

KIND_OF: Mapping[str, Kind] = {name: kind for kind in KINDS for name in kind.variants}


@dataclass(frozen=True)
class Outcome:
    """One variant's run, and what is read off it."""

    name: str
    run: Run
    readings: Sequence[Reading]

    @property
    def kind(self) -> Kind:
        """Of the variant."""
        return KIND_OF[self.name]

    @property
    def is_enough(self) -> bool:
        """Whether it learned, in time."""
        is_in_time = self.run.elapsed_s <= self.kind.limit_s
        return is_in_time and all(reading.is_met for reading in self.readings)


def main() -> int:
    """Run what was named, or all; exit status 1 where one did not learn, or not in time."""
    parser = argparse.ArgumentParser(prog="python -m bench.algorithms", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(KIND_OF))
    args = parser.parse_args()
    unknown = sorted(set(args.names) - set(KIND_OF))
    if unknown:
        parser.error(f"no variant {', '.join(unknown)}; there are {', '.join(KIND_OF)}")
    write_data()
    outcomes = []
    for name in args.names or KIND_OF:
        outcome = outcome_of(name)
        outcomes.append(outcome)
        print("\n".join(_rows(outcome)), flush=True)
    if not args.names:
        write(outcomes)
    return 0 if all(outcome.is_enough for outcome in outcomes) else 1


def outcome_of(name: str) -> Outcome:
    """Train a variant, and read what its kind asks for."""
    kind = KIND_OF[name]
    run = run_of(name, (*kind.flags, *kind.variants[name]))
    return Outcome(name, run, kind.read(run, run_of))


def run_of(name: str, flags: Flags) -> Run:
    """The run of these flags, unless it is there; RuntimeError with the end of its output."""
    directory = RUNS / re.sub(r"\W+", "_", name.lower().replace("+", "p"))
    record = directory / "bench.json"
    if not record.exists() or tuple(json.loads(record.read_text())["flags"]) != flags:
        shutil.rmtree(directory, ignore_errors=True)
        started_s = time.monotonic()
        done = subprocess.run(
            [sys.executable, "train_zero_math.py", *flags, "--save_path", str(directory)],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode:
            tail = "\n".join(done.stdout.splitlines()[-LOG_LINES:])
            raise RuntimeError(f"{name}: train_zero_math.py ended with {done.returncode}:\n{tail}")
        elapsed_s = time.monotonic() - started_s
        record.write_text(json.dumps({"flags": flags, "elapsed_s": elapsed_s}))
    lines = (directory / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return Run(directory, rows, json.loads(record.read_text())["elapsed_s"])


def write(outcomes: Sequence[Outcome]) -> None:
    """Put the table between its marks, and draw the curves."""
    text = DOCUMENT.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    table = "\n".join(table_lines(outcomes))
    DOCUMENT.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}", encoding="utf-8")
    draw_curves({outcome.name: outcome.run for outcome in outcomes}, CURVES)


def table_lines(outcomes: Sequence[Outcome]) -> list[str]:
    """For each variant a row a measure: its flags, start, end and bound, and the run's seconds."""
    return [
        "| variant | flags over the demo's | measure | start | end | required | seconds |",
        "|---|---|---|---|---|---|---|",
        *(row for outcome in outcomes for row in _rows(outcome)),
    ]


def _rows(outcome: Outcome) -> list[str]:
    flags = " ".join(outcome.kind.variants[outcome.name])
    head = [outcome.name, f"`{flags}`" if flags else "none"]
    seconds = f"{outcome.run.elapsed_s:.0f}"
    if outcome.run.elapsed_s > outcome.kind.limit_s:
        seconds += f" (MISSED: {outcome.kind.limit_s:.0f})"
    rows = []
    for reading in outcome.readings:
        start = "" if reading.start is None else f"{reading.start:.3f}"
        required = f"{'at least' if reading.is_least else 'at most'} {reading.bound:.3f}"
        verdict = required if reading.is_met else f"{required} (MISSED)"
        cells = (*head, reading.name, start, f"{reading.end:.3f}", verdict, seconds)
        rows.append(f"| {' | '.join(cells)} |")
        head, seconds = ["", ""], ""
    return rows


if __name__ == "__main__":
    sys.exit(main())
