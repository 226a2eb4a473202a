"""Ends a child process when its parent is gone, however the parent went.

A killed parent cannot tell its children. The kernel's parent-death signal would fire when the thread
that started the child ends, so the parent's id is watched instead.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from types import ModuleType

POLL_S = 0.2
_VARIABLE = "LIFELINE_PARENT_PID"


@contextmanager
def held_children(main: str) -> Iterator[None]:
    """Processes spawned inside run the module `main` before anything else, in place of our own main
    module; there they may `hold_on` to this one, even when it has died by then.
    """
    os.environ[_VARIABLE] = str(os.getpid())
    own_main = sys.modules["__main__"]
    # multiprocessing has the child run the module that this one's spec names.
    stand_in = sys.modules["__main__"] = ModuleType("__main__")
    stand_in.__spec__ = find_spec(main)
    try:
        yield
    finally:
        sys.modules["__main__"] = own_main
        os.environ.pop(_VARIABLE, None)


def hold_on() -> None:
    """Kill this process as soon as its parent has died, if it was started in `held_children`."""
    parent_pid = int(os.environ.get(_VARIABLE, os.getpid()))
    if parent_pid != os.getpid():
        del os.environ[_VARIABLE]  # not for this process's own children
        threading.Thread(target=_watch, args=(parent_pid,), name="lifeline", daemon=True).start()


def _watch(parent_pid: int) -> None:
    while os.getppid() == parent_pid:
        time.sleep(POLL_S)
    os.kill(os.getpid(), signal.SIGKILL)
