"""The first process of a sandbox: it builds the walls, starts the zygote, and ends with its owner.

    python -s -P -S -c "... guard.main()" CONFIG

It never runs model-written code. It is the one that notices the owner's death: the owner holds the
other end of its channel, which the kernel closes however the owner ends. The parent's id is
watched besides, since a process that the owner forked would hold that end too.
"""

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import sys
from collections.abc import Iterator

from understand_r1_zero.interpreter import channel, kernel, walls, zygote

PARENT_CHECK_MS = 500


def main() -> None:
    """Start the sandbox that the last argument describes, and wait for its end."""
    config = json.loads(sys.argv[1])
    sys.path.remove(config["source"])
    owner = socket.socket(fileno=config["guard_fd"])
    control = socket.socket(fileno=config["zygote_fd"])
    parent = os.getppid()
    # If the machine runs out of memory, these processes go first.
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    try:
        if config["mechanism"] == "namespaces":
            walls.enter_namespaces(config["readable"], config["scratch_bytes"])
        pid = os.fork()
    except OSError as error:
        channel.send(control, {"failed": str(error)})
        return
    if pid == 0:
        owner.close()
        _be_zygote(config, control)
    control.close()
    _silence()
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.setpgid(pid, pid)
    try:
        _wait(config, owner, pid, parent)
    finally:
        _end(config, pid)


def _silence() -> None:
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, 2)
    os.close(null)


def _be_zygote(config: dict, control: socket.socket) -> None:
    os.setpgid(0, 0)
    # The guard has one thread, so the signal of its end is the signal of its death.
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    os.chdir("/")
    try:
        libraries, listener = zygote.prepare(config)
    except OSError as error:
        channel.send(control, {"failed": str(error)})
        os._exit(1)
    fds = () if listener is None else (listener,)
    channel.send(control, {"libraries": libraries}, fds)
    if listener is not None:
        os.close(listener)
    _silence()
    zygote.serve(control, config["scratch"])


def _wait(config: dict, owner: socket.socket, pid: int, parent: int) -> None:
    """Make and remove folders when asked, until the owner or the zygote is gone."""
    process = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(owner, select.POLLIN)
    poll.register(process, select.POLLIN)
    while os.getppid() == parent:
        events = dict(poll.poll(PARENT_CHECK_MS))
        if process in events:
            return
        if events:
            try:
                request, _, _ = channel.receive(owner)
            except EOFError:
                return
            with _writable(config):
                if "make" in request:
                    with contextlib.suppress(OSError):
                        os.mkdir(os.path.join(config["scratch"], request["make"]), 0o700)
                    channel.send(owner, {"made": True})
                else:
                    _remove(os.path.join(config["scratch"], request["remove"]))


@contextlib.contextmanager
def _writable(config: dict) -> Iterator[None]:
    """Let the scratch folder be written to; in namespaces of our own the guard always may."""
    if config["mechanism"] == "namespaces":
        yield
        return
    os.chmod(config["scratch"], walls.SCRATCH_MODE | 0o200)
    try:
        yield
    finally:
        os.chmod(config["scratch"], walls.SCRATCH_MODE)


def _remove(folder: str) -> None:
    """Remove a folder; what cannot be removed now goes with the sandbox."""

    def unlock(_: object, path: str, __: object) -> None:
        # Its maker may have taken all rights from it; the second attempt then finds them.
        for locked in (os.path.dirname(path), path):
            # Not the folder around it, whose other names are secret.
            if locked.startswith(folder):
                with contextlib.suppress(OSError):
                    os.chmod(locked, 0o700)

    for _ in range(2):
        with contextlib.suppress(OSError, RecursionError):
            shutil.rmtree(folder, onerror=unlock)


def _end(config: dict, pid: int) -> None:
    """Kill every process of the sandbox, wait for it, and remove the files on the host."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    # Without a process namespace the zygote's death ends nobody else: its group does.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)
    if config["host_scratch"]:
        with contextlib.suppress(OSError, RecursionError):
            os.chmod(config["scratch"], 0o700)
            shutil.rmtree(config["scratch"])
