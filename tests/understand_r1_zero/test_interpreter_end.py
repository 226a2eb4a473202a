"""Nothing is left of an interpreter, however it or its owner ends."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil
import pytest

from understand_r1_zero.interpreter.interpreter import SAFE_MECHANISMS, Interpreter
from understand_r1_zero.interpreter.limits import Limits
from understand_r1_zero.interpreter.sandbox import SandboxError

REPOSITORY = Path(__file__).resolve().parents[2]

MARK = f"interpreter-{os.getpid()}"
SHARE = f"""
import multiprocessing.shared_memory
multiprocessing.shared_memory.SharedMemory("{MARK}", create=True, size=100)
"""

OWNER = """
import sys, threading
from understand_r1_zero.interpreter.interpreter import Interpreter
from understand_r1_zero.interpreter.limits import Limits
from understand_r1_zero.interpreter.sandbox import SandboxError
made = []
def start():
    try:
        made.append(Interpreter(Limits(wall_s=600, cpu_s=600), mechanisms=(sys.argv[1],)))
    except SandboxError as error:
        print("skip", error, flush=True)
# A thread that ends must not take the sandbox with it.
thread = threading.Thread(target=start)
thread.start()
thread.join()
interpreter = made[0]
kept = interpreter.run(interpreter.start(), "x = 1").state
assert interpreter.run(kept, sys.argv[2]).error == "exception"
for code in ("while True: pass", "import time; time.sleep(1000)"):
    threading.Thread(target=interpreter.run, args=(kept, code)).start()
print(interpreter._sandbox.guard.pid, interpreter.run(kept, "x").output, flush=True)
threading.Event().wait()
"""


def left_of(session_leader):
    """Processes that descend from a guard."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session_leader:
                found.append(process)
        except ProcessLookupError:
            continue
    return found


def descendants():
    return {process.pid for process in psutil.Process().children(recursive=True)}


def holdings():
    return {
        "processes": descendants(),
        "threads": {thread.ident for thread in threading.enumerate()},
        "descriptors": len(os.listdir("/proc/self/fd")),
        "temporary": set(os.listdir(tempfile.gettempdir())),
        "shared memory": {name for name in os.listdir("/dev/shm") if MARK in name},
    }


@pytest.fixture(autouse=True)
def temporary_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.mark.parametrize("mechanism", [*SAFE_MECHANISMS, "unsafe"])
def test_nothing_is_left_after_the_context(mechanism):
    is_unsafe = mechanism == "unsafe"
    before = holdings()
    try:
        interpreter = Interpreter(
            Limits(cpu_s=1.0),
            mechanisms=() if is_unsafe else (mechanism,),
            is_unsafe=is_unsafe,
        )
    except SandboxError as error:
        assert holdings() == before
        pytest.skip(str(error))
    with interpreter:
        children = descendants() - before["processes"]
        state = interpreter.start()
        for code in ("open('f', 'w').write('a')", "import os; os._exit(1)", "while True: pass"):
            run = interpreter.run(state, code)
        if not is_unsafe:
            assert interpreter.run(state, SHARE).error == "exception"
        kept = [interpreter.run(run.state, f"x = {i}").state for i in range(3)]
        assert interpreter.num_kept == 3
        children |= descendants() - before["processes"]
        assert len(children) >= 5
    del kept
    assert holdings() == before
    # The first process of bubblewrap is collected by the machine's init.
    deadline = time.monotonic() + 5
    while any(map(psutil.pid_exists, children)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [pid for pid in children if psutil.pid_exists(pid)] == []


def test_a_mechanism_that_fails_leaves_nothing(monkeypatch):
    before = holdings()
    monkeypatch.setattr(sys, "_base_executable", "/bin/false")
    with pytest.raises(SandboxError, match=r"namespaces: .*landlock: "):
        Interpreter(mechanisms=("namespaces", "landlock"))
    assert holdings() == before


@pytest.mark.parametrize("mechanism", SAFE_MECHANISMS)
def test_nothing_is_left_of_an_owner_that_is_killed(mechanism, tmp_path):
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, mechanism, SHARE],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    try:
        line = owner.stdout.readline()
        if line.startswith("skip"):
            pytest.skip(line)
        guard = int(line.split()[0])
        started = psutil.Process(owner.pid).children(recursive=True)
        # Guard, zygote, one kept state, one busy, one asleep.
        assert len(started) >= 5
    finally:
        owner.send_signal(signal.SIGKILL)
        owner.wait()
        owner.stdout.close()
    deadline = time.monotonic() + 10
    while any(process.is_running() for process in started) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [process for process in started if process.is_running()] == []
    assert left_of(guard) == []
    assert list(tmp_path.iterdir()) == []
    assert [name for name in os.listdir("/dev/shm") if MARK in name] == []
