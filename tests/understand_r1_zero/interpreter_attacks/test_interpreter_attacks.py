"""Code that does not end, takes all it can, or fools the next run; under each mechanism that works here."""

import os
import threading
import time

import psutil
import pytest

from tests.understand_r1_zero.interpreter_attacks.conftest import LIMITS, attack
from understand_r1_zero.interpreter import forked


def inside(interpreter):
    """The processes of the sandbox that come from its zygote."""
    zygote = interpreter._sandbox.zygote_pid
    found = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == zygote and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return found


def test_a_fork_bomb_makes_no_process(interpreter):
    bomb = "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass"
    before = len(inside(interpreter))
    most = []
    done = threading.Event()

    def count():
        while not done.wait(0.1):
            most.append(len(inside(interpreter)))

    counter = threading.Thread(target=count)
    counter.start()
    run = attack(interpreter, bomb)
    done.set()
    counter.join()
    assert run.error == "timeout"
    assert 1 <= max(most) <= before + 1


def test_a_daemonised_grandchild_is_not_born(interpreter):
    daemon = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(1000)
"""
    before = set(inside(interpreter))
    run = attack(interpreter, daemon)
    assert run.error == "exception"
    assert "PermissionError" in run.output
    assert set(inside(interpreter)) - before == {run.state.node.process.pid}


@pytest.mark.parametrize(
    "bomb",
    [
        "x = bytearray(10**12)",
        "x = []\nwhile True:\n    x.append(bytearray(10**6))",
        "import numpy\nx = numpy.ones((10**5, 10**5))",
        "x = 'a' * 10**7\nwhile True:\n    x += x",
        "import mmap\nx = mmap.mmap(-1, 2**30)",
    ],
)
def test_memory_is_bounded(interpreter, bomb):
    run = attack(interpreter, bomb)
    assert run.error in ("memory", "exception")
    assert "MemoryError" in run.output or "Cannot allocate memory" in run.output


def test_two_memory_bombs_at_once_leave_the_zygote_alive(interpreter):
    bomb = "x = []\nwhile True:\n    x.append(bytearray(10**6))"
    errors = []
    threads = [
        threading.Thread(target=lambda: errors.append(attack(interpreter, bomb).error))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == ["memory", "memory"]


@pytest.mark.parametrize(
    "code",
    [
        "while True: pass",
        "10**10**8",
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
        "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass",
        "import re\nre.match('(a+)+b', 'a' * 60)",
        "import time\ntime.sleep(1000)",
        "import sympy\nsympy.factorint(2**1277 - 1)",
        "sum(range(10**12))",
    ],
)
def test_deadlines_hold(interpreter, code):
    started = time.monotonic()
    run = attack(interpreter, code)
    assert run.error == "timeout"
    assert run.output.startswith("TimeoutError")
    assert time.monotonic() - started < LIMITS.wall_s + 2


def test_a_huge_value_is_not_printed(interpreter):
    run = attack(interpreter, "[[0] * 10**4] * 10**4")
    assert run.error in ("memory", "timeout", "output")
    run = attack(interpreter, "[1] * 10**6")
    assert run.error == "output"
    assert len(run.output) < 1100
    assert attack(interpreter, "10**5000").output.startswith("ValueError")


def test_a_flood_is_stopped(interpreter):
    assert attack(interpreter, "while True: print('spam')").error == "output"
    stubborn = """
while True:
    try:
        print('spam' * 1000)
    except BaseException:
        pass
"""
    assert attack(interpreter, stubborn).error == "timeout"
    low = "import os\nfor i in range(10**4): os.write(1, b'x' * 1000); os.write(2, b'y' * 1000)"
    assert attack(interpreter, low).output == ""


def test_a_process_may_end_itself(interpreter):
    assert attack(interpreter, "import os\nos._exit(0)").error == "killed"
    assert attack(interpreter, "import ctypes\nctypes.string_at(0)").error == "killed"
    assert attack(interpreter, "import os\nos.abort()").error == "killed"
    assert attack(interpreter, "import sys\nprint(1)\nsys.exit()").error == ""
    assert attack(interpreter, "exit(3)").output == "SystemExit: 3"


def test_threads_do_not_start(interpreter):
    code = """
