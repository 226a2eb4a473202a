"""Ends a child process when its parent is gone, however the parent went."""

import os
import signal
import threading
import time
from multiprocessing import parent_process

POLL_S = 0.2


def hold_on_to_parent() -> None:
    """Kill this process as soon as the process that started it (by multiprocessing) has died.

    A killed parent cannot tell its children. The kernel's parent-death signal would fire when the
    thread that started the child ends, so the parent's id is watched instead.
    """
    parent = parent_process()
    if parent is None or parent.pid is None:
        return
    threading.Thread(target=_watch, args=(parent.pid,), name="lifeline", daemon=True).start()


def _watch(parent_pid: int) -> None:
    while os.getppid() == parent_pid:
        time.sleep(POLL_S)
    os.kill(os.getpid(), signal.SIGKILL)
