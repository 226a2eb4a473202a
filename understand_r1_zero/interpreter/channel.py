"""Messages between the owner and the processes in the sandbox: JSON in one packet, and files.

Nothing is ever unpickled: whatever code runs at the other end can send any bytes.
"""

import array
import json
import socket
import struct
from typing import Any

MAX_MESSAGE_BYTES = 2**18
"""A packet is sent whole or not at all, and the kernel refuses more than its buffer by default."""

CREDENTIALS = struct.Struct("iII")


def pair() -> tuple[socket.socket, socket.socket]:
    """Two connected ends; the first learns the process id of who writes to the second."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    return ours, theirs


def send(channel: socket.socket, message: dict[str, Any], fds: tuple[int, ...] = ()) -> None:
    """Send one message, with open files if any.

    Raises:
        OSError: The other end is closed.
    """
    payload = json.dumps(message, ensure_ascii=False).encode("utf-8", "replace")
    rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))
    channel.sendmsg([payload], [rights] if fds else [], socket.MSG_NOSIGNAL)


def receive(channel: socket.socket, max_fds: int = 0) -> tuple[dict[str, Any], list[int], int]:
    """The next message, the files that came with it, and the sender's process id (0 if unknown).

    The process id is the kernel's word, in the reader's own process namespace: only an end of
    `pair` that asked for it gets one. Files beyond `max_fds` are closed by the kernel.

    Raises:
        EOFError: The other end is closed.
        ValueError: Not a message: the sender does not speak the protocol.
    """
    room = socket.CMSG_SPACE(CREDENTIALS.size)
    room += socket.CMSG_SPACE(4 * max_fds) if max_fds else 0
    payload, ancillary, _, _ = channel.recvmsg(MAX_MESSAGE_BYTES, room, socket.MSG_CMSG_CLOEXEC)
    if not payload:
        raise EOFError("the other end is closed")
    fds: list[int] = []
    pid = 0
    for level, kind, content in ancillary:
        if level != socket.SOL_SOCKET:
            continue
        if kind == socket.SCM_RIGHTS:
            fds = list(array.array("i", content[: len(content) - len(content) % 4]))
        elif kind == socket.SCM_CREDENTIALS:
            pid = CREDENTIALS.unpack(content[: CREDENTIALS.size])[0]
    try:
        message = json.loads(payload)
    except RecursionError as error:
        raise ValueError("a message nested too deep") from error
    if not isinstance(message, dict):
        raise ValueError(f"a message must be an object, got {type(message).__name__}")
    return message, fds, pid
