"""The system calls that model-written code may make, as a seccomp filter.

What is not listed fails with EPERM, which Python raises as PermissionError: no sockets, no signals
to anybody, no threads, no new programs, no mounts or namespaces, no ptrace, no change of owner,
mode or times of a file (which Landlock does not watch). `fork` is passed to the owner of the
sandbox, who grants it once for each run and to one process.
"""

import ctypes
import errno
import struct

from understand_r1_zero.interpreter import kernel

# name: its number on x86_64 and on aarch64, 0 where the machine does not have it.
ALLOWED = {
    # files
    "read": (0, 63),
    "write": (1, 64),
    "open": (2, 0),
    "openat": (257, 56),
    "close": (3, 57),
    "close_range": (436, 436),
    "stat": (4, 0),
    "fstat": (5, 80),
    "lstat": (6, 0),
    "newfstatat": (262, 79),
    "statx": (332, 291),
    "statfs": (137, 43),
    "fstatfs": (138, 44),
    "lseek": (8, 62),
    "pread64": (17, 67),
    "pwrite64": (18, 68),
    "readv": (19, 65),
    "writev": (20, 66),
    "access": (21, 0),
    "faccessat": (269, 48),
    "faccessat2": (439, 439),
    "dup": (32, 23),
    "dup2": (33, 0),
    "dup3": (292, 24),
    "flock": (73, 32),
    "fsync": (74, 82),
    "fdatasync": (75, 83),
    "ftruncate": (77, 46),
    "getdents64": (217, 61),
    "getcwd": (79, 17),
    "chdir": (80, 49),
    "fchdir": (81, 50),
    "rename": (82, 0),
    "renameat": (264, 38),
    "renameat2": (316, 276),
    "mkdir": (83, 0),
    "mkdirat": (258, 34),
    "rmdir": (84, 0),
    "unlink": (87, 0),
    "unlinkat": (263, 35),
    "readlink": (89, 0),
    "readlinkat": (267, 78),
    "umask": (95, 166),
    "fadvise64": (221, 223),
    # waiting, and the channel to the owner
    "poll": (7, 0),
    "ppoll": (271, 73),
    "select": (23, 0),
    "pselect6": (270, 72),
    "epoll_create1": (291, 20),
    "epoll_ctl": (233, 21),
    "epoll_wait": (232, 0),
    "epoll_pwait": (281, 22),
    "pipe": (22, 0),
    "pipe2": (293, 59),
    "sendto": (44, 206),
    "recvfrom": (45, 207),
    "sendmsg": (46, 211),
    "recvmsg": (47, 212),
    "getsockname": (51, 204),
    "getsockopt": (55, 209),
    "pause": (34, 0),
    "nanosleep": (35, 101),
    "clock_nanosleep": (230, 115),
    "futex": (202, 98),
    "restart_syscall": (219, 128),
    # memory
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "munmap": (11, 215),
    "brk": (12, 214),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "membarrier": (324, 283),
    # signals to itself, and time
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132),
    "alarm": (37, 0),
    "getitimer": (36, 102),
    "setitimer": (38, 103),
    "gettimeofday": (96, 169),
    "time": (201, 0),
    "times": (100, 153),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    # the process itself
    "exit": (60, 93),
    "exit_group": (231, 94),
    "wait4": (61, 260),
    "getpid": (39, 172),
    "gettid": (186, 178),
    "getppid": (110, 173),
    "getpgrp": (111, 0),
    "getpgid": (121, 155),
    "getsid": (124, 156),
    "getuid": (102, 174),
    "geteuid": (107, 175),
    "getgid": (104, 176),
    "getegid": (108, 177),
    "getgroups": (115, 158),
    "getrlimit": (97, 163),
    "setrlimit": (160, 164),
    "getrusage": (98, 165),
    "sysinfo": (99, 179),
    "uname": (63, 160),
    "getcpu": (309, 168),
    "getrandom": (318, 278),
    "sched_yield": (24, 124),
    "sched_getaffinity": (204, 123),
    "arch_prctl": (158, 0),
    "set_tid_address": (218, 96),
    "set_robust_list": (273, 99),
    "rseq": (334, 293),
}
CLONE = (56, 220)
CLONE3 = (435, 435)
FCNTL = (72, 25)
IOCTL = (16, 29)
PRLIMIT = (302, 261)

