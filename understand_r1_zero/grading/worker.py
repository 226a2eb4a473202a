"""A grading process: `python -m understand_r1_zero.grading.worker`, started by pool.py.

Reads one JSON object a line from stdin, `{"answer", "golds", "conventions", "deadline_s"}`, and
answers with one on stdout, `{"status", "reason"}`, where status is a `types.Status`. Before that it
prints one line when it is warm. It ends when stdin does, or with the thread that started it.

The caller kills it at the deadline. What it limits itself: memory, recursion (Python's own limit),
and processor time, so that it ends soon even where nobody is left to kill it.
"""

import ctypes
import json
import logging
import math
import os
import resource
import signal
import sys
from collections.abc import Sequence
from typing import Any, BinaryIO

from understand_r1_zero.grading.conventions import Conventions
from understand_r1_zero.grading.equivalence import (
    UnparsableGoldError,
    is_equivalent,
    require_readable,
    warm_up,
)
from understand_r1_zero.grading.exact import NO_ANSWER

_MEMORY_LIMIT_BYTES = 2 * 2**30
_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Answer requests until stdin ends."""
    replies = _take_stdout()
    _end_with_parent()
    _limit(resource.RLIMIT_AS, _MEMORY_LIMIT_BYTES)
    _limit(resource.RLIMIT_CORE, 0)
    sys.set_int_max_str_digits(0)  # the deadline limits what numbers may cost
    logging.getLogger("math_verify").setLevel(logging.ERROR)
    warm_up()
    _send(replies, {"ready": True})
    # Parsers print to stderr for every odd answer; until here it told why a start failed.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    for line in sys.stdin.buffer:
        request = json.loads(line)
        _limit_processor_time(request["deadline_s"] + 1)
        status, reason = grade(
            request["answer"], request["golds"], Conventions(**request["conventions"])
        )
        _send(replies, {"status": status, "reason": reason})


def grade(answer: str | None, golds: Sequence[str], conventions: Conventions) -> tuple[str, str]:
    """The status of an answer that may match any of the golds, and the reason where it is not plain.

    Where no gold matches and one of them cannot be parsed, nothing is known, even if there is no
    answer.
    """
    unparsable: list[str] = []
    for gold in golds:
        try:
            if answer is None:
                require_readable(gold, conventions)
            elif is_equivalent(answer, gold, conventions):
                return "correct", ""
        except UnparsableGoldError as error:
            unparsable.append(str(error))
        # The model's text decides what SymPy runs into: recursion, memory, its own bugs.
        except Exception as error:  # noqa: BLE001
            return "error", f"{type(error).__name__}: {error!s:.200}"
    if unparsable:
        return "unknown", unparsable[0]
    return ("unparsable", NO_ANSWER) if answer is None else ("incorrect", "")


def _take_stdout() -> BinaryIO:
    """The stream of replies; whatever a library prints from now on goes to stderr."""
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return replies


def _send(replies: BinaryIO, message: dict[str, Any]) -> None:
    replies.write(json.dumps(message).encode() + b"\n")


def _end_with_parent() -> None:
    """Leave Ctrl-C to the parent, and die when the thread that started this process does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _limit_processor_time(budget_s: float) -> None:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _limit(resource.RLIMIT_CPU, math.ceil(usage.ru_utime + usage.ru_stime + budget_s))


def _limit(what: int, soft: int) -> None:
    hard = resource.getrlimit(what)[1]
    resource.setrlimit(what, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


if __name__ == "__main__":
    main()
