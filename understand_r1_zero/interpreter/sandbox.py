"""One sandbox, as its owner sees it: started by the first mechanism that works, and ended."""

import contextlib
import dataclasses
import importlib.util
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import threading
from typing import Any

from understand_r1_zero.interpreter import channel, walls
from understand_r1_zero.interpreter.gate import ForkGate
from understand_r1_zero.interpreter.limits import Limits
from understand_r1_zero.interpreter.zygote import LIBRARIES

SAFE_MECHANISMS = ("bubblewrap", "namespaces", "landlock")
START_S = 60.0
END_S = 10.0
LIBRARY_FOLDERS = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib")
SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
START = (
    "import json, sys; sys.path += json.loads(sys.argv[1])['path']; "
    "from understand_r1_zero.interpreter import guard; guard.main()"
)
ENVIRONMENT = {
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
    "LANG": "C.UTF-8",
    "PATH": "/usr/bin:/bin",
    # Inside, nobody may start a thread.
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}


class SandboxError(RuntimeError):
    """The sandbox itself is broken, or none can be built on this machine."""


@dataclasses.dataclass
class Sandbox:
    """A sandbox that runs: its guard, and the channel to its zygote."""

    mechanism: str
    guard: subprocess.Popen[bytes]
    guard_channel: socket.socket
    zygote_channel: socket.socket
    zygote_pid: int
    zygote_pidfd: int
    gate: ForkGate | None
    libraries: tuple[str, ...]
    host_scratch: str
    address_space_bytes: int
    """Of the zygote: what a state starts with."""
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)

    def is_alive(self) -> bool:
        """Whether guard and zygote are there."""
        poll = select.poll()
        poll.register(self.zygote_pidfd, select.POLLIN)
        return self.guard.poll() is None and not poll.poll(0)

    def make_folder(self, name: str) -> None:
        """Have the guard make the folder of a run; if the disk is full, there is none."""
        # A guard that is gone is found out by whoever runs the step.
        with self.lock, contextlib.suppress(OSError, EOFError):
            channel.send(self.guard_channel, {"make": name})
            channel.receive(self.guard_channel)

    def remove_folder(self, name: str) -> None:
        """Have the guard remove the folder of a run."""
        with contextlib.suppress(OSError):
            channel.send(self.guard_channel, {"remove": name})

    def close(self) -> None:
        """End every process of the sandbox and remove its files."""
        self.guard_channel.close()
        _end(self.guard, self.host_scratch)
        select.select([self.zygote_pidfd], [], [], END_S)
        self.zygote_channel.close()
        os.close(self.zygote_pidfd)
        if self.gate:
            self.gate.close()


def start(limits: Limits, mechanism: str) -> Sandbox:
    """A sandbox by one of `SAFE_MECHANISMS`, or `unsafe`: a process without walls.

    Raises:
        SandboxError: The mechanism does not work here; the message says why.
    """
    on_host = mechanism in ("landlock", "unsafe")
    host_scratch = tempfile.mkdtemp(prefix="interpreter-") if on_host else ""
    if on_host:
        os.chmod(host_scratch, walls.SCRATCH_MODE)
    guard_ours, guard_theirs = channel.pair()
    zygote_ours, zygote_theirs = channel.pair()
    config = {
        "mechanism": mechanism,
        "readable": _readable(),
        "path": [SOURCE, *_python_path()],
        "source": SOURCE,
        "scratch": host_scratch or walls.SCRATCH,
        "scratch_bytes": limits.file_bytes * limits.max_running,
        "host_scratch": on_host,
        "file_bytes": limits.file_bytes,
        "open_files": limits.open_files,
        "guard_fd": guard_theirs.fileno(),
        "zygote_fd": zygote_theirs.fileno(),
    }
    with contextlib.ExitStack() as undo:
        undo.callback(zygote_ours.close)
        undo.callback(guard_ours.close)
        with guard_theirs, zygote_theirs:
            guard = _spawn(config)
        undo.callback(_end, guard, host_scratch)
        undo.callback(guard_ours.close)
        message, fds, pid = _greeting(guard, zygote_ours)
        gate = ForkGate(fds[0]) if fds else None
        with open(f"/proc/{pid}/statm") as file:
            address_space_bytes = int(file.read().split()[0]) * os.sysconf("SC_PAGESIZE")
        assert guard.stderr is not None
        guard.stderr.close()
        undo.pop_all()
    return Sandbox(
        mechanism=mechanism,
        guard=guard,
        guard_channel=guard_ours,
        zygote_channel=zygote_ours,
        zygote_pid=pid,
        zygote_pidfd=os.pidfd_open(pid),
        gate=gate,
        libraries=tuple(message["libraries"]),
        host_scratch=host_scratch,
        address_space_bytes=address_space_bytes,
    )


