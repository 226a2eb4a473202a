import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

FAMILY = """
import multiprocessing, sys, threading, time
from actors.lifeline import held_children


if __name__ == "__main__":
    # The thread that starts the child ends, which must not matter.
    process = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(60,))
    thread = threading.Thread(target=process.start)
    with held_children("first"):
        thread.start()
        thread.join()
    print(process.pid, flush=True)
    time.sleep(60)
"""

FIRST = """
import sys, time
from actors.lifeline import hold_on
print("ready", flush=True)
time.sleep(float(sys.argv[1]))
hold_on()
"""


def wait_for_end(pid, timeout_s):
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(pid).wait(timeout_s)
    return not psutil.pid_exists(pid)


@pytest.mark.parametrize("delay_s", [0, 1.5])
def test_a_child_ends_with_its_killed_parent_and_not_before(tmp_path, delay_s):
    script = tmp_path / "family.py"
    script.write_text(FAMILY)
    (tmp_path / "first.py").write_text(FIRST)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    parent = subprocess.Popen(
        [sys.executable, str(script), str(delay_s)],
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
    )
    with parent:
        assert parent.stdout is not None
        lines = {parent.stdout.readline().strip() for _ in range(2)}
        (child,) = map(int, lines - {"ready"})
        time.sleep(0.5)
        assert psutil.pid_exists(child)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        assert wait_for_end(child, 5)
