"""Code that reaches for files, the network, and other processes; under each mechanism that works here."""

import os
import socket
import time

import pytest

from tests.understand_r1_zero.interpreter_attacks.conftest import attack
from understand_r1_zero.interpreter import forked


def refused(interpreter, code, *errors):
    """Each statement raises one of the errors, and none of them gets through."""
    names = ", ".join(errors)
    lines = ["import ctypes, fcntl, os, signal, socket, struct, subprocess, sys, threading"]
    for statement in code.strip().splitlines():
        lines += ["try:", f"    {statement}", f"except ({names}) as error:", "    pass", "else:"]
        lines += [f"    print({statement!r}, 'went through')"]
    run = attack(interpreter, "\n".join([*lines, "print('all tried')"]))
    assert (run.output, run.error) == ("all tried\n", "")


def test_nobody_can_fork(interpreter):
    refused(
        interpreter,
        """
os.fork()
os.forkpty()
subprocess.run(["/bin/true"])
os.posix_spawn("/bin/true", ["true"], {})
os.execv("/bin/true", ["true"])
os.waitstatus_to_exitcode(os.system("true")) and os.fork()
""",
        "OSError",
    )


def test_no_file_of_the_owner_can_be_read(interpreter, tmp_path):
    secret = tmp_path / "metrics.jsonl"
    secret.write_text("secret")
    refused(
        interpreter,
        f"""
open("/etc/passwd").read()
open({str(secret)!r}).read()
os.listdir({str(tmp_path)!r})
os.listdir("/home")
open({__file__!r}).read()
open(os.path.join({os.getcwd()!r}, "pyproject.toml")).read()
open({forked.__file__!r}.replace("interpreter/forked", "types")).read()
os.listdir("/dev/shm")
""",
        "OSError",
    )
    run = attack(interpreter, "import os\nsorted(os.environ)")
    assert "HOME" not in run.output
    assert "OMP_NUM_THREADS" in run.output


def test_nothing_outside_can_be_written(interpreter, tmp_path):
    mine = tmp_path / "mine"
    mine.write_text("mine")
    before = mine.stat()
    refused(
        interpreter,
        f"""
open({str(mine)!r}, "w")
open({str(mine)!r}, "a")
os.truncate({str(mine)!r}, 0)
os.remove({str(mine)!r})
os.rename({str(mine)!r}, "here")
os.link({str(mine)!r}, "here")
os.chmod({str(mine)!r}, 0o777)
os.utime({str(mine)!r}, (0, 0))
os.chown({str(mine)!r}, 0, 0)
os.setxattr({str(mine)!r}, "user.a", b"b")
os.mkdir({str(tmp_path / "made")!r})
open("/made", "w")
open("/dev/shm/made", "w")
open("/tmp/made", "w")
open(os.__file__, "a")
open(os.path.join(os.path.dirname(os.__file__), "made.py"), "w")
os.mknod("device", 0o600 | 0x6000, 0x800)
os.symlink({str(mine)!r}, "link") or open("link", "w")
""",
        "OSError",
    )
    assert mine.read_text() == "mine"
    assert (mine.stat().st_mode, mine.stat().st_mtime) == (before.st_mode, before.st_mtime)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_there_is_no_network(interpreter):
    with socket_listening() as (port, path):
        refused(
            interpreter,
            f"""
socket.create_connection(("127.0.0.1", {port}), 1)
socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
socket.socket(socket.AF_INET6)
socket.socket(socket.AF_UNIX).connect({path!r})
socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)
socket.socketpair()
socket.getaddrinfo("localhost", 80)
""",
            "OSError",
        )


class socket_listening:
    """A port on loopback and an abstract unix address that accept connections."""

    def __enter__(self):
        self.inet = socket.create_server(("127.0.0.1", 0))
        self.unix = socket.socket(socket.AF_UNIX)
        path = f"\0interpreter-test-{os.getpid()}"
        self.unix.bind(path)
        self.unix.listen()
        return self.inet.getsockname()[1], path

    def __exit__(self, *_):
        for listener in (self.inet, self.unix):
            listener.settimeout(0.05)
            with pytest.raises(TimeoutError):
                listener.accept()
            listener.close()


