"""`python -m bench.algorithms`: its data, its criteria and its table; the runs themselves take minutes."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from bench.algorithm_curves import draw_curves
from bench.algorithm_data import write_homework, write_marked_steps, wrong_lines
from bench.algorithm_kinds import ACCURACY, CORRECT, KINDS, Reading, Run, read_accuracy
from bench.algorithms import KIND_OF, Outcome, table_lines
from examples.tiny.build import STEM, Sum, benchmark_problems
from understand_r1_zero.cli import parse


def rows_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def run_with(accuracies, elapsed_s=90.0):
    rows = [{"step": step, ACCURACY: v, CORRECT: v} for step, v in enumerate(accuracies)]
    return Run(Path("run"), rows, elapsed_s)


def no_other_run(name, flags):
    raise AssertionError("accuracy is compared with the run's own start")


def outcome(accuracies, elapsed_s=90.0):
    run = run_with(accuracies, elapsed_s)
    return Outcome("GRPO", run, read_accuracy(run, no_other_run))


def test_a_wrong_total_is_carried_on_and_nothing_else_is_wrong():
    problem = Sum((3, 4, -5, 1))
    assert problem.lines == ["3+4=7", "7-5=2", "2+1=3"]
    assert wrong_lines(problem, 0, 2) == ["3+4=9", "9-5=4", "4+1=5"]
    assert wrong_lines(problem, 2, -1) == ["3+4=7", "7-5=2", "2+1=2"]


def test_half_of_the_marks_are_right_at_every_position_of_every_problem(tmp_path):
    path = tmp_path / "marked.jsonl"
    write_marked_steps(path, 300, seed=1)
    rows = rows_of(path)
    marks = Counter()
    for row in rows:
        for position, mark in enumerate(row["values"]):
            marks[row["problem"], position, mark] += mark is not None
    assert all(marks[problem, at, 1 - mark] == n for (problem, at, mark), n in marks.items() if n)
    assert {at for _, at, mark in marks if mark is not None} == {0, 1, 2}
    assert len({row["problem"] for row in rows}) * 2 == len(rows) == 1200


def test_a_mark_is_right_where_every_total_so_far_is(tmp_path):
    path = tmp_path / "marked.jsonl"
    write_marked_steps(path, 100, seed=2)
    for row in rows_of(path):
        expression = row["problem"].removeprefix(STEM).removesuffix(" =").replace(" ", "")
        so_far = True
        for step, mark in zip(row["steps"], row["values"], strict=True):
            left, _, total = step.strip().partition("=")
            so_far = so_far and eval(left) == int(total)
            assert mark is None or mark == so_far
        assert (int(total) == eval(expression)) == so_far


def test_homework_has_no_problem_of_a_benchmark_and_both_habits(tmp_path):
    path = tmp_path / "homework.jsonl"
    write_homework(path, 400, seed=1)
    rows = rows_of(path)
    held_out = {problem.text for group in benchmark_problems().values() for problem in group}
    assert not any(problem in row["prompt"] for row in rows for problem in held_out)
    hasty = sum(row["completion"].startswith("\\boxed") for row in rows) / len(rows)
    assert 0.45 < hasty < 0.65
    assert all(row["completion"].endswith("<|im_end|>") for row in rows)


def test_every_variant_is_a_command_line_that_parses():
    assert len(KIND_OF) == sum(len(kind.variants) for kind in KINDS)
    for name, kind in KIND_OF.items():
        parse([*kind.flags, *kind.variants[name]])


@pytest.mark.parametrize(
    ("accuracies", "elapsed_s", "is_enough"),
    [
        ((0.1, 0.3), 90, True),
        ((0.1, 0.24), 90, False),
        ((0.1, 0.4, 0.2), 90, False),
        ((0.1, 0.3), 241, False),
    ],
)
def test_accuracy_must_rise_in_time(accuracies, elapsed_s, is_enough):
    assert outcome(accuracies, elapsed_s).is_enough == is_enough


def test_a_bound_may_be_from_above():
    assert Reading("loss", 5.0, 0.6, 0.61, is_least=False).is_met
    assert not Reading("loss", 5.0, 0.62, 0.61, is_least=False).is_met
    assert not Reading("AUC", None, float("nan"), 0.8).is_met


def test_the_table_says_what_was_missed():
    header, rule, row = table_lines([outcome((0.1, 0.2), 250)])
    assert header.count("|") == rule.count("|") == row.count("|")
    assert row == (
        "| GRPO | `--critic_type grpo` | accuracy | 0.100 | 0.200 | at least 0.250 (MISSED) | "
        "250 (MISSED: 240) |"
    )


def test_the_curves_are_drawn_for_the_kinds_that_were_run(tmp_path):
    draw_curves({"GRPO": run_with((0.1, 0.5)), "GSPO": run_with((0.1, 0.6))}, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_an_unknown_variant_is_refused(repository):
    done = subprocess.run(
        [sys.executable, "-m", "bench.algorithms", "GRPPO"],
        cwd=repository,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and "no variant GRPPO" in done.stderr
