"""`python -m bench.search_methods`: every search on the tiny world, as the table of docs/search.md.

Each is the command `search` on the same 200 held-out questions, and is compared with the majority vote of as many
samples as cost at least its tokens. The rows go to bench/results/search_methods.json, the table to the standard
output; trees that are there are not searched again.
"""

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean

import numpy as np

from bench.__main__ import RESULTS
from bench.side import REPOSITORY
from understand_r1_zero.scoring import Estimate, bootstrap
from understand_r1_zero.search.records import chosen_of, facts_of, read_trees
from understand_r1_zero.search.tree import SearchTree

QUESTIONS = "reasoning_gym:chain_sum?min_terms=5&max_terms=5&min_digits=1&max_digits=1&size=200"
VALUE = ("--oracle", "value", "--value_model", "examples/tiny/value")
MAJORITIES = (2, 5, 10, 16, 32, 64)


@dataclass(frozen=True)
class Run:
    """A method with flags of its own, and what it is called in the table."""

    name: str
    flags: tuple[str, ...]
    has_values: bool = True


RUNS = (
    Run("greedy", ("--method", "greedy"), has_values=False),
    *(
        Run(f"maj@{k}", ("--method", "maj", "--search_samples", str(k)), has_values=False)
        for k in MAJORITIES
    ),
    Run("best of 5", ("--method", "best_of_n", "--search_samples", "5")),
    *(
        Run(f"SBS ({width}, 5)", ("--method", "sbs", "--width", str(width)))
        for width in (1, 2, 3, 5)
    ),
    Run(
        "look-ahead (2, 4), 1 step",
        ("--method", "lookahead", "--width", "2", "--lookahead_steps", "1"),
    ),
    Run("breadth first", ("--method", "tot_bfs", "--gate_needs_answer")),
    Run("depth first", ("--method", "tot_dfs", "--gate_needs_answer")),
    Run("MCTS, 40 simulations", ("--method", "mcts")),
    Run("ReST-MCTS*", ("--method", "rest_mcts", "--gate_needs_answer", "--reflection", "none")),
    Run("rStar-Math, 12 roll-outs", ("--method", "rstar", "--num_children", "5")),
)
CODE_RUNS = tuple(
    run
    for run in RUNS
    if run.name
    in (
        "greedy",
        "maj@2",
        "maj@5",
        "maj@10",
        "maj@16",
        "SBS (1, 5)",
        "SBS (3, 5)",
        "MCTS, 40 simulations",
    )
)
"""With code: the methods that AlphaMath has, since running it takes long on two cores."""


@dataclass(frozen=True)
class Row:
    """What a method came to; means over questions, and of the steps over chosen solutions."""

    codec: str
    name: str
    accuracy: Estimate
    tokens: float
    seconds: float
    steps: float


def main() -> None:
    """Search, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trees", type=Path, default=REPOSITORY / "runs" / "search_methods")
    options = parser.parse_args()
    rows = []
    for codec, runs in (("lines", RUNS), ("xml", CODE_RUNS)):
        for run in runs:
            row = measure(run, codec, options.trees)
            print(table([row]).splitlines()[-1], file=sys.stderr, flush=True)
            rows.append(row)
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps([asdict(row) for row in rows], indent=2)
    (RESULTS / "search_methods.json").write_text(text + "\n")
    print(table(rows))


def measure(run: Run, codec: str, folder: Path) -> Row:
    """Search all questions, unless the trees are there already."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = re.sub(r"[^a-z0-9]+", "_", f"{codec} {run.name}".lower()).strip("_")
    trees, log = folder / f"{stem}.jsonl", folder / f"{stem}.log"
    if not log.exists() or "searched 200" not in log.read_text():
        trees.unlink(missing_ok=True)
        command = [sys.executable, "-m", "understand_r1_zero", "search"]
        command += ["--pretrain", "examples/tiny/stepper", "--step_codec", codec, *run.flags]
        command += ["--qaf", f"sum_5={QUESTIONS}", "--output", str(trees)]
        command += [*(VALUE if run.has_values else ()), "--save_path", str(folder / stem)]
        with log.open("w") as file:
            subprocess.run(command, stdout=file, stderr=file, cwd=REPOSITORY, check=True)
    return row_of(run.name, codec, list(read_trees(trees)), seconds_of(log.read_text()))


def seconds_of(log: str) -> float:
    """What the command says it took, without its start."""
    found = re.search(r"searched (\d+) questions in (?:(\d+)m )?([\d.]+)s", log)
    assert found, log
    return (60 * int(found[2] or 0) + float(found[3])) / int(found[1])


def row_of(name: str, codec: str, trees: Sequence[SearchTree], seconds: float) -> Row:
    """The means."""
    facts = [facts_of(tree) for tree in trees]
    is_right = [float(each.get("status") == "correct") for each in facts]
    chosen = [(tree, number) for tree in trees if (number := chosen_of(tree)) is not None]
    return Row(
        codec,
        name,
        bootstrap(np.array(is_right)[:, None])[0],
        mean(each.get("tokens", 0) for each in facts),
        seconds,
        mean(tree.nodes[number].depth for tree, number in chosen),
    )


def table(rows: Iterable[Row]) -> str:
    """Markdown, in the layout of the AlphaMath README, with the vote that costs as much beside each search."""
    rows = list(rows)
    lines = [
        "| steps | method | accuracy | 95% interval | majority at its tokens | tokens | s a question | steps a solution |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        votes = [v for v in rows if v.codec == row.codec and v.name.startswith("maj@")]
        fair = next((v for v in votes if v.tokens >= row.tokens), None)
        is_plain = row.name.startswith(("maj@", "greedy"))
        beside = f"{fair.accuracy.mean:.3f} ({fair.name})" if fair and not is_plain else ""
        low, high = row.accuracy.low, row.accuracy.high
        lines.append(
            f"| `{row.codec}` | {row.name} | {row.accuracy.mean:.3f} | {low:.3f}-{high:.3f} | {beside} | "
            f"{row.tokens:.0f} | {row.seconds:.3f} | {row.steps:.2f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