def _spawn(config: dict[str, Any]) -> subprocess.Popen[bytes]:
    """Start the guard.

    Raises:
        SandboxError: It needs a program that is not installed.
    """
    executable = getattr(sys, "_base_executable", None) or sys.executable
    # Not -I, which would ignore PYTHONHASHSEED; the environment is ours in any case.
    command = [executable, "-s", "-P", "-S", "-c", START, json.dumps(config)]
    if config["mechanism"] == "bubblewrap":
        around = _bubblewrap(config["readable"], executable, config["scratch_bytes"])
        command = around + command
    return subprocess.Popen(
        command,
        env=ENVIRONMENT,
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        pass_fds=(config["guard_fd"], config["zygote_fd"]),
    )


def _greeting(guard: subprocess.Popen[bytes], zygote: socket.socket) -> tuple[dict, list[int], int]:
    """The zygote's first message.

    Raises:
        SandboxError: There is none, or it says why the sandbox cannot be built.
    """
    zygote.settimeout(START_S)
    try:
        message, fds, pid = channel.receive(zygote, max_fds=1)
    except TimeoutError as error:
        raise SandboxError(f"did not start in {START_S:.0f} s") from error
    except (EOFError, OSError) as error:
        guard.kill()
        assert guard.stderr is not None
        said = guard.stderr.read().decode(errors="replace").strip().split("\n")[-1]
        raise SandboxError(said or f"its first process ended: {error}") from error
    if "failed" in message:
        raise SandboxError(str(message["failed"]))
    zygote.settimeout(None)
    return message, fds, pid


def _end(guard: subprocess.Popen[bytes], host_scratch: str) -> None:
    """Wait for the guard, which ends when its channel is closed; kill it if it does not."""
    try:
        guard.wait(END_S)
    except subprocess.TimeoutExpired:
        os.killpg(guard.pid, signal.SIGKILL)
        guard.wait()
    if guard.stderr:
        guard.stderr.close()
    if host_scratch and os.path.exists(host_scratch):
        os.chmod(host_scratch, 0o700)
        shutil.rmtree(host_scratch, ignore_errors=True)


def _bubblewrap(readable: list[str], executable: str, scratch_bytes: int) -> list[str]:
    """The command line of bubblewrap.

    Raises:
        SandboxError: It is not installed.
    """
    program = shutil.which("bwrap")
    if program is None:
        raise SandboxError("bwrap is not installed (Debian package bubblewrap)")
    package = os.path.join(SOURCE, "understand_r1_zero")
    own = [os.path.join(package, "__init__.py"), os.path.join(package, "interpreter")]
    return walls.bubblewrap_command(program, [*readable, executable, *own], scratch_bytes)


def _python_path() -> list[str]:
    """Where the libraries are, in the order of this process's own search path."""
    found = []
    for name in LIBRARIES:
        specification = importlib.util.find_spec(name)
        if specification and specification.submodule_search_locations:
            found.append(os.path.dirname(specification.submodule_search_locations[0]))
    return list(dict.fromkeys(found))


def _readable() -> list[str]:
    """The folders that Python needs to read, none inside another."""
    paths = {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), *_python_path()}
    base = os.path.join(sys.base_prefix, "lib")
    # Where Python is the system's, the folder of its libraries is one of those below.
    paths |= {base, *LIBRARY_FOLDERS}
    existing = sorted(path for path in paths if os.path.isdir(path))
    return [
        path
        for path in existing
        if not any(path.startswith(other + "/") for other in existing if other != path)
    ]
