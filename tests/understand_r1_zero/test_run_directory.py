import errno
import json
import pickle
import subprocess
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from understand_r1_zero.run_directory import (
    DiskError,
    RunDirectory,
    append_rows,
    default_path,
    disk_errors_explained,
    evaluation_name,
    read_rows,
    write_atomic,
)
from understand_r1_zero.types import Group, Problem, Response, Status, Verdict, VersionSpan


def run_python(code: str, argument: Path) -> str:
    """What a Python process of its own prints."""
    command = [sys.executable, "-c", code, str(argument)]
    return subprocess.run(command, capture_output=True, text=True).stdout


CONVENTIONS = {"preset": "default", "order": "any"}


def group(index: int, text: str = "so 2", spans: tuple[VersionSpan, ...] = ()) -> Group:
    response = Response(
        text=text,
        token_ids=np.arange(3, dtype=np.int32),
        sampler_logprobs=np.zeros(3, dtype=np.float32),
        is_truncated=False,
        version_spans=spans or (VersionSpan(4, 3),),
        verdict=Verdict(1.0, Status.CORRECT, answer="2"),
    )
    problem = Problem("sums", index, "1 + 1?", ("2",))
    return Group(index, problem, "Q: 1 + 1?", np.zeros(4, dtype=np.int32), (response,), 0.1, 0.1)


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory.create(tmp_path / "runs" / "a")


def test_create_makes_every_folder(run: RunDirectory):
    for folder in (run.samples, run.eval_results, run.checkpoints, run.plots, run.logs):
        assert folder.is_dir()


def test_create_refuses_a_directory_that_holds_files_and_names_both_ways_out(run: RunDirectory):
    with pytest.raises(
        ValueError, match=f"already holds files; .*--resume {run.path}, or .*--save_path"
    ):
        RunDirectory.create(run.path)


def test_create_takes_an_empty_directory_and_refuses_a_file(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    RunDirectory.create(tmp_path / "empty")
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="must be a directory"):
        RunDirectory.create(tmp_path / "file")


def test_opening_no_run_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="--resume must name a run directory"):
        RunDirectory(tmp_path / "missing")


def test_metrics_keep_every_digit_and_stay_json(run: RunDirectory):
    value = 0.1 + 0.2
    run.append_metrics(0, {"a": value, "b": float("nan"), "c": np.float32(0.5), "d": np.inf})
    (row,) = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    assert row == {"step": 0, "a": value, "b": None, "c": 0.5, "d": None}


def test_metrics_are_on_disk_at_once(run: RunDirectory):
    run_python(
        "import os, signal, sys; from pathlib import Path\n"
        "from understand_r1_zero.run_directory import RunDirectory\n"
        "RunDirectory(Path(sys.argv[1])).append_metrics(7, {'a': 1.0})\n"
        "os.kill(os.getpid(), signal.SIGKILL)",
        run.path,
    )
    assert run.read_metrics() == [{"step": 7, "a": 1.0}]


def test_a_row_cut_short_is_left_out_and_any_other_damage_is_named(run: RunDirectory):
    run.append_metrics(1, {"a": 1.0})
    with run.metrics.open("a") as file:
        file.write('{"step":2,"a')
    assert [row["step"] for row in run.read_metrics()] == [1]
    with run.metrics.open("a") as file:
        file.write("\n")
    with pytest.raises(ValueError, match=r"metrics.jsonl:2 is not JSON"):
        run.read_metrics()


def test_no_metrics_file_is_no_rows(tmp_path: Path):
    assert read_rows(tmp_path / "metrics.jsonl") == []


def test_truncate_after_forgets_what_the_resumed_run_repeats(run: RunDirectory):
    for step in range(4):
        run.append_metrics(step, {"a": step / 3})
        run.write_samples(step, [group(0)], CONVENTIONS)
        run.write_evaluation(step, "math", [group(0)], {"accuracy": 1.0}, CONVENTIONS)
        append_rows(run.unknown_golds, [{"step": step, "row": 3}])
    with run.metrics.open("a") as file:
        file.write('{"step":4,"a')
    (run.samples / "notes.txt").touch()
    before = run.metrics.read_text().splitlines(keepends=True)
    run.truncate_after(2)
    assert run.metrics.read_text() == "".join(before[:3])
    assert [row["step"] for row in read_rows(run.unknown_golds)] == [0, 1, 2]
    assert not run.grader_audit.exists()
    assert {path.name for path in run.samples.iterdir()} == {
        "notes.txt",
        *(f"step_00000{step}.jsonl" for step in range(3)),
    }
    assert {path.name for path in run.eval_results.iterdir()} == {
        f"{step}_math.json" for step in range(3)
    }
    run.append_metrics(3, {"a": 1.0})
    assert [row["step"] for row in run.read_metrics()] == [0, 1, 2, 3]


