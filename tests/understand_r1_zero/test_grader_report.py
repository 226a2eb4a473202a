import json
from pathlib import Path

import numpy as np
import pytest

from understand_r1_zero.args import Args, DataArgs, GradingArgs, OracleArgs
from understand_r1_zero.evaluate import Evaluation
from understand_r1_zero.grader_report import ROWS_NAMED, GraderReport, graded_by
from understand_r1_zero.grading.conventions import PRESETS, conventions_record
from understand_r1_zero.recorder import Recorder
from understand_r1_zero.run_directory import RunDirectory, read_rows
from understand_r1_zero.scoring import score
from understand_r1_zero.types import Group, Problem, Response, Status, Verdict, VersionSpan

RIGHT = Verdict(1.0, Status.CORRECT, "5")
UNKNOWN = Verdict(0.0, Status.UNKNOWN, "5", "cannot parse the gold answer")
DISPUTED = Verdict(1.0, Status.CORRECT, "x+1", audit=(("fast", Status.INCORRECT),))


def group(source: str, row: int, *verdicts: Verdict) -> Group:
    tokens = np.zeros(1, np.int32)
    responses = tuple(
        Response("", tokens, tokens.astype(np.float32), False, (VersionSpan(0, 1),), each)
        for each in verdicts
    )
    problem = Problem(source, row, "?", (r"\foo",))
    return Group(row, problem, "?", tokens, responses, 0.0, 0.0)


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory.create(tmp_path / "run")


def test_unreadable_golds_are_told_once_each_and_listed(run: RunDirectory):
    lines: list[str] = []
    report = GraderReport(Args(), run, lines.append)
    report.add(1, [group("math/train", 17, RIGHT, UNKNOWN), group("math/train", 3, UNKNOWN)])
    report.add(1, [group("math/train", 3, UNKNOWN, UNKNOWN), group("math/train", 4, RIGHT)])
    report.add(2, [group("math/train", 3, UNKNOWN), group("aime", 3, UNKNOWN)])
    assert [line.partition(" (counted")[0] for line in lines] == [
        "gold answers that cannot be read: math/train rows 3, 17",
        "gold answers that cannot be read: aime row 3",
    ]
    assert str(run.unknown_golds) in lines[0]
    rows = read_rows(run.unknown_golds)
    assert [(row["step"], row["source"], row["row"]) for row in rows] == [
        (1, "math/train", 17),
        (1, "math/train", 3),
        (2, "aime", 3),
    ]
    assert rows[0]["gold"] == [r"\foo"]
    assert rows[0]["reason"] == "cannot parse the gold answer"


def test_a_warning_names_so_many_rows_and_the_file_all(run: RunDirectory):
    lines: list[str] = []
    groups = [group("math", row, UNKNOWN) for row in range(ROWS_NAMED + 40)]
    GraderReport(Args(), run, lines.append).add(0, groups)
    (line,) = lines
    assert f"0, 1, 2, 3, 4, 5, 6, 7, 8, {ROWS_NAMED - 1}; and 40 more (counted" in line
    assert len(read_rows(run.unknown_golds)) == ROWS_NAMED + 40


def test_a_resumed_run_tells_again_only_what_it_forgot(run: RunDirectory):
    first = GraderReport(Args(), run, lambda line: None)
    for step in (1, 2, 3):
        first.add(step, [group("math", step, UNKNOWN, DISPUTED)])
    lines: list[str] = []
    resumed = GraderReport(Args(), run, lines.append)
    run.truncate_after(2)
    for step in (1, 2, 3):
        resumed.add(step, [group("math", step, UNKNOWN, DISPUTED)])
    assert [line.partition(" (counted")[0] for line in lines] == [
        "gold answers that cannot be read: math row 3"
    ]
    assert [row["row"] for row in read_rows(run.unknown_golds)] == [1, 2, 3]
    assert [row["step"] for row in read_rows(run.grader_audit)] == [1, 2, 1, 2, 3]


def test_healthy_groups_leave_no_files_and_no_lines(run: RunDirectory):
    lines: list[str] = []
    GraderReport(Args(), run, lines.append).add(1, [group("math", 0, RIGHT)])
    assert lines == []
    assert not run.unknown_golds.exists() and not run.grader_audit.exists()


def test_evaluations_are_stored_with_every_convention(run: RunDirectory):
    grading = GradingArgs(preset="strict", answer_order="any")
    report = GraderReport(Args(grading=grading), run, print)
    groups = [group("math", 0, DISPUTED), group("math", 1, RIGHT)]
    metrics = report.store_evaluations(20, {"math": Evaluation(groups, score(groups))})
    assert metrics == {"eval/math/disagree/fast": 1.0}
    stored = json.loads((run.eval_results / "20_math.json").read_text())
    assert stored["score"]["disagree/fast"] == 1.0 and stored["score"]["accuracy"] == 1.0
    assert stored["conventions"] == {
        "oracle": "math",
        "extraction": "boxed",
        "preset": "strict",
        **PRESETS["strict"].to_dict(),
        "order": "any",
    }
    (example,) = read_rows(run.grader_audit)
    assert (example["step"], example["source"], example["answer"]) == (20, "math", "x+1")


def test_what_graded_follows_the_template_and_a_users_oracle_has_conventions_for_votes_only():
    assert graded_by(Args(data=DataArgs(prompt_template="r1")))["extraction"] == "answer_tag"
    record = graded_by(Args(oracle=OracleArgs(oracle="mine:Oracle")))
    assert record == {"oracle": "mine:Oracle", "votes": conventions_record(GradingArgs())}


def test_a_run_records_all_of_it(run: RunDirectory, capsys: pytest.CaptureFixture[str]):
    known = [group("math", 0, RIGHT), group("math", 2, UNKNOWN)]
    with Recorder(Args(), run, 1, 0) as recorder:
        metrics = recorder.evaluation(0, {"math": Evaluation(known, score(known))})
        recorder.step(1, [group("train", 5, DISPUTED, UNKNOWN)], metrics)
    assert metrics["eval/math/unknown_count"] == 1.0
    assert not any("disagree" in key for key in metrics)
    rows = read_rows(run.unknown_golds)
    assert [(row["step"], row["source"], row["row"]) for row in rows] == [
        (0, "math", 2),
        (1, "train", 5),
    ]
    printed = capsys.readouterr().out
    assert "warning: gold answers that cannot be read: math row 2" in printed
    assert "warning: gold answers that cannot be read: train row 5" in printed
    sample = json.loads((run.samples / "step_000001.jsonl").read_text())
    stored = json.loads((run.eval_results / "0_math.json").read_text())
    assert sample["conventions"] == stored["conventions"] == graded_by(Args())
    assert [row["source"] for row in read_rows(run.grader_audit)] == ["train"]