FORKS = (0x01200011, 17)
"""The flags of `fork`: CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD, or SIGCHLD alone."""
FCNTL_COMMANDS = (0, 1, 2, 3, 4, 5, 6, 7, 1030)
"""Duplicating, flags, locks. F_SETOWN and F_SETSIG would send signals to other processes."""
IOCTL_REQUESTS = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
"""Is it a terminal, how wide, how much to read, blocking, close on exec."""

ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
X32_BIT = 0x40000000

LOAD, JUMP_EQUAL, JUMP_AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06
OFFSET_NUMBER, OFFSET_ARCHITECTURE, OFFSET_ARGUMENTS = 0, 4, 16
ALLOW = 0x7FFF0000
KILL = 0x80000000
ASK_THE_OWNER = 0x7FC00000
FAIL = 0x00050000

SET_MODE_FILTER = 1
FLAG_NEW_LISTENER = 8


def _instruction(code: int, k: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, if_true, if_false, k)


def _when(number: int, verdict: int) -> list[bytes]:
    return [_instruction(JUMP_EQUAL, number, 0, 1), _instruction(RETURN, verdict)]


def _when_argument(number: int, index: int, values: tuple[int, ...], found: int) -> list[bytes]:
    """`found` if the low half of an argument of the call is one of the values, else EPERM."""
    body = [_instruction(LOAD, OFFSET_ARGUMENTS + 8 * index)]
    for value in values:
        body += _when(value, found)
    body.append(_instruction(RETURN, FAIL | errno.EPERM))
    return [_instruction(JUMP_EQUAL, number, 0, len(body)), *body]


def program(machine: str) -> bytes:
    """The filter as BPF instructions of 8 bytes each.

    Raises:
        OSError: The system call numbers of this machine are not known here.
    """
    if machine not in ARCHITECTURES:
        raise OSError(f"seccomp: no table of system calls for {machine}")
    column, architecture = ARCHITECTURES[machine]
    code = [
        _instruction(LOAD, OFFSET_ARCHITECTURE),
        _instruction(JUMP_EQUAL, architecture, 1, 0),
        _instruction(RETURN, KILL),
        _instruction(LOAD, OFFSET_NUMBER),
    ]
    if machine == "x86_64":
        code += [_instruction(JUMP_AT_LEAST, X32_BIT, 0, 1), _instruction(RETURN, KILL)]
    for name, numbers in ALLOWED.items():
        if numbers[column] or name == "read":
            code += _when(numbers[column], ALLOW)
    # Its flags are in memory, out of a filter's sight; libc then takes `clone`.
    code += _when(CLONE3[column], FAIL | errno.ENOSYS)
    code += _when_argument(CLONE[column], 0, FORKS, ASK_THE_OWNER)
    code += _when_argument(FCNTL[column], 1, FCNTL_COMMANDS, ALLOW)
    code += _when_argument(IOCTL[column], 1, IOCTL_REQUESTS, ALLOW)
    code += _when_argument(PRLIMIT[column], 0, (0,), ALLOW)
    code.append(_instruction(RETURN, FAIL | errno.EPERM))
    return b"".join(code)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def install() -> int:
    """Put this process and all its children under the filter, for ever.

    Returns:
        A file from which the owner reads who asks to fork (seccomp_unotify(2), Linux 5.5).

    Raises:
        OSError: The kernel, or a filter around us, refuses.
    """
    code = program(kernel.MACHINE)
    filter_program = _Program(len(code) // 8, code)
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    return kernel.call("seccomp", SET_MODE_FILTER, FLAG_NEW_LISTENER, ctypes.byref(filter_program))
