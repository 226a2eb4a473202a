import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from understand_r1_zero.grading import pool as pool_module
from understand_r1_zero.grading.conventions import PRESETS
from understand_r1_zero.grading.pool import Grade, GraderPool, grade_exactly
from understand_r1_zero.types import Status

DEFAULT = PRESETS["default"]
LIBRARY = PRESETS["math_verify"]
CORRECT = Grade(Status.CORRECT)
INCORRECT = Grade(Status.INCORRECT)

# Failures of the library that no text brings about reliably; the real one is in every other test.
UNRELIABLE_LIBRARY = """
import os, sys, time

def LatexExtractionConfig(**options):
    return options

def parse(text, **options):
    text = text.removeprefix("\\\\boxed{").removesuffix("}")
    match text:
        case "crash":
            os._exit(3)
        case "memory":
            bytearray(2**32)
        case "recursion":
            return parse(text, **options)
        case "print":
            print('{"status": "correct", "reason": ""}', flush=True)
            os.write(1, b"noise")
        case "hang":
            time.sleep(3600)
    return [text]

def verify(gold, answer, **options):
    return False
"""


@pytest.fixture(autouse=True)
def marked_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tells this test's workers from those of pools that other test modules keep open."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))


def worker_processes() -> list[psutil.Process]:
    return [
        child
        for child in psutil.Process().children(recursive=True)
        if child.status() != psutil.STATUS_ZOMBIE
        and "understand_r1_zero.grading.worker" in child.cmdline()
        and child.environ().get("TMPDIR") == os.environ["TMPDIR"]
    ]


def wait_until(is_true: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline, f"still not true after {seconds} s"
        time.sleep(0.05)


@pytest.fixture
def unreliable_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "math_verify.py").write_text(UNRELIABLE_LIBRARY)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def test_exact_path() -> None:
    assert grade_exactly("5", ["4", "5.0"], DEFAULT) == CORRECT
    assert grade_exactly("5", ["4", "6"], DEFAULT) == INCORRECT
    assert grade_exactly("5", ["4", "x"], DEFAULT) is None
    assert grade_exactly("5", [r"\foo", "5"], DEFAULT) == CORRECT
    for golds in ([], [""], ["4", " $$"]):
        grade = grade_exactly("5", golds, DEFAULT)
        assert grade is not None
        assert grade.status is Status.UNKNOWN


def test_odd_texts_neither_crash_nor_hang() -> None:
    quick = ["{" * 100_000, "x" * 100_000, "9**9**9**9", "{" * 500 + "}" * 501, "\x00\ud800"]
    endless = "(" * 1000  # its parser backtracks
    with GraderPool(num_workers=2, deadline_s=2) as pool:
        futures = [pool.submit(text, ["x+1"], DEFAULT) for text in [endless, *quick]]
        unknown = [pool.submit("x+1", [text], DEFAULT) for text in quick[:2]]
        grades = [future.result().status for future in futures]
        assert {future.result().status for future in unknown} == {Status.UNKNOWN}
    assert grades[0] in (Status.TIMEOUT, Status.INCORRECT)
    assert grades[1:] == [Status.INCORRECT] * len(quick)


def test_many_threads_and_asyncio_share_one_pool() -> None:
    with GraderPool(num_workers=2, deadline_s=30) as pool:

        def grade_some(thread: int) -> list[Grade]:
            futures = [
                pool.submit(f"{thread}x+{n}", [f"{n}+{thread}x"], DEFAULT) for n in range(2, 8)
            ]
            return [future.result() for future in futures]

        async def grade_in_loop() -> list[Grade]:
            futures = [pool.submit(f"z-{n}", [f"-{n}+z"], DEFAULT) for n in range(2, 8)]
            return await asyncio.gather(*map(asyncio.wrap_future, futures))

        with ThreadPoolExecutor(8) as threads:
            results = list(threads.map(grade_some, range(2, 10)))
        assert results == [[CORRECT] * 6] * 8
        assert asyncio.run(grade_in_loop()) == [CORRECT] * 6


def test_exact_matches_need_no_worker() -> None:
    pool = GraderPool(num_workers=1, deadline_s=1)
    pool.close()
    assert pool.submit("5", ["5"], DEFAULT).result() == CORRECT


