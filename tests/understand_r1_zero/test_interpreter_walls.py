"""Which mechanism is taken when the machine refuses others, and the filter's program."""

import struct
import subprocess
import sys
from pathlib import Path

import pytest

from understand_r1_zero.interpreter import seccomp
from understand_r1_zero.interpreter.limits import Limits
from understand_r1_zero.interpreter.sandbox import SandboxError, start

REPOSITORY = Path(__file__).resolve().parents[2]

WITHOUT_NAMESPACES = """
import os, sys
from understand_r1_zero.interpreter.interpreter import Interpreter
from understand_r1_zero.interpreter.sandbox import SandboxError
try:
    Interpreter(mechanisms=("namespaces",))
except SandboxError as error:
    print(error)
try:
    with Interpreter() as interpreter:
        print(interpreter.mechanism, interpreter.run(interpreter.start(), "6 * 7").output)
except SandboxError as error:
    print("nothing", error)
"""


def test_where_user_namespaces_are_refused_landlock_is_taken():
    forbid = "echo 0 > /proc/sys/user/max_user_namespaces"
    inner = ["sh", "-c", f'{forbid} && exec "$@"', "sh", sys.executable, "-c", WITHOUT_NAMESPACES]
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", *inner],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
    )
    if done.returncode:
        pytest.skip(f"cannot make a place without user namespaces: {done.stderr}")
    refusal, taken, *_ = done.stdout.splitlines()
    assert "namespaces: [Errno 28] unshare: No space left on device" in refusal
    if taken.startswith("nothing") and "landlock_create_ruleset" in taken:
        pytest.skip(taken)
    assert taken == "landlock 42"


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_every_jump_of_the_filter_stays_inside_and_it_ends_with_a_refusal(machine):
    code = [struct.unpack("<HBBI", i) for i in batches(seccomp.program(machine))]
    assert len(code) < 4096
    for position, (kind, if_true, if_false, _) in enumerate(code):
        if kind in (seccomp.JUMP_EQUAL, seccomp.JUMP_AT_LEAST):
            assert position + 1 + max(if_true, if_false) < len(code)
    assert code[-1] == (seccomp.RETURN, 0, 0, seccomp.FAIL | 1)


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_filter_decides(machine):
    column, architecture = seccomp.ARCHITECTURES[machine]
    program = [struct.unpack("<HBBI", i) for i in batches(seccomp.program(machine))]

    def decides(number, *arguments, architecture=architecture):
        values = [*arguments, *[0] * (6 - len(arguments))]
        return interpret(program, struct.pack("<iIQ6Q", number, architecture, 0, *values))

    refused = seccomp.FAIL | 1
    assert decides(seccomp.ALLOWED["read"][column]) == seccomp.ALLOW
    assert decides(seccomp.ALLOWED["rseq"][column]) == seccomp.ALLOW
    assert decides({"x86_64": 41, "aarch64": 198}[machine]) == refused, "socket"
    assert decides({"x86_64": 62, "aarch64": 129}[machine]) == refused, "kill"
    assert decides({"x86_64": 59, "aarch64": 221}[machine]) == refused, "execve"
    assert decides(9999) == refused
    assert decides(seccomp.CLONE3[column]) == seccomp.FAIL | 38
    assert decides(seccomp.CLONE[column], 0x01200011) == seccomp.ASK_THE_OWNER
    assert decides(seccomp.CLONE[column], 0x003D0F00) == refused, "a thread"
    assert decides(seccomp.CLONE[column], 0x10000011) == refused, "a user namespace"
    assert decides(seccomp.FCNTL[column], 0, 1) == seccomp.ALLOW
    assert decides(seccomp.FCNTL[column], 0, 8) == refused, "F_SETOWN"
    assert decides(seccomp.IOCTL[column], 0, 0x5412) == refused, "TIOCSTI"
    assert decides(seccomp.PRLIMIT[column], 0) == seccomp.ALLOW
    assert decides(seccomp.PRLIMIT[column], 77) == refused
    assert decides(0, architecture=0x40000003) == seccomp.KILL, "a 32-bit call"
    if machine == "x86_64":
        assert decides(seccomp.X32_BIT) == seccomp.KILL


def test_an_unknown_machine_has_no_filter():
    with pytest.raises(OSError, match="no table of system calls for riscv64"):
        seccomp.program("riscv64")


def test_a_mechanism_that_is_not_installed_says_so(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SandboxError, match="bwrap is not installed"):
        start(Limits(), "bubblewrap")


def batches(code):
    return [code[i : i + 8] for i in range(0, len(code), 8)]


def interpret(program, data):
    """Run a filter on the data of a system call, as the kernel does."""
    position, accumulator = 0, 0
    while True:
        kind, if_true, if_false, k = program[position]
        position += 1
        if kind == seccomp.LOAD:
            (accumulator,) = struct.unpack_from("<I", data, k)
        elif kind == seccomp.RETURN:
            return k
        elif kind == seccomp.JUMP_EQUAL:
            position += if_true if accumulator == k else if_false
        else:
            assert kind == seccomp.JUMP_AT_LEAST
            position += if_true if accumulator >= k else if_false
