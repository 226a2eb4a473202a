"""The command `grade`, as a user meets it."""

import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import time
from dataclasses import fields
from pathlib import Path

import psutil
import pyarrow
import pyarrow.parquet
import pytest

from actors.sampling import SamplingActor
from oracles.load import load_oracle
from oracles.math import MathOracle
from understand_r1_zero.__main__ import main
from understand_r1_zero.args import Args, GradingArgs
from understand_r1_zero.data import load_problems
from understand_r1_zero.flags import flags_of
from understand_r1_zero.grade import GradeArgs, parse
from understand_r1_zero.grading.conventions import PRESETS

REPOSITORY = Path(__file__).resolve().parents[2]
FAST = ("--extraction", "boxed", "--preset", "fast")
ROWS = [
    {"answer": "5", "responses": [r"\boxed{5}", r"\boxed{6}"], "scores": [0.9, 0.2], "level": 2},
    {"answer": "7", "responses": [r"\boxed{1}", "none"], "scores": [0.3, 0.4], "level": 10},
    {"answer": "['8', '9']", "responses": [r"\boxed{9}"] * 2, "scores": [0.1, 0.1], "level": 2},
]


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def read_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def write_list(path, rows):
    path.write_text(json.dumps(rows, indent=1))
    return path


def write_parquet(path, rows):
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


@pytest.fixture
def grade(capsys, tmp_path):
    """Runs the command; returns its status, output, error and verdicts."""

    def run(file, *flags):
        output = tmp_path / "verdicts.jsonl"
        status = main(["grade", str(file), "--output", str(output), *flags])
        captured = capsys.readouterr()
        return status, captured.out, captured.err, read_lines(output) if output.exists() else None

    return run


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("rows.jsonl", write_lines),
        ("rows.json", write_lines),
        ("rows.json", write_list),
        ("rows.parquet", write_parquet),
    ],
)
def test_every_kind_of_file_gives_the_same_verdicts(grade, tmp_path, name, write):
    status, _, error, verdicts = grade(write(tmp_path / name, ROWS), "--score_key", "scores", *FAST)
    assert (status, error) == (0, "")
    assert [(line["row"], line["response"]) for line in verdicts] == [
        (row, response) for row in range(3) for response in range(2)
    ]
    assert [line["status"] for line in verdicts] == [
        "correct",
        "incorrect",
        "incorrect",
        "unparsable",
        "correct",
        "correct",
    ]
    assert [line["answer"] for line in verdicts] == ["5", "6", "1", None, "9", "9"]
    assert [line["gold"] for line in verdicts[::2]] == [["5"], ["7"], ["8", "9"]]
    assert [line["score"] for line in verdicts] == [0.9, 0.2, 0.3, 0.4, 0.1, 0.1]


def test_the_summary_holds_every_number(grade, tmp_path):
    file = write_lines(tmp_path / "rows.jsonl", ROWS)
    _, out, _, _ = grade(file, "--score_key", "scores", "--by", "level", *FAST)
    lines = out.splitlines()
    assert lines[:4] == [
        f"file       {file}",
        "holds      3 rows, 6 responses, 2 a row",
        "graded by  preset fast: mathematics sympy, order ordered, percent ignored, units ignored,",
        "           relative_tolerance 0.0, simplified false; extraction boxed",
    ]
    assert "  accuracy, avg@2  0.500 0.000-1.000" in lines
    assert (
        "  2  0.667 0.000-1.000  0.667 0.000-1.000  0.667 0.000-1.000  0.667 0.000-1.000" in lines
    )
    assert "  unparsable          1  16.7%" in lines
    assert lines[-4].split() == ["2", "2", "0.750", "0.500-1.000", *["1.000"] * 4]
    assert lines[-3].split() == ["10", "1", "0.000", "0.000-0.000", *["0.000"] * 4]
    assert lines[-1] == f"verdicts  {tmp_path / 'verdicts.jsonl'}"


def test_votes_are_by_equivalence(grade, tmp_path):
    responses = [rf"\boxed{{{answer}}}" for answer in ("3", "3", "x+1", "1+x", r"\frac{2x+2}{2}")]
    file = write_lines(tmp_path / "rows.jsonl", [{"answer": "x+1", "responses": responses}])
    _, out, _, _ = grade(file, "--extraction", "boxed")
    assert next(line.split()[3] for line in out.splitlines() if line.startswith("  5 ")) == "1.000"