def test_samples_hold_what_a_person_wants_to_read(run: RunDirectory):
    spans = (VersionSpan(3, 1), VersionSpan(4, 2))
    path = run.write_samples(12, [group(1, spans=spans), group(0)], CONVENTIONS)
    assert path.name == "step_000012.jsonl"
    first, second = [json.loads(line) for line in path.read_text().splitlines()]
    assert (first["problem_id"], first["problem"], first["gold"]) == ("sums:0", "1 + 1?", ["2"])
    assert first["prompt"] == "Q: 1 + 1?"
    assert first["responses"] == [
        {
            "text": "so 2",
            "reward": 1.0,
            "status": "correct",
            "answer": "2",
            "num_tokens": 3,
            "version": 4,
        }
    ]
    assert second["responses"][0]["version"] == [[3, 1], [4, 2]]
    assert first["conventions"] == second["conventions"] == CONVENTIONS


def test_samples_tell_what_an_audit_found(run: RunDirectory):
    audited = Verdict(1.0, Status.CORRECT, answer="2", audit=(("fast", Status.INCORRECT),))
    (response,) = group(0).responses
    groups = [replace(group(0), responses=(replace(response, verdict=audited),))]
    path = run.write_samples(0, groups, CONVENTIONS)
    assert json.loads(path.read_text())["responses"][0]["presets"] == {"fast": "incorrect"}


def test_rows_are_appended_and_no_rows_make_no_file(run: RunDirectory):
    append_rows(run.grader_audit, [])
    assert not run.grader_audit.exists()
    append_rows(run.grader_audit, [{"answer": "\ud800 \u2028"}, {"answer": "2"}])
    append_rows(run.grader_audit, [{"answer": "3"}])
    assert [row["answer"] for row in read_rows(run.grader_audit)] == ["\ud800 \u2028", "2", "3"]


def test_model_text_of_any_kind_can_be_written(run: RunDirectory):
    text = "é \u2028 \ud800 \x00 \n"
    path = run.write_samples(0, [group(0, text=text)], CONVENTIONS)
    (line,) = path.read_bytes().decode("utf-8").strip("\n").split("\n")
    assert json.loads(line)["responses"][0]["text"] == text


def test_evaluation_file(run: RunDirectory):
    groups = [group(1), group(0)]
    path = run.write_evaluation(20, "math", groups, {"accuracy": 0.5}, CONVENTIONS)
    assert path == run.eval_results / "20_math.json"
    record = json.loads(path.read_text())
    assert (record["step"], record["benchmark"], record["score"]) == (20, "math", {"accuracy": 0.5})
    assert record["conventions"] == CONVENTIONS
    assert [result["problem_id"] for result in record["results"]] == ["sums:0", "sums:1"]


def test_the_last_crash_is_kept(run: RunDirectory):
    for text in ("first", "second"):
        path = run.write_crash(text)
    assert path == run.logs / "crash.txt" and path.read_text() == "second"


def test_benchmark_names_become_file_names():
    assert evaluation_name(3, "main@openai/gsm8k test") == "3_main_openai_gsm8k_test.json"


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path):
    path = tmp_path / "file"
    write_atomic(path, "old")
    failed = run_python(
        "import resource, signal, sys; from pathlib import Path\n"
        "from understand_r1_zero.run_directory import DiskError, write_atomic\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))\n"
        "try: write_atomic(Path(sys.argv[1]), 'x' * 1_000_000)\n"
        "except DiskError as error: print(error, end='')",
        path,
    )
    assert failed == (
        f"cannot write {path}: the file system or a ulimit allows no larger file; "
        "use another --save_path"
    )
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_line_with_the_remedy(run: RunDirectory):
    run.metrics.symlink_to("/dev/full")
    with pytest.raises(DiskError, match=r"no space left .*--max_save_num") as caught:
        run.append_metrics(1, {"a": 1.0})
    assert "\n" not in str(caught.value) and str(run.metrics) in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_other_os_errors_pass_unchanged(tmp_path: Path):
    with pytest.raises(OSError) as caught, disk_errors_explained(tmp_path):
        raise OSError(errno.EIO, "broken disk")
    assert caught.value.errno == errno.EIO


def test_default_path_sorts_by_time():
    assert str(default_path(datetime(2026, 1, 2, 3, 4, 5))) == "runs/2026-01-02-030405"
