"""A recipe in rounds from end to end, on real engines: Self-Explore's five stages on a handful of sums."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
SMALLER = {
    "collect_problems": 24,
    "num_samples": 8,
    "num_prompt_epoch": 1,
    "eval_n": 1,
}
"""What is made smaller in `examples/self_explore/tiny.toml`; its stages and all else are the recipe's."""

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]


def smaller(recipe: str) -> str:
    for flag, number in SMALLER.items():
        recipe, count = re.subn(rf"^{flag} = .*$", f"{flag} = {number}", recipe, flags=re.M)
        assert count, flag
    return recipe.replace("size=200", "size=8")


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_self_explore(tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(smaller((REPOSITORY / "examples/self_explore/tiny.toml").read_text()))
    run = tmp_path / "run"
    command = [sys.executable, "train_zero_math.py", "--config", recipe, "--save_path", run]
    subprocess.run(command, cwd=REPOSITORY, check=True)

    ledger = rows(run / "rounds.jsonl")
    stages = ["responses", "rft_data", "rft", "pairs", "dpo", "explored", "pits", "policy"]
    assert [row["stage"] for row in ledger] == stages
    made = run / "round_1"
    assert len(rows(made / "responses.jsonl")) == 24
    # What was explored is what the pairs reject, by the policy that RFT made.
    pairs, explored = rows(made / "pairs.jsonl"), rows(made / "explored.jsonl")
    assert len(explored) == len(pairs) > 0
    assert {Path(tree["search"]["policy"]).parts[-3] for tree in explored} == {"rft"}
    # A pit is a step of the rejected solution, behind the steps before it.
    rejected = {pair["prompt"] + pair["rejected"] for pair in pairs}
    pits = rows(made / "pits.jsonl")
    assert pits
    for pit in pits:
        begun = pit["prompt"] + pit["rejected"]
        assert any(text.startswith(begun) for text in rejected), begun
    for stage in ("rft", "dpo", "policy"):
        (reached,) = next(row for row in ledger if row["stage"] == stage)["reached"][
            "after"
        ].values()
        assert 0 <= reached[0] <= 1

    # All is there: nothing is run again.
    subprocess.run(command, cwd=REPOSITORY, check=True)
    assert rows(run / "rounds.jsonl") == ledger