def test_gold_answers_stand_where_the_flags_say(grade, tmp_path):
    gsm8k = {"response": "48/2 = <<48/2=24>>24\n#### 1,072", "responses": r"\boxed{1072}"}
    solution = {"response": r"We add: \boxed{1072}.", "responses": [r"\boxed{1072}"]}
    file = write_lines(tmp_path / "gsm8k.jsonl", [gsm8k])
    assert grade(file, "--answer_key", "response", *FAST)[3][0]["status"] == "correct"
    file = write_lines(tmp_path / "math.jsonl", [solution])
    _, _, _, (verdict,) = grade(
        file, "--answer_key", "response", "--answer_extraction", "boxed", *FAST
    )
    assert (verdict["gold"], verdict["status"]) == (["1072"], "correct")


def test_rows_may_differ_in_their_number_of_responses(grade, tmp_path):
    rows = [
        {"answer": "5", "responses": [r"\boxed{5}"] * 4},
        {"answer": "5", "responses": [r"\boxed{6}"] * 3},
        {"answer": "5", "responses": [r"\boxed{5}"] * 9},
    ]
    _, out, _, verdicts = grade(write_lines(tmp_path / "rows.jsonl", rows), *FAST)
    assert len(verdicts) == 16
    assert "16 responses, 3 to 9 a row" in out
    assert "up to k = 3, as many responses as row 1 has" in out
    table = [line.split()[0] for line in out.splitlines() if line[:3] == "  " + line[2:3]]
    assert [k for k in table if k.isdigit()] == ["1", "2", "3"]
    assert "accuracy, avg@3-9  0.667" in out


BAD = [ROWS[0], {"answer": "5"}, ROWS[1], {"answer": "", "responses": "a"}, ROWS[2]]


def test_bad_rows_are_refused_before_anything_is_graded(grade, tmp_path):
    file = write_lines(tmp_path / "rows.jsonl", BAD)
    status, out, error, verdicts = grade(file, *FAST)
    assert (status, out, verdicts) == (1, "", None)
    assert error == (
        f"error: {file}: 2 of 5 rows cannot be used (counted from 0): row 1: no column "
        "'responses'; row 3: no gold answer in 'answer'; mend them, or leave them out with "
        "--skip_bad_rows\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


def test_bad_rows_are_skipped_counted_and_named(grade, tmp_path):
    file = write_lines(tmp_path / "rows.jsonl", BAD)
    file.write_text(file.read_text() + "{oops\n")
    status, out, _, verdicts = grade(file, "--skip_bad_rows", *FAST)
    assert status == 0
    assert [line["row"] for line in verdicts] == [0, 0, 2, 2, 4, 4]
    assert "3 rows, 6 responses" in out
    lines = out.splitlines()
    at = lines.index("3 bad rows skipped (counted from 0)")
    assert lines[at + 1 : at + 3] == [
        "  no column 'responses': row 1",
        "  no gold answer in 'answer': row 3",
    ]
    assert lines[at + 3].startswith("  line 6 is not JSON: ") and lines[at + 3].endswith("row 5")


def test_unknown_gold_answers_are_named_and_left_out(grade, tmp_path):
    rows = [*ROWS, {"answer": r"\frac{", "responses": [r"\boxed{1}", "none"]}]
    status, out, _, verdicts = grade(
        write_lines(tmp_path / "rows.jsonl", rows), "--extraction", "boxed"
    )
    assert status == 0
    assert [line["status"] for line in verdicts[-2:]] == ["unknown", "unknown"]
    assert "frac" in verdicts[-2]["reason"]
    assert "cannot be read: 1 of 4 rows (counted from 0), left out of all means\n  row 3\n" in out
    assert "mean over 3 rows" in out


def test_a_file_whose_gold_answers_are_all_unknown_fails(grade, tmp_path):
    rows = [{"answer": r"\frac{", "responses": r"\boxed{1}"}]
    file = write_lines(tmp_path / "rows.jsonl", rows)
    status, out, error, verdicts = grade(file, "--extraction", "boxed")
    assert status == 1
    assert error.startswith("error: no gold answer could be read; check --answer_key")
    assert [line["status"] for line in verdicts] == ["unknown"]
    assert "unknown" in out


def test_every_line_holds_the_conventions(grade, tmp_path):
    file = write_lines(tmp_path / "rows.jsonl", ROWS)
    verdicts = grade(file, *FAST, "--answer_order", "any", "--answer_tolerance", "0.01")[3]
    assert len(verdicts) == 6
    for line in verdicts:
        assert line["conventions"] == {
            "extraction": "boxed",
            "preset": "fast",
            "mathematics": "sympy",
            "order": "any",
            "percent": "ignored",
            "units": "ignored",
            "relative_tolerance": 0.01,
            "simplified": False,
        }


def test_oats_name_of_the_preset_is_accepted(tmp_path):
    file = str(write_lines(tmp_path / "rows.jsonl", ROWS))
    flags = [file, "--extraction=boxed", "--verifier_version", "math_verify"]
    assert parse(flags).grading.preset == "math_verify"


def test_the_defaults_are_those_of_the_issue():
    defaults = {field.name: field.default for _, field in flags_of(GradeArgs)}
    assert defaults["answer_key"] == "answer"
    assert defaults["response_key"] == "responses"
    assert (defaults["extraction"], defaults["preset"]) == ("any", "default")
    assert {field.name for field in fields(GradingArgs)} <= set(defaults)


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--answer-keys", "a"], "unknown flag --answer-keys; the nearest is --answer_key"),
        (["--extraction", "box"], "--extraction: extraction must be one of boxed, "),
        (["--extraction=boxed", "--answer_extraction", "box"], "--answer_extraction: extraction "),
        (["--extraction=boxed", "--grader_timeout_s", "0"], "--grader_timeout_s must be above 0"),
        (["--extraction=boxed", "--grader_workers", "0"], "--grader_workers must be at least 1"),
        (["--extraction=boxed", "--answer_tolerance", "nan"], "--answer_tolerance must be at le"),
        (["--extraction=boxed", "--output", "no/v.jsonl"], "--output must be a file in a folder "),
        (["--extraction=boxed", "--output", "rows.jsonl"], "--output must be another file than "),
        (["--preset", "kind"], "invalid choice 'kind' for argument '--preset'."),
        (["more.jsonl"], "Unrecognized options: more.jsonl"),
    ],
)
def test_wrong_flags_are_refused_in_one_line(tmp_path, monkeypatch, capsys, flags, line):
    monkeypatch.chdir(tmp_path)
    write_lines(tmp_path / "rows.jsonl", ROWS)
    with pytest.raises(SystemExit) as stopped:
        main(["grade", "rows.jsonl", *flags])
    captured = capsys.readouterr()
    assert (stopped.value.code, captured.out) == (2, "")
    assert captured.err.startswith(f"grade: {line}") and captured.err.count("\n") == 1


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        ([], "grade: Missing from python -m understand_r1_zero grade: FILE "),
        (["no.jsonl"], "grade: FILE must be a .jsonl or .json or .parquet file that exists, got"),
        (["."], "grade: FILE must be a "),
    ],
)
def test_a_missing_file_is_refused(capsys, argv, line):
    with pytest.raises(SystemExit):
        main(["grade", *argv])
    assert capsys.readouterr().err.startswith(line)


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--answer_key", "anser"], "error: --answer_key must be a column of "),
        (["--response_key", "response"], "error: --response_key must be a column of "),
        (["--score_key", "score"], "error: --score_key must be a column of "),
        (["--by", "lvl"], "error: --by must be a column of "),
    ],
)
def test_a_missing_column_is_refused_with_the_nearest(grade, tmp_path, flags, line):
    status, _, error, _ = grade(write_lines(tmp_path / "rows.jsonl", ROWS), *flags, *FAST)
    assert status == 1
    assert error.startswith(line) and "; the nearest is '" in error


