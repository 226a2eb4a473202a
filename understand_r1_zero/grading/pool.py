"""Grades answers in worker processes that are killed at their deadline (worker.py).

One thread owns one worker, so an answer that never finishes costs its own verdict, one deadline and
a restart, and nothing waits for it while another worker is free.
"""

import contextlib
import json
import os
import queue
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple, Self

from understand_r1_zero.grading.conventions import Conventions
from understand_r1_zero.grading.exact import NO_ANSWER, is_exact_match, is_plain_number, normalise
from understand_r1_zero.types import Status

START_DEADLINE_S = 60.0
"""Seconds a worker may take to load math-verify; one or two on an idle machine."""

_CLOSED = "the grader pool was closed before this answer was graded"
_PACKAGE_ROOT = str(Path(__file__).parents[2])
_KEPT_VARIABLES = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH")


class Grade(NamedTuple):
    """What an answer is worth, and why where that is not plain."""

    status: Status
    reason: str = ""


def grade_exactly(
    answer: str | None, golds: Sequence[str], conventions: Conventions
) -> Grade | None:
    """The grade by the exact path alone, or None where only mathematics can tell.

    Any gold may match. No gold, or an empty one where no other matches, is `UNKNOWN`. Whether any
    other gold can be read is for a worker to find out, unless it is a plain number.
    """
    matches = [answer is not None and is_exact_match(answer, gold, conventions) for gold in golds]
    if any(matches):
        return Grade(Status.CORRECT)
    if golds and None not in matches and all(map(is_plain_number, golds)):
        return Grade(Status.UNPARSABLE, NO_ANSWER) if answer is None else Grade(Status.INCORRECT)
    if not golds or not all(normalise(gold) for gold in golds):
        return Grade(Status.UNKNOWN, "the gold answer is empty")
    return None


class _Job(NamedTuple):
    future: Future[Grade]
    answer: str | None
    golds: tuple[str, ...]
    conventions: Conventions


class GraderPool:
    """`num_workers` grading processes shared by any number of threads.

    Workers start together, when the first answer needs one. An answer has `deadline_s` seconds from when a worker
    takes it up; then that worker is killed and replaced, and the answer is a `TIMEOUT`. A worker's
    death or error costs the one answer it had (`ERROR`). `close`, or leaving the `with` block, ends
    every worker; so does the end of this process, however it comes.
    """

    def __init__(self, num_workers: int, deadline_s: float) -> None:
        if num_workers < 1:
            raise ValueError(f"--grader_workers must be at least 1, got {num_workers}")
        if not deadline_s > 0:
            raise ValueError(f"--grader_timeout_s must be above 0, got {deadline_s}")
        self._deadline_s = deadline_s
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._workers = [_Worker() for _ in range(num_workers)]
        self._is_closed = False
        self._submit_lock = threading.Lock()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def submit(
        self, answer: str | None, golds: Sequence[str], conventions: Conventions
    ) -> Future[Grade]:
        """The grade to come of an answer that may match any of the golds.

        What the exact path decides is there at once and occupies no worker. The future raises
        RuntimeError where no worker can be started or the pool is closed before the grade is there.
        """
        future: Future[Grade] = Future()
        if (grade := grade_exactly(answer, golds, conventions)) is not None:
            future.set_result(grade)
            return future
        with self._submit_lock:
            if self._is_closed:
                raise RuntimeError(_CLOSED)
            if not self._threads:
                self._start()
            self._jobs.put(_Job(future, answer, tuple(golds), conventions))
        return future

    def close(self) -> None:
        """End every worker and wait for it; what is not graded yet raises RuntimeError."""
        with self._submit_lock:
            self._is_closed = True
        for worker in self._workers:
            worker.close()
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()

    def _start(self) -> None:
        self._threads = [
            threading.Thread(target=self._serve, args=(worker,), name="grader", daemon=True)
            for worker in self._workers
        ]
        for thread in self._threads:
            thread.start()

    def _serve(self, worker: "_Worker") -> None:
        """Grade jobs one at a time; a replacement warms up while the thread waits for the next."""
        while True:
            # A start that fails here is tried again, and reported, by the job that needs it.
            with contextlib.suppress(OSError, RuntimeError):
                worker.start()
            if (job := self._jobs.get()) is None:
                break
            if not job.future.set_running_or_notify_cancel():
                continue
            try:
                grade = worker.grade(job, self._deadline_s)
            # Whoever waits for this future must hear of any failure, or waits for ever.
            except Exception as error:  # noqa: BLE001
                job.future.set_exception(error)
            else:
                job.future.set_result(grade)
        worker.end()


