"""`python -m bench.recipes [NAME ...] [--seeds 0 1 2]`: every recipe on the tiny world, and what it improves.

A recipe is run once a seed, as a user runs it; what is read off it stands in its `rounds.jsonl` and in the tables of
verifiers. The table in examples/README.md is made of bench/results/recipes.json. Runs stay in `runs/recipes/`: one that
was stopped goes on, one that is complete is not run again.
"""

import argparse
import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.side import REPOSITORY

RUNS = REPOSITORY / "runs" / "recipes"
RESULTS = REPOSITORY / "bench" / "results" / "recipes.json"
DOCUMENT = REPOSITORY / "examples" / "README.md"
BEGIN, END = "<!-- table: python -m bench.recipes -->", "<!-- end of table -->"
STUDENT_95 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}
"""Two-sided 95% quantiles of Student's t by the number of seeds (one more than its degrees of freedom)."""

Read = Callable[[Path], float]


@dataclass(frozen=True)
class Claim:
    """What a recipe should improve, read before and after off its directory; `paper` is the paper's own."""

    recipe: str
    what: str
    before: Read
    after: Read
    paper: str


def stage(name: str, number: int = 1, when: str = "after") -> Read:
    """Accuracy at a stage of a round, before or after it trained."""

    def read(directory: Path) -> float:
        for row in map(json.loads, (directory / "rounds.jsonl").read_text().splitlines()):
            if (row["round"], row["stage"]) == (number, name):
                ((mean, _, _),) = row["reached"][when].values()
                return mean
        raise ValueError(f"{directory} has no stage {name} in round {number}")

    return read


def verified(name: str, method: str, number: int = 1) -> Read:
    """Accuracy of a method of a table of verifiers, with all solutions."""

    def read(directory: Path) -> float:
        file = directory / f"round_{number}" / f"{name}.json"
        rows = {row["name"]: row["accuracy"] for row in json.loads(file.read_text())["rows"]}
        sizes = rows[method]
        return sizes[max(sizes, key=int)]["mean"]

    return read


CLAIMS = (
    Claim(
        "alphamath",
        "greedy with code, start -> round 1",
        stage("policy", 1, "before"),
        stage("policy", 1),
        "MATH 33.2 -> 53.6 in 3 rounds",
    ),
    Claim(
        "alphamath",
        "greedy with code, round 1 -> round 2",
        stage("policy", 1),
        stage("policy", 2),
        "",
    ),
    Claim(
        "alphamath",
        "greedy -> beam (3, 5) with the value head, round 2",
        stage("policy", 2),
        stage("beam", 2),
        "MATH 53.6 -> 65.7",
    ),
    Claim("svpo", "sampled, start -> joint", stage("joint", 1, "before"), stage("joint"), ""),
    Claim("svpo", "sampled, joint -> SVPO", stage("joint"), stage("policy"), "not found"),
    Claim("svpo", "greedy -> beam (3, 5)", stage("greedy"), stage("beam"), "not found"),
    Claim(
        "rest_mcts",
        "sampled, start -> round 1",
        stage("policy", 1, "before"),
        stage("policy", 1),
        "MATH 30.0 -> 31.4 (Llama 3, few-shot -> round 1)",
    ),
    Claim(
        "rest_mcts",
        "sampled, round 1 -> round 2",
        stage("policy", 1),
        stage("policy", 2),
        "MATH 31.4 -> 34.3",
    ),
    Claim(
        "rest_mcts",
        "16 solutions, SC -> SC + PRM",
        verified("verifiers", "SC", 2),
        verified("verifiers", "SC+prm (last)", 2),
        "MATH500 35.1 -> 39.0 at 256",
    ),
    Claim(
        "self_explore",
        "sampled, start -> RFT",
        stage("rft", 1, "before"),
        stage("rft"),
        "GSM8K 57.8 -> 63.7 (Mistral)",
    ),
    Claim(
        "self_explore",
        "sampled, RFT -> Self-Explore",
        stage("rft"),
        stage("policy"),
        "GSM8K 63.7 -> 71.0",
    ),
    Claim(
        "self_explore",
        "sampled, DPO -> Self-Explore",
        stage("dpo"),
        stage("policy"),
        "GSM8K 68.8 -> 71.0",
    ),
    Claim(
        "math_shepherd",
        "16 solutions, SC -> best by PRM (min)",
        verified("verifiers", "SC"),
        verified("verifiers", "prm (min)"),
        "MATH500 45.4 -> 47.0 at 256",
    ),
    Claim(
        "math_shepherd",
        "16 solutions, SC -> SC + PRM (min)",
        verified("verifiers", "SC"),
        verified("verifiers", "SC+prm (min)"),
        "MATH500 45.4 -> 48.1 at 256",
    ),
)
RECIPES = tuple(dict.fromkeys(claim.recipe for claim in CLAIMS))


