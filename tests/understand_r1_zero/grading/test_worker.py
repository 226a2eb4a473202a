"""The grading process by itself: its protocol, its limits, and how it ends."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from understand_r1_zero.grading.conventions import Conventions
from understand_r1_zero.grading.worker import grade

WORKER = [sys.executable, "-m", "understand_r1_zero.grading.worker"]


@contextmanager
def started_worker() -> Iterator[subprocess.Popen[str]]:
    worker = subprocess.Popen(
        WORKER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert worker.stdout is not None
        assert json.loads(worker.stdout.readline()) == {"ready": True}
        yield worker
    finally:
        worker.kill()
        worker.communicate()


def request(answer: str, *golds: str, deadline_s: float = 5.0) -> str:
    return (
        json.dumps({"answer": answer, "golds": golds, "conventions": {}, "deadline_s": deadline_s})
        + "\n"
    )


def test_grades_any_gold() -> None:
    assert grade("x+1", ["2", "1+x"], Conventions()) == ("correct", "")
    assert grade("x+1", ["2", "2+x"], Conventions()) == ("incorrect", "")
    assert grade("x+1", [r"\foo", "1+x"], Conventions()) == ("correct", "")
    status, reason = grade("x+1", ["2", r"\foo"], Conventions())
    assert status == "unknown"
    assert r"\\foo" in reason
    assert grade(None, ["x", "2"], Conventions())[0] == "unparsable"
    assert grade(None, ["x", r"\foo"], Conventions())[0] == "unknown"
    assert grade(None, [r"\int_0^1 x dx"], Conventions())[0] == "unparsable"
    assert grade(None, [r"\foo"], Conventions(mathematics="math_verify"))[0] == "unknown"


def test_answers_line_by_line_and_ends_with_stdin() -> None:
    answers = ["x+1", "2x", "{" * 100_000, "\x00\n\ud800 é", "y" * 100_000, "1+x"]
    with started_worker() as worker:
        replies, _ = worker.communicate("".join(request(answer, "1+x") for answer in answers))
        statuses = [json.loads(line)["status"] for line in replies.splitlines()]
    assert statuses == ["correct", *["incorrect"] * 4, "correct"]
    assert worker.returncode == 0


def test_imports_no_engine_and_starts_soon() -> None:
    start_s = time.perf_counter()
    listing = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from understand_r1_zero.grading import worker; worker.warm_up();"
            "print(*{name.partition('.')[0] for name in sys.modules})",
        ],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    assert time.perf_counter() - start_s < 30
    assert "sympy" in listing
    assert not {"torch", "ray", "vllm", "deepspeed", "transformers", "numpy"} & set(listing)


@pytest.mark.slow
def test_ends_by_itself_when_stuck_in_a_c_loop_and_nobody_kills_it() -> None:
    with started_worker() as worker:
        assert worker.stdin is not None
        worker.stdin.write(request(r"\cos(9^{9^{9}})", "3", deadline_s=0.1))
        worker.stdin.flush()
        assert worker.wait(timeout=60) == -signal.SIGXCPU