def run_python(*argv):
    return subprocess.run(
        [sys.executable, *argv], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )


def test_help_names_every_flag():
    shown = run_python("-m", "understand_r1_zero", "grade", "--help")
    assert shown.stdout.startswith("usage: python -m understand_r1_zero grade [-h] [OPTIONS] FILE")
    for _, field in flags_of(GradeArgs):
        assert f"--{field.name.replace('_', '-')} " in shown.stdout.replace(",", " ")


def test_the_command_loads_no_heavy_library():
    script = (
        "import sys, understand_r1_zero.grade; print([m for m in ('torch', 'transformers', 'vllm',"
        " 'ray', 'datasets', 'sympy', 'math_verify', 'pyarrow') if m in sys.modules])"
    )
    shown = run_python("-c", script)
    assert shown.stdout == "[]\n", shown.stderr


def test_a_terminal_shows_how_far_it_is_and_then_only_the_summary(tmp_path):
    file = write_lines(tmp_path / "rows.jsonl", ROWS * 1000)
    terminal, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    command = [sys.executable, "-m", "understand_r1_zero", "grade", str(file), *FAST]
    done = subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=end, text=True)
    shown = os.read(terminal, 65536).decode()
    os.close(terminal)
    os.close(end)
    assert "/3000 rows, " in shown and "% correct" in shown
    assert not shown.rstrip(" ").rpartition("\r")[2], "the bar is gone"
    assert done.stdout.startswith("file ") and "rows, " in done.stdout


