"""The processes that run model-written code: the first one, and all that are forked from it."""

import contextlib
import gc
import importlib
import os
import random
import resource
import signal
import socket
import sys
import tempfile

from understand_r1_zero.interpreter import channel, kernel, seccomp, steps, walls

LIBRARIES = ("math", "numpy", "sympy", "scipy")
"""Imported once, before the first state is forked."""
CHANNEL_FD = 3


def prepare(config: dict) -> tuple[list[str], int | None]:
    """Make this process one that can do no harm, with the libraries imported.

    Returns:
        The libraries that are there, and the file that requests to fork are read from; None
        without a filter.

    Raises:
        OSError: The kernel refuses the filter or the walls.
    """
    is_safe = config["mechanism"] != "unsafe"
    if config["mechanism"] == "landlock":
        walls.enter_landlock(config["readable"], config["scratch"])
    if is_safe:
        kernel.drop_capabilities()
    found = []
    for name in LIBRARIES:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
            found.append(name)
    for limit, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, config["file_bytes"]),
        (resource.RLIMIT_NOFILE, config["open_files"]),
        (resource.RLIMIT_MEMLOCK, 0),
    ):
        resource.setrlimit(limit, (value, value))
    # A file too large is an OSError, not a death.
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    # The kernel then collects dead children itself.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    listener = seccomp.install() if is_safe else None
    # Objects out of the collector's sight are not written to, and stay shared between states.
    gc.collect()
    gc.freeze()
    return found, listener


def serve(control: socket.socket, scratch: str) -> None:
    """Fork a child at each request, which runs one step and then serves in the same way itself.

    Does not return: when the other end is closed, the process ends.
    """
    namespace: dict[str, object] = {"__name__": "__main__", "__builtins__": __builtins__}
    namespace["exit"] = namespace["quit"] = sys.exit
    while True:
        try:
            _, fds, _ = channel.receive(control, max_fds=1)
        except EOFError:
            os._exit(0)
        try:
            pid = os.fork()
        except OSError as error:
            os.close(fds[0])
            channel.send(control, {"refused": str(error)})
            continue
        if pid:
            os.close(fds[0])
            channel.send(control, {"forked": pid})
            continue
        control = _adopt(control, fds[0])
        channel.send(control, {"ready": True})
        _run(control, scratch, namespace)


def _adopt(old: socket.socket, fd: int) -> socket.socket:
    """Close every file but the standard ones and the child's own channel."""
    old.detach()
    if fd != CHANNEL_FD:
        os.dup2(fd, CHANNEL_FD, inheritable=False)
    os.closerange(CHANNEL_FD + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    return socket.socket(fileno=CHANNEL_FD)


def _run(control: socket.socket, scratch: str, namespace: dict[str, object]) -> None:
    try:
        request, _, _ = channel.receive(control)
    except EOFError:
        os._exit(0)
    memory = request["address_space_bytes"]
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    cpu_s = request["cpu_s"]
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
    folder = os.path.join(scratch, request["folder"])
    os.umask(0o077)
    os.chdir("/")
    # Other runs may have filled the disk: then there is no folder, which is no fault of this step.
    with contextlib.suppress(OSError):
        os.chdir(folder)
    tempfile.tempdir = folder
    _seed(request["seed"])

    output, kind, line = steps.run_step(request["code"], namespace, request["flood_chars"])
    # An alarm that the step left would kill the state later.
    signal.setitimer(signal.ITIMER_REAL, 0)
    output = steps.round_numbers(output, request["float_decimals"])
    output = steps.cut(output, request["output_chars"])
    line = steps.cut(line, request["output_chars"])
    channel.send(control, {"output": output, "error": kind, "line": line})


def _seed(seed: int) -> None:
    random.seed(seed)
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed(seed % 2**32)
    if sympy_random := sys.modules.get("sympy.core.random"):
        sympy_random.seed(seed)
