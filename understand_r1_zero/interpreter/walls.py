"""The ways to take the file system, the network and other processes out of sight.

`namespaces` and `landlock` are entered from within, by the processes of the sandbox themselves;
`bubblewrap` is a program around them. Each is tried at start: whether it works depends on the
kernel, on its settings, and on the container around us, and no version number tells.
"""

import ctypes
import os
import struct

from understand_r1_zero.interpreter import kernel

SCRATCH = "/scratch"
"""The private folder where the walls give a file system of its own."""
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom")
SCRATCH_MODE = 0o100
"""Folders of runs are found by name only, and the names are secret; only the guard makes any.
`chmod` is not allowed inside."""

MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
MNT_DETACH = 2
AT_FDCWD, AT_RECURSIVE = -100, 0x8000
MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV = 1, 2, 4
MAX_FILES = 1024
INNER_ID = 1000

LANDLOCK_VERSION = 1
LANDLOCK_PATH_BENEATH = 1
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, REMOVE_DIR, REMOVE_FILE = (1 << i for i in range(6))
MAKE_DIR, MAKE_FILE, REFER, TRUNCATE = 1 << 7, 1 << 8, 1 << 13, 1 << 14
# Rights that each version of Landlock watches: files; 2 moves between folders; 3 truncation;
# 5 ioctl on devices. Network from 4, abstract sockets and signals from 6.
FILE_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
NET_RIGHTS = 3
SCOPES = 3


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def _bind(source: str, target: str, attributes: int) -> None:
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        _write(target, "")
    kernel.mount(source, target, "", MS_BIND | MS_REC)
    _set_attributes(target, attributes)


def _set_attributes(path: str, attributes: int) -> None:
    wanted = ctypes.create_string_buffer(struct.pack("<QQQQ", attributes, 0, 0, 0))
    name = ctypes.c_char_p(os.fsencode(path))
    kernel.call("mount_setattr", AT_FDCWD, name, AT_RECURSIVE, wanted, 32)


def enter_namespaces(readable: list[str], scratch_bytes: int) -> None:
    """Move this process into namespaces of its own, and its children into a new one of processes.

    It sees `readable`, read-only, three devices, and an empty tmpfs at `/scratch`. There is no
    /proc, no network device that is up, and outside a user of the sandbox has no capability.

    Raises:
        OSError: One of the steps is refused; the message says which.
    """
    uid, gid = os.geteuid(), os.getegid()
    spaces = kernel.CLONE_NEWUSER | kernel.CLONE_NEWNS | kernel.CLONE_NEWPID | kernel.CLONE_NEWNET
    kernel.unshare(spaces | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS | kernel.CLONE_NEWCGROUP)
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"{INNER_ID} {uid} 1")
    _write("/proc/self/gid_map", f"{INNER_ID} {gid} 1")

    kernel.mount("none", "/", "", MS_REC | MS_PRIVATE)
    root = "/tmp"
    sources = [os.path.realpath(path) for path in readable]
    # The new root hides what lies below /tmp; descriptors still reach it.
    handles = [os.open(source, os.O_PATH | os.O_CLOEXEC) for source in sources]
    kernel.mount("none", root, "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,mode=0755")
    read_only = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID
    for path, handle in zip(readable, handles, strict=True):
        _bind(f"/proc/self/fd/{handle}", root + path, read_only | MOUNT_ATTR_NODEV)
        os.close(handle)
    for device in DEVICES:
        _bind(device, root + device, read_only)
    os.mkdir(root + SCRATCH)
    options = f"size={scratch_bytes},nr_inodes={MAX_FILES},mode={SCRATCH_MODE:o}"
    kernel.mount("none", root + SCRATCH, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, options)

    os.chdir(root)
    here = ctypes.c_char_p(b".")
    kernel.call("pivot_root", here, here)
    kernel.unmount(".", MNT_DETACH)
    os.chdir("/")
    # Not recursive: the scratch folder stays writable.
    wanted = ctypes.create_string_buffer(struct.pack("<QQQQ", MOUNT_ATTR_RDONLY, 0, 0, 0))
    kernel.call("mount_setattr", AT_FDCWD, ctypes.c_char_p(b"/"), 0, wanted, 32)


def enter_landlock(readable: list[str], scratch: str) -> None:
    """Forbid this process and its children every file but these.

    Names and sizes of other files can still be asked for: Landlock does not watch `stat`.

    Raises:
        OSError: Landlock is not built in, not switched on, or not allowed here.
    """
    version = kernel.call(
        "landlock_create_ruleset", ctypes.c_void_p(None), ctypes.c_size_t(0), LANDLOCK_VERSION
    )
    handled = max(rights for since, rights in FILE_RIGHTS.items() if since <= version)
    attributes = [handled]
    attributes += [NET_RIGHTS] if version >= 4 else []
    attributes += [SCOPES] if version >= 6 else []
    packed = struct.pack(f"<{len(attributes)}Q", *attributes)
    buffer = ctypes.create_string_buffer(packed, len(packed))
    ruleset = kernel.call("landlock_create_ruleset", buffer, ctypes.c_size_t(len(packed)), 0)

    read = READ_FILE | READ_DIR
    write = read | WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_FILE
    rules = [(path, read | EXECUTE) for path in readable]
    rules += [(device, READ_FILE | WRITE_FILE) for device in DEVICES]
    rules.append((scratch, write | (handled & (REFER | TRUNCATE))))
    for path, rights in rules:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
        if not os.path.isdir(path):
            rights &= EXECUTE | WRITE_FILE | READ_FILE
        rule = ctypes.create_string_buffer(struct.pack("<Qi", rights, handle), 12)
        kernel.call("landlock_add_rule", ruleset, LANDLOCK_PATH_BENEATH, rule, 0)
        os.close(handle)
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    kernel.call("landlock_restrict_self", ruleset, 0)
    os.close(ruleset)


def bubblewrap_command(program: str, readable: list[str], scratch_bytes: int) -> list[str]:
    """The command that the sandbox's first program is appended to.

    Not `--die-with-parent`: that signal is sent when the thread ends that started it.
    """
    command = [program, "--unshare-all", "--unshare-user", "--cap-drop", "ALL", "--new-session"]
    for path in readable:
        command += ["--ro-bind", os.path.realpath(path), path]
    for device in DEVICES:
        command += ["--dev-bind", device, device]
    command += ["--perms", f"{SCRATCH_MODE:04o}", "--size", str(scratch_bytes), "--tmpfs", SCRATCH]
    return [*command, "--remount-ro", "/", "--chdir", "/", "--"]
