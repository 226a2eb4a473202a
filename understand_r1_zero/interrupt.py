"""Ctrl-C and SIGTERM as a request to stop at the next safe point."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """Yield an event that the first Ctrl-C or SIGTERM sets; a second one ends the run at once."""
    event = threading.Event()

    def request(signum: int, _: object) -> None:
        event.set()
        print("\nstopping after a checkpoint; once more ends it at once", file=sys.stderr)
        for number in SIGNALS:
            signal.signal(number, previous[number])

    previous = {number: signal.signal(number, request) for number in SIGNALS}
    try:
        yield event
    finally:
        for number in SIGNALS:
            signal.signal(number, previous[number])
