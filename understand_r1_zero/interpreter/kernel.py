"""The system calls that Python has no functions for, through ctypes."""

import ctypes
import os
import platform
import struct

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.syscall.restype = ctypes.c_long

MACHINE = platform.machine()
NUMBERS = {
    "pivot_root": {"x86_64": 155, "aarch64": 41},
    "capset": {"x86_64": 126, "aarch64": 91},
    "seccomp": {"x86_64": 317, "aarch64": 277},
    "mount_setattr": {"x86_64": 442, "aarch64": 442},
    "landlock_create_ruleset": {"x86_64": 444, "aarch64": 444},
    "landlock_add_rule": {"x86_64": 445, "aarch64": 445},
    "landlock_restrict_self": {"x86_64": 446, "aarch64": 446},
}

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38

CAPABILITY_VERSION_3 = 0x20080522


def checked(what: str, result: int) -> int:
    """The result of a system call.

    Raises:
        OSError: It failed; the message names the call and the reason.
    """
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def call(name: str, *arguments: object) -> int:
    """Make a system call by its name; integers are passed as 64 bits.

    Raises:
        OSError: It failed, or its number on this machine is unknown.
    """
    number = NUMBERS[name].get(MACHINE)
    if number is None:
        raise OSError(f"{name}: unknown on {MACHINE}")
    values = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return checked(name, LIBC.syscall(ctypes.c_long(number), *values))


def prctl(option: int, value: int) -> None:
    """Set one attribute of this process.

    Raises:
        OSError: It failed.
    """
    zero = ctypes.c_ulong(0)
    result = LIBC.prctl(ctypes.c_int(option), ctypes.c_ulong(value), zero, zero, zero)
    checked(f"prctl {option}", result)


def unshare(flags: int) -> None:
    """Leave namespaces for new ones.

    Raises:
        OSError: It failed.
    """
    checked("unshare", LIBC.unshare(ctypes.c_int(flags)))


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    """Mount a file system.

    Raises:
        OSError: It failed.
    """
    arguments = [os.fsencode(text) for text in (source, target, kind)]
    result = LIBC.mount(*arguments, ctypes.c_ulong(flags), options.encode())
    checked(f"mount {target}", result)


def unmount(target: str, flags: int) -> None:
    """Unmount a file system.

    Raises:
        OSError: It failed.
    """
    checked(f"umount {target}", LIBC.umount2(os.fsencode(target), ctypes.c_int(flags)))


def drop_capabilities() -> None:
    """Give up all capabilities: root keeps its number and nothing else.

    Raises:
        OSError: It failed.
    """
    header = ctypes.create_string_buffer(struct.pack("<Ii", CAPABILITY_VERSION_3, 0))
    call("capset", header, ctypes.create_string_buffer(24))
