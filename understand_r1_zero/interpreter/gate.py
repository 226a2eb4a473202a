"""Who in the sandbox may fork, and when: the owner's answer to each request of the seccomp filter."""

import contextlib
import errno
import fcntl
import os
import select
import struct
import threading

RECEIVE = 0xC0502100
SEND = 0xC0182101
CONTINUE = 1
REQUEST_BYTES = 80
REQUEST_HEAD = struct.Struct("=QII")
ANSWER = struct.Struct("=QqiI")


class ForkGate:
    """Answers requests to fork in a thread of its own; owns the file it reads them from.

    Each grant is good for one fork of one process. Nobody in the sandbox has a second thread, so
    nobody can take the grant of another.
    """

    def __init__(self, listener: int):
        self._listener = listener
        self._granted: set[int] = set()
        self._lock = threading.Lock()
        self._wake, self._woken = os.pipe()
        self._thread = threading.Thread(target=self._serve, name="fork-gate", daemon=True)
        self._thread.start()

    def grant(self, pid: int) -> None:
        """Let the process fork once."""
        with self._lock:
            self._granted.add(pid)

    def revoke(self, pid: int) -> None:
        """Take the grant back, if it was not used."""
        with self._lock:
            self._granted.discard(pid)

    def close(self) -> None:
        """Stop answering: from now on, forks fail."""
        os.close(self._woken)
        self._thread.join()
        os.close(self._wake)
        os.close(self._listener)

    def _serve(self) -> None:
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        while True:
            events = dict(poll.poll())
            if self._wake in events:
                return
            if events[self._listener] & select.POLLIN:
                self._answer()
            else:
                # The last process under the filter is gone.
                poll.unregister(self._listener)

    def _answer(self) -> None:
        request = bytearray(REQUEST_BYTES)
        # The process may be killed while it asks; then there is nobody to answer.
        with contextlib.suppress(FileNotFoundError):
            fcntl.ioctl(self._listener, RECEIVE, request, True)
            identity, pid, _ = REQUEST_HEAD.unpack_from(request)
            with self._lock:
                is_granted = pid in self._granted
                self._granted.discard(pid)
            refusal = (0, -errno.EPERM, 0)
            answer = ANSWER.pack(identity, *((0, 0, CONTINUE) if is_granted else refusal))
            fcntl.ioctl(self._listener, SEND, bytearray(answer), True)
