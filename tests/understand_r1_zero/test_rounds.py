"""Rounds that run: stages of labels, which need no engine, one after another, stopped and gone on with."""

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from understand_r1_zero.cli import parse_training
from understand_r1_zero.rounds import reached, run_command, run_rounds, summary_lines

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).resolve().parents[2]
RECIPE = """
rounds = 2
step_codec = "lines"

[[stages]]
name = "right"
run = "label"
label = "solutions"
label_from = "RESPONSES"

[[stages]]
name = "pairs"
run = "label"
label = "solution_pairs"
label_from = "RESPONSES"
in_rounds = "2-"
"""


@pytest.fixture
def recipe(tmp_path):
    responses = tmp_path / "responses.jsonl"
    row = {"prompt": "1 + 1?", "preds": ["1+1=2\n\\boxed{2}", "1+1=3\n\\boxed{3}"], "answer": "2"}
    responses.write_text(json.dumps(row) + "\n")

    def write(change=lambda text: text):
        path = tmp_path / "recipe.toml"
        path.write_text(change(RECIPE.replace("RESPONSES", str(responses))))
        return path

    return write


def run(path, save_path, *flags):
    return run_rounds(
        parse_training(["--config", str(path), "--save_path", str(save_path), *flags])
    )


def ledger(save_path):
    return [json.loads(line) for line in (save_path / "rounds.jsonl").read_text().splitlines()]


def test_stages_run_in_order_and_once(recipe, tmp_path, capfd):
    home = tmp_path / "run"
    assert run(recipe(), home, "--rounds", "1") == 0
    assert [(row["round"], row["stage"]) for row in ledger(home)] == [(1, "right")]
    assert json.loads((home / "round_1" / "right.jsonl").read_text()) == {
        "query": "1 + 1?",
        "response": "1+1=2\n\\boxed{2}",
    }
    # More rounds, asked of the run itself: what is done is not done again.
    first = ledger(home)
    assert run_rounds(parse_training(["--resume", str(home), "--rounds", "2"])) == 0
    assert ledger(home)[:1] == first
    done = [(row["round"], row["stage"]) for row in ledger(home)]
    assert done == [(1, "right"), (2, "right"), (2, "pairs")]
    assert "seed = 43" in (home / "round_2" / "pairs.toml").read_text()
    made = json.loads((home / "round_2" / "pairs.jsonl").read_text())
    assert made["rejected"] == "1+1=3\n\\boxed{3}"
    assert "round 2 of 2, pairs: label" in capfd.readouterr().out


def test_a_finished_stage_keeps_its_flags_and_a_directory_its_rounds(recipe, tmp_path):
    home = tmp_path / "run"
    assert run(recipe(), home, "--rounds", "1") == 0
    changed = recipe(
        lambda text: text.replace("RESPONSES", "").replace(
            'label = "solutions"', 'label = "solutions"\nlabel_right = 2'
        )
    )
    with pytest.raises(ValueError, match="stage right of round 1 is done, with other flags"):
        run(changed, home)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="holds files of another run"):
        run(recipe(), tmp_path / "other")


def test_a_stage_that_fails_ends_the_rounds_and_is_run_again(recipe, tmp_path):
    home = tmp_path / "run"
    responses = tmp_path / "responses.jsonl"
    path = recipe()
    whole = responses.read_text()
    responses.write_text("{no json\n")
    with pytest.raises(
        RuntimeError, match=r"stage right of round 1 ended with status 1; .*--resume"
    ):
        run(path, home, "--rounds", "1")
    assert not (home / "rounds.jsonl").exists()
    responses.write_text(whole)
    assert run(path, home, "--rounds", "1") == 0


def test_a_stage_is_told_to_stop_and_ends_with_us(tmp_path):
    # Another program in place of ours: what counts is who is told, and when.
    told = tmp_path / "told"
    program = (
        "import signal, sys, time, pathlib\n"
        f"def stop(*_): pathlib.Path({str(told)!r}).write_text('once'); sys.exit(7)\n"
        "signal.signal(signal.SIGINT, stop)\n"
        "time.sleep(60)\n"
    )
    script = tmp_path / "program.py"
    script.write_text(program)
    should_stop = threading.Event()
    threading.Timer(1.0, should_stop.set).start()
    assert run_command([str(script)], should_stop) == 7
    assert told.read_text() == "once"

    parent = (
        "import threading; from understand_r1_zero.rounds import run_command\n"
        f"run_command([{str(script)!r}], threading.Event())\n"
    )
    process = subprocess.Popen([sys.executable, "-c", parent], cwd=REPOSITORY)
    for _ in range(200):
        children = psutil.Process(process.pid).children()
        if children:
            break
        process.poll()
        threading.Event().wait(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    gone, alive = psutil.wait_procs(children, timeout=10)
    assert gone and not alive, "a stage outlives nobody"


def test_what_a_training_stage_reached_is_read_off_its_metrics(tmp_path):
    rows = [
        {
            "step": 0,
            "eval/a/accuracy": 0.5,
            "eval/a/accuracy_low": 0.4,
            "eval/a/accuracy_high": 0.6,
        },
        {"step": 1, "actor/rewards": 0.1},
        {"step": 2, "eval/a/accuracy": 0.7, "eval/average/accuracy": 0.7},
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    found = reached("train", tmp_path)
    assert found == {"before": {"a": [0.5, 0.4, 0.6]}, "after": {"a": [0.7, 0.7, 0.7]}}
    row = {"round": 1, "stage": "policy", "run": "train", "seconds": 61.0, "reached": found}
    assert summary_lines([row])[-1].split()[-5:] == ["61.0s", "a", "0.500", "0.700", "0.700-0.700"]