def test_nobody_is_traced_signalled_or_changed(interpreter):
    owner = os.getpid()
    sibling = attack(interpreter, "x = 1")
    other = sibling.state.node.process.pid
    targets = [owner, other, interpreter._sandbox.guard.pid, interpreter._sandbox.zygote_pid]
    statements = []
    for pid in [*targets, 1, 2, 3, -1, 0, "os.getppid()"]:
        statements += [f"os.kill({pid}, 9)", f"os.kill({pid}, 0)"]
    for pid in [*targets, 1, "os.getppid()"]:
        statements += [
            f"os.killpg({pid}, 9)",
            f"os.setpriority(os.PRIO_PROCESS, {pid}, 19)",
            f"os.sched_setaffinity({pid}, [0])",
            f"os.pidfd_open({pid})",
            f"__import__('resource').prlimit({pid}, 7, (1, 1))",
            f"fcntl.fcntl(0, 8, {pid})",
        ]
    statements += ["os.setsid()", "os.setpgid(0, 0)", "os.nice(-5)", "os.setuid(0)"]
    statements += ["os.chroot('.')", "fcntl.fcntl(0, 10, 9)"]
    refused(interpreter, "\n".join(statements), "OSError")

    calls = {"ptrace": 101, "process_vm_readv": 310, "unshare": 272, "mount": 165, "setns": 308}
    calls |= {"bpf": 321, "keyctl": 250, "io_uring_setup": 425, "memfd_create": 319, "prctl": 157}
    calls |= {"shmget": 29, "clone3": 435, "userfaultfd": 323, "perf_event_open": 298, "kexec": 246}
    code = "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"
    for number in calls.values():
        code += f"assert libc.syscall({number}, 16, {owner}, 0, 0, 0) == -1, {number}\n"
        code += f"assert ctypes.get_errno() in (1, 38), ({number}, ctypes.get_errno())\n"
    if os.uname().machine == "x86_64":
        run = attack(interpreter, code)
        assert (run.output, run.error) == ("", "")
    assert interpreter.run(sibling.state, "x + 1").output == "2\n"
    assert interpreter.num_replays == 0


def test_other_processes_are_not_in_sight(interpreter):
    refused(
        interpreter,
        f"""
os.listdir("/proc")
open("/proc/{os.getpid()}/environ", "rb").read()
open("/proc/{os.getpid()}/mem", "r+b")
open("/proc/self/mem", "r+b")
open("/proc/1/environ").read()
""",
        "OSError",
    )


def test_files_end_with_their_run(interpreter):
    code = """
import os, tempfile
open("left", "w").write("behind")
tempfile.NamedTemporaryFile(delete=False)
os.mkdir("locked", 0)
os.makedirs("/".join("d" * 100))
os.umask(0o777)
os.mkdir("also-locked")
len(os.listdir("."))
"""
    before = attack(interpreter, "import os\nos.getcwd()").output.strip()
    run = attack(interpreter, code)
    assert (run.output, run.error) == ("5\n", "")
    next_run = interpreter.run(
        run.state, f"import os\nprint(os.listdir('.'), {before!r} == os.getcwd())"
    )
    assert next_run.output == "[] False\n"
    refused(
        interpreter,
        """
os.listdir('..')
open('../left', 'w')
os.mkdir('../left')
os.chmod('..', 0o700)
""",
        "OSError",
    )
    if scratch := interpreter._sandbox.host_scratch:
        deadline = time.monotonic() + 5
        while os.listdir(scratch) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert os.listdir(scratch) == []


def test_the_size_of_files_is_bounded(interpreter):
    code = "with open('big', 'wb') as file:\n    for _ in range(100): file.write(bytes(2**20))"
    run = attack(interpreter, code)
    assert run.error == "exception"
    assert "OSError" in run.output
    many = "files = [open(f'f{i}', 'w') for i in range(1000)]"
    assert "Too many open files" in attack(interpreter, many).output


def test_inherited_descriptors_lead_nowhere(interpreter):
    listed = """
import os
found = []
for fd in range(64):
    try:
        os.fstat(fd)
    except OSError:
        continue
    found.append(fd)
found
"""
    assert attack(interpreter, listed).output == "[0, 1, 2, 3]\n"
    assert attack(interpreter, "import os\nos.closerange(0, 64)").error == "killed"
    assert attack(interpreter, "import os\nos.write(3, b'rubbish')").error == "killed"
    assert attack(interpreter, "import os\nos.write(3, b'[' * 5000)").error == "killed"
    assert attack(interpreter, "import os\nos.write(3, b'{}')").error == "killed"
