"""The command search, and searches in evaluation, on real engines."""

import json
import signal
import time

import pytest

from understand_r1_zero.search.records import chosen_of, facts_of, read_trees

pytestmark = [pytest.mark.engine, pytest.mark.slow]

SEARCH = ("-m", "understand_r1_zero", "search")
WORLD = (
    "--pretrain examples/tiny/stepper --value_model examples/tiny/value --grader_workers 1".split()
)
STEM = "State the final answer to the following arithmetic problem: "
SUMS = (
    "3 - 7 + 9 =",
    "5 + 5 - 8 + 1 =",
    "9 - 2 - 8 =",
    "1 + 1 + 1 =",
    "3 - 7 + 9 =",
    "4 - 9 - 3 + 6 =",
)


@pytest.fixture
def qaf(tmp_path):
    """Questions in Super_MARIO's format, two of them equal."""
    rows = [
        {
            "index": f"q{place}",
            "question": STEM + text,
            "answer": str(eval(text[:-2])),
            "human_type": 3,
        }
        for place, text in enumerate(SUMS * 2)
    ]
    path = tmp_path / "questions.json"
    path.write_text(json.dumps(rows))
    return path


@pytest.fixture
def search(start_run, tmp_path):
    """Run the command to its end; its status and what it said."""

    def run(*flags, name="search"):
        path = ["--save_path", tmp_path / "logs"]
        started = start_run(*flags, *path, name=name, small=False, program=SEARCH)
        return started.wait(), started.text()

    return run


def test_a_search_goes_on_where_its_file_was_cut_and_its_trees_are_looked_at_again(
    search, qaf, tmp_path
):
    trees = tmp_path / "trees.jsonl"
    flags = [*WORLD, *"--method mcts --oracle value --simulations 12".split(), "--qaf", qaf]
    status, said = search(*flags, "--output", trees)
    assert status == 0, said
    assert "questions             12" in said
    lines = trees.read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert sorted(row["search"]["place"] for row in rows) == list(range(12))
    assert sorted(row["index"] for row in rows) == sorted(f"q{place}" for place in range(12))
    assert all(row["human_type"] == 3 and row["question"].startswith(STEM) for row in rows)
    for tree in read_trees(trees):
        facts = facts_of(tree)
        assert facts["method"] == "mcts" and facts["simulations"] <= 12
        assert all(node.value is None or -1 <= node.value <= 1 for node in tree.nodes)
        if facts["status"] == "correct":
            chosen = tree.nodes[chosen_of(tree)]
            assert chosen.answer == tree.record["answer"] and chosen.reward == 1

    trees.write_text("\n".join(lines[:5]) + "\n" + lines[5][:100])
    status, said = search(*flags, "--output", trees, name="again")
    assert status == 0 and "5 of 12 questions are in" in said, said
    again = trees.read_text().splitlines()
    assert again[:5] == lines[:5]
    places = [json.loads(line)["search"]["place"] for line in again]
    assert sorted(places) == list(range(12))
    # The same seeds: what was searched twice is the same tree.
    by_place = {json.loads(line)["search"]["place"]: json.loads(line)["react"] for line in lines}
    assert all(
        json.loads(line)["react"] == by_place[place]
        for line, place in zip(again, places, strict=True)
    )

    status, said = search(*flags, "--output", trees, "--method", "sbs", name="other")
    assert status == 1 and "line 1 was made with method mcts, and not sbs" in said
    status, said = search("--from", trees, name="offline")
    assert status == 0 and "best by q_value" in said and "weighted by min of values" in said
    status, said = search("--view", trees, "--index", "3", name="view")
    assert status == 0 and (tmp_path / "trees.3.html").read_text().startswith("<!DOCTYPE html>")
    status, said = search("--view", trees, "--index", "12", name="beyond")
    assert status == 1 and "--index must be below 12" in said
    status, said = search("--plot", trees, name="plot")
    assert status == 0 and all((tmp_path / f"{x}_by_step.png").exists() for x in "qv"), said


def test_an_interrupted_search_keeps_what_it_has(start_run, tmp_path):
    trees = tmp_path / "trees.jsonl"
    flags = "--config examples/tiny/search.toml --grader_workers 1 --output".split()
    run = start_run(*flags, trees, small=False, program=SEARCH)
    deadline = time.monotonic() + 150
    while not (trees.exists() and trees.read_text().count("\n") > 4):
        assert run.process.poll() is None and time.monotonic() < deadline, run.text()
        time.sleep(0.02)
    run.process.send_signal(signal.SIGINT)
    assert run.wait() == 130, run.text()
    assert "the same command goes on" in run.text()
    assert 4 < len(list(read_trees(trees))) < 200


def test_code_steps_are_run_where_nothing_can_be_harmed(search, qaf, tmp_path):
    trees = tmp_path / "trees.jsonl"
    flags = "--method sbs --width 2 --num_children 4 --oracle value --step_codec xml".split()
    status, said = search(*WORLD, *flags, "--qaf", qaf, "--output", trees)
    assert status == 0, said
    codes = [
        node.step for tree in read_trees(trees) for node in tree.nodes if node.step.code is not None
    ]
    assert len(codes) > 24
    for step in codes:
        assert step.observation == str(eval(step.code.removeprefix("print"))), step.text


def test_a_codec_that_never_matches_says_why(search, qaf, tmp_path):
    flags = "--method maj --search_samples 10 --step_codec xml --prompt_template no".split()
    status, said = search(
        *flags, "--pretrain", "examples/tiny/model", "--qaf", qaf, "--output", tmp_path / "t.jsonl"
    )
    assert status == 0, said
    assert "warning: none of the first 50 samples is a step of the codec xml: no step (" in said
    assert "without an answer  12  100.0%" in said


def test_benchmarks_are_searched_while_training(start_run):
    flags = "--max_steps 1 --eval_steps 1 --method sbs --search_oracle value --step_temperature 0.8"
    run = start_run(*WORLD, *flags.split())
    assert run.wait() == 0, run.text()
    before, after = run.rows()
    assert all(0.3 < row["eval/sum_3/accuracy"] <= 1 for row in (before, after))
    [stored] = (run.path / "eval_results").glob("1_sum_3*.json")
    response = json.loads(stored.read_text())["results"][0]["responses"][0]
    assert response["text"].count("\n") >= 2


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--output {tmp}/t.jsonl --qaf {tmp}/lost.jsonl", "--prompt_data and --eval_data take"),
        ("--output {tmp}/t.jsonl --qaf {tmp}/bare.jsonl", "no gold answer in 'answer'"),
        ("--qaf {tmp}/bare.jsonl", "--output names no file"),
        ("--from {tmp}/none.jsonl", "has no trees"),
        ("--from {tmp}/broken.jsonl", "broken.jsonl, line 1:"),
        ("--view {tmp}/none.jsonl", "--view has no trees"),
        ("--plot {tmp}/none.jsonl", "there is nothing to draw"),
    ],
)
def test_bad_files_are_told_in_one_line(search, tmp_path, flags, message):
    (tmp_path / "bare.jsonl").write_text('{"question": "1 + 1", "answer": ""}\n')
    (tmp_path / "none.jsonl").write_text("")
    (tmp_path / "broken.jsonl").write_text('{"question": "1 + 1"}\n')
    status, said = search(*flags.format(tmp=tmp_path).split())
    assert status == 1 and message in said, said
    assert said.splitlines()[-1].startswith("error: ")
