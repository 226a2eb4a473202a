"""A forked process as its owner sees it: how it is started, watched and killed."""

import contextlib
import dataclasses
import os
import select
import signal
import socket
import time
from typing import Literal

from understand_r1_zero.interpreter import channel
from understand_r1_zero.interpreter.gate import ForkGate

Error = Literal["", "exception", "timeout", "memory", "output", "killed"]

FORK_S = 10.0
"""A process that does not fork in this time has been tampered with by its own code."""
EXIT_S = 5.0
CPU_GRACE_S = 1
SHORTEST_WAIT_S = 0.005


class LostError(Exception):
    """The process died, or no longer does what it is told: its state is lost."""


@dataclasses.dataclass
class Forked:
    """A process that holds a state: its channel and its id."""

    channel: socket.socket
    pid: int
    pidfd: int

    def cpu_s(self) -> float:
        """CPU seconds it has used."""
        # The clock of another process, clock_getcpuclockid(3).
        clock = (~self.pid << 3) | 2
        try:
            return time.clock_gettime(clock)
        except OSError:
            return 0.0

    def kill(self, wait_s: float = 0.0) -> None:
        """End it; wait until it is gone, if asked."""
        self.channel.close()
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        if wait_s:
            select.select([self.pidfd], [], [], wait_s)
        os.close(self.pidfd)


def memory_bytes(pid: int) -> int:
    """Memory of a process that is no file's; 0 if the process is gone."""
    try:
        with open(f"/proc/{pid}/statm") as file:
            _, resident, of_files = map(int, file.read().split()[:3])
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return (resident - of_files) * os.sysconf("SC_PAGESIZE")


@dataclasses.dataclass
class Outcome:
    """How a step ended: the process that holds the state after it, unless it is lost."""

    process: Forked | None
    output: str
    error: Error
    seconds: float


def fork(parent: socket.socket, parent_pid: int, gate: ForkGate | None) -> Forked:
    """Have a process fork.

    The child's id is what the kernel says of the sender of its first message: neither parent nor
    child, who may have run any code, is believed.

    Raises:
        LostError: It did not.
    """
    ours, theirs = channel.pair()
    ours.settimeout(FORK_S)
    parent.settimeout(FORK_S)
    try:
        if gate:
            gate.grant(parent_pid)
        with theirs:
            channel.send(parent, {"fork": True}, (theirs.fileno(),))
        message, _, _ = channel.receive(parent)
        if "forked" not in message:
            raise LostError(f"did not fork: {message}")
        _, _, pid = channel.receive(ours)
        # Only the child can write here, and it waits for its code: its id cannot be another's yet.
        pidfd = os.pidfd_open(pid)
    except (OSError, EOFError, ValueError) as error:
        ours.close()
        raise LostError(str(error)) from error
    except LostError:
        ours.close()
        raise
    finally:
        if gate:
            gate.revoke(parent_pid)
    return Forked(ours, pid, pidfd)


def run(process: Forked, request: dict[str, object], cpu_s: float, wall_s: float) -> Outcome:
    """Have a fresh child run its step, and kill it at its deadline."""
    started = time.monotonic()

    def ended(error: Error, output: str) -> Outcome:
        process.kill(EXIT_S)
        return Outcome(None, output, error, time.monotonic() - started)

    poll = select.poll()
    poll.register(process.channel, select.POLLIN)
    poll.register(process.pidfd, select.POLLIN)
    try:
        channel.send(process.channel, {**request, "cpu_s": int(cpu_s) + CPU_GRACE_S})
        while True:
            used_s = process.cpu_s()
            left_s = wall_s - (time.monotonic() - started)
            if left_s <= 0:
                return ended("timeout", f"TimeoutError: more than {wall_s:g} seconds")
            if used_s >= cpu_s:
                return ended("timeout", f"TimeoutError: more than {cpu_s:g} seconds of CPU")
            # It has one thread, so it cannot use its CPU seconds faster than they pass.
            wait_s = max(min(left_s, cpu_s - used_s), SHORTEST_WAIT_S)
            events = dict(poll.poll(wait_s * 1000))
            if process.channel.fileno() in events:
                message, _, _ = channel.receive(process.channel)
                break
            if events:
                return ended("killed", "the process ended")
        output, error = _checked(message)
    except (EOFError, OSError):
        return ended("killed", "the process ended")
    except ValueError:
        return ended("killed", "the process sent something else than a result")
    if error == "memory":
        return ended(error, output)
    return Outcome(process, output, error, time.monotonic() - started)


def _checked(message: dict[str, object]) -> tuple[str, Error]:
    """Output with the traceback's last line, and the kind of error.

    Raises:
        ValueError: The message is not a result.
    """
    output, error, line = message.get("output"), message.get("error"), message.get("line")
    if not isinstance(output, str) or not isinstance(line, str):
        raise ValueError("a result needs output and line")
    if error not in ("", "exception", "memory", "output"):
        raise ValueError(f"no such error: {error!r}")
    text = output + ("\n" if output and line and not output.endswith("\n") else "") + line
    # Half of a surrogate pair cannot be written anywhere.
    return text.encode("utf-8", "replace").decode(), error


def sweep(zygote_pid: int, known: set[int]) -> None:
    """Kill what was forked from the zygote and is not known.

    A process that was asked to fork and did not say so may have done it all the same. It cannot
    leave the zygote's process group: `setpgid` and `setsid` are not allowed inside.
    """
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) in known:
            continue
        with contextlib.suppress(OSError, IndexError):
            with open(f"/proc/{name}/stat") as file:
                state, _, group = file.read().rpartition(")")[2].split()[:3]
            if int(group) == zygote_pid and state != "Z":
                os.kill(int(name), signal.SIGKILL)