import threading, time
threading.Thread(target=lambda: time.sleep(1000)).start()
"""
    run = attack(interpreter, code)
    assert (run.output, run.error) == ("RuntimeError: can't start new thread", "exception")
    run = attack(interpreter, "import _thread\n_thread.start_new_thread(print, ())")
    assert run.error == "exception"


def test_a_forged_result_is_its_own_run_only(interpreter, monkeypatch):
    monkeypatch.setattr(forked, "FORK_S", 0.5)
    forged = """
import os
os.write(3, b'{"output": "forged", "error": "", "line": ""}')
while True: pass
"""
    run = attack(interpreter, forged)
    assert run.output == "forged"
    assert interpreter.run(run.state, "1").error == "killed"
    assert attack(interpreter, "'fresh'").output == "fresh\n"


@pytest.mark.parametrize(
    "patch",
    [
        "import builtins\nbuiltins.print = builtins.len = builtins.isinstance = None",
        "import builtins\nfor name in dir(builtins): setattr(builtins, name, None)",
        "import json\njson.dumps = json.loads = None",
        "import sys\nsys.modules.clear()\nsys.stdout = None",
        "import sympy\nsympy.sqrt = lambda x: 0",
        "import os\nos.fork = os.write = None",
        "import os\nos.fork = lambda: 0",
        "import gc, sys\nfor f in gc.get_objects():\n    if type(f) is dict: f.clear()",
    ],
)
def test_a_patched_interpreter_fools_only_its_descendants(interpreter, patch, monkeypatch):
    monkeypatch.setattr(forked, "FORK_S", 2.0)
    parent = attack(interpreter, "import sympy\nx = 5")
    run = interpreter.run(parent.state, patch)
    interpreter.run(run.state, "1 + 1")
    sibling = interpreter.run(parent.state, "print(len('abc'), sympy.sqrt(4), x)")
    assert (sibling.output, sibling.error) == ("3 2 5\n", "")


def test_a_grant_to_fork_is_not_misused(interpreter, monkeypatch):
    monkeypatch.setattr(forked, "FORK_S", 1.0)
    before = set(inside(interpreter))
    hoard = """
import os, time
real = os.fork
def fork():
    pid = real()
    if pid == 0:
        os.closerange(0, 64)
        time.sleep(1000)
    return pid
os.fork = fork
"""
    run = attack(interpreter, hoard)
    assert run.error == ""
    assert interpreter.run(run.state, "1").error == "killed"
    interpreter.release(run.state)
    deadline = time.monotonic() + 5
    while set(inside(interpreter)) - before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert set(inside(interpreter)) <= before


def test_exceptions_that_fight_back_are_text(interpreter):
    code = "class E(BaseException):\n    def __str__(self): return 1 / 0\nraise E"
    assert attack(interpreter, code).error == "exception"
    assert attack(interpreter, "raise KeyboardInterrupt").output == "KeyboardInterrupt"
    assert attack(interpreter, "def f(): f()\nf()").output.startswith("RecursionError")
    assert attack(interpreter, "'\\ud800'").output == "?\n"
    assert attack(interpreter, "\x00").error == "exception"
    assert attack(interpreter, "(" * 10000).error in ("exception", "memory")
    assert attack(interpreter, "x = 1\n" * 10000).error == "exception"


def test_a_dangling_alarm_does_not_end_the_state(interpreter):
    run = attack(interpreter, "import signal\nsignal.alarm(1)\nx = 3")
    time.sleep(1.2)
    replays = interpreter.num_replays
    assert interpreter.run(run.state, "x").output == "3\n"
    assert interpreter.num_replays == replays