@pytest.mark.usefixtures("unreliable_library")
def test_a_crash_costs_one_answer() -> None:
    answers = ["a+1", "crash", "b+1", "memory", "c+1", "recursion", "d+1", "print", "e+1"]
    with GraderPool(num_workers=1, deadline_s=20) as pool:
        grades = [
            future.result()
            for future in [pool.submit(answer, ["2x"], LIBRARY) for answer in answers]
        ]
    assert [grade.status for grade in grades[::2]] == [Status.INCORRECT] * 5
    crash, memory, recursion, printing = grades[1::2]
    assert crash == Grade(Status.ERROR, "the grading process ended with exit code 3")
    assert (memory.status, memory.reason[:11]) == (Status.ERROR, "MemoryError")
    assert (recursion.status, recursion.reason[:14]) == (Status.ERROR, "RecursionError")
    assert printing == INCORRECT


@pytest.mark.usefixtures("unreliable_library")
def test_a_worker_killed_from_outside_costs_at_most_its_answer() -> None:
    with GraderPool(num_workers=1, deadline_s=60) as pool:
        assert pool.submit("a+1", ["2x"], LIBRARY).result() == INCORRECT
        [idle] = worker_processes()
        idle.kill()
        wait_until(lambda: not idle.is_running() or idle.status() == psutil.STATUS_ZOMBIE)
        assert pool.submit("a+1", ["2x"], LIBRARY).result() == INCORRECT
        hanging = pool.submit("hang", ["2x"], LIBRARY)
        wait_until(hanging.running)
        time.sleep(0.2)
        [busy] = worker_processes()
        busy.kill()
        assert hanging.result().reason == "the grading process ended with exit code -9"
        assert pool.submit("a+1", ["2x"], LIBRARY).result() == INCORRECT


@pytest.mark.usefixtures("unreliable_library")
def test_close_ends_every_process_and_fails_what_is_not_graded() -> None:
    pool = GraderPool(num_workers=2, deadline_s=600)
    futures = [pool.submit("hang", ["2x"], LIBRARY) for _ in range(4)]
    wait_until(lambda: sum(future.running() for future in futures) == 2)
    cancelled = pool.submit("a+1", ["2x"], LIBRARY)
    assert cancelled.cancel()
    pool.close()
    assert worker_processes() == []
    for future in futures:
        with pytest.raises(RuntimeError, match="pool was closed"):
            future.result(timeout=0)
    with pytest.raises(RuntimeError, match="pool was closed"):
        pool.submit("a+1", ["2x"], LIBRARY)
    pool.close()


def test_a_missing_library_is_an_error_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "math_verify.py").write_text("raise ImportError('no math-verify here')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with GraderPool(num_workers=2, deadline_s=1) as pool:
        futures = [pool.submit("a+1", ["2x"], DEFAULT) for _ in range(3)]
        for future in futures:
            with pytest.raises(RuntimeError, match=r"exit code 1.*no math-verify here"):
                future.result()
    assert worker_processes() == []


def test_a_start_that_hangs_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "math_verify.py").write_text("import time; time.sleep(3600)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(pool_module, "START_DEADLINE_S", 0.5)
    with (
        GraderPool(num_workers=1, deadline_s=1) as pool,
        pytest.raises(RuntimeError, match=r"did not start.*TimeoutError"),
    ):
        pool.submit("a+1", ["2x"], DEFAULT).result()


def test_workers_inherit_neither_gpus_nor_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setenv("WANDB_API_KEY", "secret")
    with GraderPool(num_workers=1, deadline_s=30) as pool:
        assert pool.submit("a+1", ["1+a"], DEFAULT).result() == CORRECT
        [worker] = worker_processes()
        environment = worker.environ()
    assert environment["CUDA_VISIBLE_DEVICES"] == ""
    assert "WANDB_API_KEY" not in environment


PARENT = """
import sys, psutil, time
from understand_r1_zero.grading.conventions import PRESETS
from understand_r1_zero.grading.conventions import Conventions
from understand_r1_zero.grading.pool import GraderPool
pool = GraderPool(num_workers=2, deadline_s=600)
pool.submit("a+1", ["1+a"], Conventions()).result()
stuck = pool.submit("9^{9^{9^{9}}}", ["3"], Conventions())
while not stuck.running() or len(psutil.Process().children()) < 2:
    time.sleep(0.05)
time.sleep(0.5)
print(*[child.pid for child in psutil.Process().children()], flush=True)
sys.stdin.read()
"""


def test_workers_die_with_a_parent_that_is_killed() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(pids) == 2
    parent.kill()
    parent.communicate()
    wait_until(lambda: not any(psutil.pid_exists(pid) for pid in pids), seconds=10)


@pytest.mark.parametrize(("num_workers", "deadline_s"), [(0, 1.0), (1, 0.0), (1, float("nan"))])
def test_impossible_settings_are_refused(num_workers: int, deadline_s: float) -> None:
    with pytest.raises(ValueError, match="--grader_"):
        GraderPool(num_workers, deadline_s)
