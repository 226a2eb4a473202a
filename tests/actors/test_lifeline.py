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
from actors.lifeline import held_children, hold_on

def child(delay_s):
    print("ready", flush=True)
    time.sleep(delay_s)
    hold_on()
    time.sleep(60)

if __name__ == "__main__":
    # The thread that starts the child ends, which must not matter.
    process = multiprocessing.get_context("spawn").Process(target=child, args=(float(sys.argv[1]),))
    thread = threading.Thread(target=process.start)
    with held_children():
        thread.start()
        thread.join()
    print(process.pid, flush=True)
    time.sleep(60)
"""


def wait_for_end(pid, timeout_s):
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(pid).wait(timeout_s)
    return not psutil.pid_exists(pid)


@pytest.mark.parametrize("delay_s", [0, 1.5])
def test_a_child_ends_with_its_killed_parent_and_not_before(tmp_path, delay_s):
    script = tmp_path / "family.py"
    script.write_text(FAMILY)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    parent = subprocess.Popen(
        [sys.executable, str(script), str(delay_s)],
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
    )
    with parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert parent.stdout.readline() == "ready\n"
        time.sleep(0.5)
        assert psutil.pid_exists(child)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        assert wait_for_end(child, 5)