@dataclass
class _Process:
    """A started worker: both its stdin and stdout are `channel`'s other end, its stderr is `log`."""

    popen: subprocess.Popen[bytes]
    channel: socket.socket
    log: IO[bytes]
    start_s: float
    is_ready: bool = False


class _Worker:
    """One grading process after another; used by one thread, closed from any."""

    def __init__(self) -> None:
        self._process: _Process | None = None
        self._is_closed = False
        self._lock = threading.Lock()

    def start(self) -> _Process:
        """The running process, started where there is none; does not wait until it is warm."""
        if self._process is not None:
            if self._process.popen.poll() is None:
                return self._process
            self.end()
        with self._lock:
            if self._is_closed:
                raise RuntimeError(_CLOSED)
            self._process = _start_process()
        return self._process

    def grade(self, job: _Job, deadline_s: float) -> Grade:
        """The worker's grade; RuntimeError where it cannot be started or the pool is closed."""
        process = self.start()
        if not process.is_ready:
            self._wait_until_ready(process)
        request = {
            "answer": job.answer,
            "golds": job.golds,
            "conventions": job.conventions.to_dict(),
            "deadline_s": deadline_s,
        }
        deadline = time.monotonic() + deadline_s
        try:
            process.channel.settimeout(deadline_s)
            process.channel.sendall(json.dumps(request).encode() + b"\n")
            reply = _receive(process.channel, deadline)
        except TimeoutError:
            self.end()
            return Grade(Status.TIMEOUT, f"no verdict within {deadline_s:g} s")
        except (EOFError, ConnectionError) as error:
            exit_code = self.end(grace_s=1.0)
            if self._is_closed:
                raise RuntimeError(_CLOSED) from error
            return Grade(Status.ERROR, f"the grading process ended with exit code {exit_code}")
        grade = Grade(Status(reply["status"]), reply["reason"])
        if grade.status is Status.ERROR:  # it may be short of memory or deep in a broken state
            self.end()
        return grade

    def end(self, grace_s: float = 0.0) -> int | None:
        """Reap the process, killed after `grace_s` seconds, and return its exit code if any."""
        process, self._process = self._process, None
        if process is None:
            return None
        try:
            process.popen.wait(grace_s)
        except subprocess.TimeoutExpired:
            process.popen.kill()
        process.channel.close()
        process.log.close()
        return process.popen.wait()

    def close(self) -> None:
        """Kill the process for good; the thread that uses it reaps it."""
        with self._lock:
            self._is_closed = True
            if (process := self._process) is not None:
                process.popen.kill()

    def _wait_until_ready(self, process: _Process) -> None:
        try:
            _receive(process.channel, process.start_s + START_DEADLINE_S)
        except (TimeoutError, EOFError, ConnectionError) as error:
            process.log.seek(0)
            log = process.log.read().decode(errors="replace").strip() or "it printed nothing"
            exit_code = self.end(grace_s=1.0)
            if self._is_closed:
                raise RuntimeError(_CLOSED) from error
            raise RuntimeError(
                f"a grading process did not start (exit code {exit_code}, {error!r}): "
                f"{log.splitlines()[-1]}"
            ) from error
        process.is_ready = True


def _start_process() -> _Process:
    """Start a worker without this process's GPUs, credentials or current directory's modules."""
    environment = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    environment |= {
        "PYTHONPATH": os.pathsep.join([_PACKAGE_ROOT, *filter(None, [os.getenv("PYTHONPATH")])]),
        "PYTHONHASHSEED": "0",  # SymPy's order of terms follows hashes: same answer, same verdict
        "CUDA_VISIBLE_DEVICES": "",
    }
    near, far = socket.socketpair()
    log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
    with far:
        popen = subprocess.Popen(
            [sys.executable, "-P", "-m", "understand_r1_zero.grading.worker"],
            stdin=far.fileno(),
            stdout=far.fileno(),
            stderr=log,
            env=environment,
        )
    return _Process(popen, near, log, time.monotonic())


def _receive(channel: socket.socket, deadline: float) -> dict[str, Any]:
    """One line from the worker; TimeoutError past the deadline, EOFError where it has ended."""
    line = b""
    while not line.endswith(b"\n"):
        channel.settimeout(max(deadline - time.monotonic(), 1e-3))
        received = channel.recv(65536)
        if not received:
            raise EOFError("it ended")
        line += received
    return json.loads(line)