def test_an_interrupted_run_keeps_what_is_graded(tmp_path):
    endless = {"answer": "5", "responses": r"\boxed{9^{9^{9^{9}}}}"}
    good = {"answer": "5", "responses": r"\boxed{5}"}
    file = write_lines(tmp_path / "rows.jsonl", [good] * 40 + [endless] * 40)
    output, partial = tmp_path / "verdicts.jsonl", tmp_path / "verdicts.jsonl.partial"
    output.write_text("of an earlier run")
    flags = ["--output", output, "--extraction", "boxed", "--grader_timeout_s", "60"]
    process = subprocess.Popen(
        [sys.executable, "-m", "understand_r1_zero", "grade", file, *flags],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline_s = time.monotonic() + 60
    while not (partial.exists() and len(partial.read_text().splitlines()) == 40):
        assert process.poll() is None and time.monotonic() < deadline_s
        time.sleep(0.05)
    workers = psutil.Process(process.pid).children()
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=20)
    assert process.returncode == 130
    assert error == "interrupted after 40 of 80 rows: the numbers above are theirs\n"
    assert "accuracy, avg@1  1.000" in out
    assert out.endswith(f"verdicts  {partial}\n")
    assert output.read_text() == "of an earlier run"
    assert len(read_lines(partial)) == 40
    assert not [worker for worker in workers if worker.is_running()]


def test_a_full_disk_is_told_in_one_line(tmp_path, capsys):
    file = write_lines(tmp_path / "rows.jsonl", ROWS * 1000)
    (tmp_path / "v.jsonl.partial").symlink_to("/dev/full")
    status = main(["grade", str(file), "--output", str(tmp_path / "v.jsonl"), *FAST])
    assert status == 1
    assert "No space left on device" in capsys.readouterr().err


TRICKY = [
    r"\boxed{5}",
    r"\boxed{5.0}",
    r"so \boxed 5",
    r"it is 5",
    "",
    r"\boxed{}",
    r"\boxed{\frac{10}{2}}",
    r"\boxed{\boxed{5}}",
    r"\boxed{4} no, \boxed{5}",
    r"\boxed{5} no, \boxed{4}",
    r"<think>\boxed{5}</think> <answer>5</answer>",
    r"<think>\boxed{5}",
    r"5 is right </think> <answer> \boxed{5} </answer>",
    "so </think>\n<answer>5</answer>",
    "so </think> <answer>4</answer>",
    r"\boxed{x=5}",
    r"\boxed{y=5}",
    r"\boxed{5\%}",
    r"\boxed{5 \text{ cm}}",
    r"\boxed{2+3}",
    r"\boxed{\sqrt{25}}",
    r"\boxed{5,5}",
    r"\boxed{five}",
    r"\boxed{\frac{5}}",
    r"\boxed{" + "(" * 3000 + "5" + ")" * 3000 + "}",
    r"\boxed{٥}",
    "\\boxed{5\x00}",
    r"#### 5",
    "The answer is 5.",
]
TRICKY_ROWS = [
    {"problem": "?", "answer": gold, "responses": TRICKY}
    for gold in ("5", "['4', '5']", r"\frac{", "x=5")
]
ENDLESS_ROW = {"problem": "?", "answer": "5", "responses": [r"\boxed{5^{5^{5^{5^{5}}}}}"]}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("extraction", "preset"), [("boxed", "default"), ("answer_tag", "strict"), ("any", "lenient")]
)
def test_evaluator_oracle_and_command_give_the_same_verdicts(grade, tmp_path, extraction, preset):
    rows = [*TRICKY_ROWS, ENDLESS_ROW]
    file = write_lines(tmp_path / "rows.jsonl", rows)
    flags = ["--extraction", extraction, "--preset", preset, "--grader_timeout_s", "1"]
    verdicts = grade(file, *flags)[3]
    commanded = [(line["status"], line["answer"], line["reason"]) for line in verdicts]

    problems = load_problems(str(file), "train", "problem", "answer", 100)
    pairs = list(zip(problems, [row["responses"] for row in rows], strict=True))
    texts = [text for _, responses in pairs for text in responses]
    golds = [problem.answers for problem, responses in pairs for _ in responses]
    oracle = MathOracle(extraction=extraction, conventions=PRESETS[preset], timeout_s=1.0)
    judged, _ = oracle.get_reward(["?"] * len(texts), texts, golds)
    oracle.close()

    args = Args(grading=GradingArgs(preset=preset, grader_timeout_s=1.0))
    actor = SamplingActor(args, 0)
    actor._oracle = load_oracle(args, extraction)
    evaluated = [verdict for pair in pairs for verdict in actor._judge(*pair)]
    actor._oracle.close()

    assert len(commanded) == len(texts)
    for found in (judged, evaluated):
        assert [(each.status, each.answer, each.reason) for each in found] == commanded
    assert {"correct", "incorrect", "unparsable", "unknown"} <= {each[0] for each in commanded}
