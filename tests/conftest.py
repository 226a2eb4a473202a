"""Running the command line as a user does, and seeing what it leaves behind."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from understand_r1_zero.launch import PRIVATE_RAY

USER_ENVIRONMENT = dict(os.environ)
# vLLM imports ray in this process before launch.py is tested here, and ray keeps what it finds then.
os.environ |= PRIVATE_RAY

REPOSITORY = Path(__file__).resolve().parent.parent
SMALL = (
    "--rollout_batch_size 16 --num_samples 4 --max_eval 20 --eval_steps -1 --grader_workers 1"
).split()
"""A run of the demo's model whose steps take a fraction of a second."""


@dataclass
class Run:
    """A training process and its run directory."""

    process: subprocess.Popen
    path: Path
    output: Path
    marker: str
    shared_before: dict[int, str]

    def wait(self, timeout_s=200.0):
        """Exit status, once the process and everything it started are gone."""
        status = self.process.wait(timeout_s)
        assert_nothing_left(self.marker, self.shared_before)
        return status

    def text(self):
        return self.output.read_text()

    def rows(self):
        """The complete rows of metrics.jsonl so far."""
        path = self.path / "metrics.jsonl"
        lines = path.read_text().split("\n")[:-1] if path.exists() else []
        return [json.loads(line) for line in lines]

    def wait_for_step(self, step, timeout_s=200.0):
        """Wait until a step is in metrics.jsonl; returns the last one there."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            rows = self.rows()
            if rows and rows[-1]["step"] >= step:
                return rows[-1]["step"]
            assert self.process.poll() is None, f"the run ended before step {step}:\n{self.text()}"
            time.sleep(0.05)
        raise AssertionError(f"no step {step} within {timeout_s} s:\n{self.text()}")

    def pid_of(self, name):
        """The process id of an actor or learner, as the run recorded it."""
        return json.loads((self.path / "logs" / "processes.json").read_text())[name]


@pytest.fixture(scope="session")
def repository():
    """The repository's root."""
    return REPOSITORY


@pytest.fixture(scope="session")
def user_environment():
    """The environment from before this process changed it."""
    return USER_ENVIRONMENT


@pytest.fixture
def start_run(tmp_path):
    """Start a program in a session of its own; what it leaves is ended after the test."""
    runs = []

    def start(*flags, name="run", small=True, program=("train_zero_math.py",)):
        path, output = tmp_path / name, tmp_path / f"{name}.out"
        marker = f"{tmp_path}/{len(runs)}"
        before = shared_memory()
        command = [sys.executable, *program]
        # A resumed run has its flags from config.toml.
        is_resumed = "--resume" in flags
        command += [*(SMALL if small and not is_resumed else []), *map(str, flags)]
        if not {"--resume", "--save_path"} & set(map(str, flags)):
            command += ["--save_path", str(path)]
        with output.open("ab") as file:
            process = subprocess.Popen(
                command,
                stdout=file,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                cwd=REPOSITORY,
                env=USER_ENVIRONMENT | {"TEST_RUN": marker},
                start_new_session=True,
            )
        runs.append(Run(process, path, output, marker, before))
        return runs[-1]

    yield start
    for run in runs:
        if run.process.poll() is None:
            os.killpg(run.process.pid, signal.SIGKILL)
        for process in processes_of(run.marker):
            process.kill()


def processes_of(marker):
    """Live processes that carry the run's marker in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("TEST_RUN") == marker and (
                process.status() != psutil.STATUS_ZOMBIE
            ):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def shared_memory():
    """The segments and semaphores that there are: their names by inode."""
    return {path.stat().st_ino: path.name for path in Path("/dev/shm").iterdir()}


def mapped_inodes():
    """Of everything in /dev/shm that some process has in its memory, by whatever name."""
    found = set()
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with contextlib.suppress(OSError):
            lines = [line.split() for line in maps.read_text().splitlines() if "/dev/shm/" in line]
            found |= {int(line[4]) for line in lines}
    return found


def assert_nothing_left(marker, before, timeout_s=20.0):
    """Every process started under the marker ends within the time, and leaves no shared memory."""
    deadline = time.monotonic() + timeout_s
    left = processes_of(marker)
    while left and time.monotonic() < deadline:
        time.sleep(0.2)
        left = processes_of(marker)
    names = [f"{process.pid} {process.name()}" for process in left]
    for process in left:
        process.kill()
    assert not names, f"left behind: {names}"
    while (names := unused_since(before)) and time.monotonic() < deadline:
        time.sleep(0.2)  # another run that is just ending removes its own
    assert not names, f"left in shared memory: {names}"


def unused_since(before):
    """What is new in shared memory and in no process: other runs may be under way."""
    new = shared_memory().items() - before.items()
    in_use = mapped_inodes()
    return [name for inode, name in new if inode not in in_use]