def main() -> int:
    """Run what was named, or all; exit status 1 where a recipe did not run through."""
    parser = argparse.ArgumentParser(prog="python -m bench.recipes", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(RECIPES))
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    args = parser.parse_args()
    if unknown := sorted(set(args.names) - set(RECIPES)):
        parser.error(f"no recipe {', '.join(unknown)}; there are {', '.join(RECIPES)}")
    found = json.loads(RESULTS.read_text())["recipes"] if RESULTS.exists() else {}
    for name in args.names or RECIPES:
        runs = {str(seed): run(name, seed) for seed in args.seeds}
        found[name] = figures(name, runs)
        RESULTS.write_text(json.dumps({"recipes": found}, indent=2) + "\n", encoding="utf-8")
        print("\n".join(rows_of(found[name])), flush=True)
    write(found)
    return 0


def run(name: str, seed: int) -> Path:
    """The directory of a recipe's run with a seed, complete; RuntimeError where it does not end well."""
    directory = RUNS / f"{name}_{seed}"
    flags = ["--config", f"examples/{name}/tiny.toml", "--seed", str(seed)]
    directory.parent.mkdir(parents=True, exist_ok=True)
    with (directory.parent / f"{name}_{seed}.log").open("a") as log:
        status = subprocess.run(
            [sys.executable, "train_zero_math.py", *flags, "--save_path", str(directory)],
            cwd=REPOSITORY,
            stdout=log,
            stderr=subprocess.STDOUT,
        ).returncode
    if status:
        raise RuntimeError(f"{name}, seed {seed}: status {status}; see {log.name}")
    return directory


def figures(name: str, runs: Mapping[str, Path]) -> dict[str, Any]:
    """What a recipe's claims came to with each seed, and its minutes, the stages' seconds added up."""
    ledgers = [
        [json.loads(line) for line in (path / "rounds.jsonl").read_text().splitlines()]
        for path in runs.values()
    ]
    return {
        "measured": time.strftime("%Y-%m-%d"),
        "seeds": list(runs),
        "minutes": [round(sum(row["seconds"] for row in ledger) / 60, 1) for ledger in ledgers],
        "claims": [
            {
                "what": claim.what,
                "paper": claim.paper,
                "before": [claim.before(path) for path in runs.values()],
                "after": [claim.after(path) for path in runs.values()],
            }
            for claim in CLAIMS
            if claim.recipe == name
        ],
    }


def interval(differences: Sequence[float]) -> tuple[float, float]:
    """The 95% interval of the mean over seeds, by Student's t; infinite with one seed."""
    if len(differences) < 2:
        return -math.inf, math.inf
    mean = statistics.fmean(differences)
    error = statistics.stdev(differences) / math.sqrt(len(differences))
    return mean - STUDENT_95[len(differences)] * error, mean + STUDENT_95[len(differences)] * error


def rows_of(recipe: Mapping[str, Any]) -> list[str]:
    """A line of the table for each claim, without the recipe's name."""
    rows = []
    for claim in recipe["claims"]:
        pairs = zip(claim["before"], claim["after"], strict=True)
        low, high = interval([after - before for before, after in pairs])
        before, after = statistics.fmean(claim["before"]), statistics.fmean(claim["after"])
        cells = [claim["what"], f"{before:.3f}", f"{after:.3f}", f"{after - before:+.3f}"]
        rows.append(" | ".join([*cells, f"{low:+.3f} to {high:+.3f}", claim["paper"]]))
    return rows


def write(found: Mapping[str, Any]) -> None:
    """Put the table between its marks."""
    lines = [
        "| recipe | what | from | to | gain | 95% interval over seeds | the paper's own | minutes |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in filter(found.__contains__, RECIPES):
        head, minutes = f"[{name}]({name}/README.md)", f"{max(found[name]['minutes']):.1f}"
        for row in rows_of(found[name]):
            lines.append(f"| {head} | {row} | {minutes} |")
            head = minutes = ""
    before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    table = "\n".join(lines)
    DOCUMENT.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
