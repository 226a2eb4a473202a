"""The sides of a comparison, each in a process of its own that does a round when it is told to.

Both sides stay alive while they take turns, so that what disturbs the machine disturbs both alike.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
SHUTDOWN_S = 30.0
LOG_LINES = 20

Round = dict[str, float]
"""What one round gave: `tokens`, `seconds`, and whatever else its side reports."""
DoRound = Callable[..., Round]


class Side:
    """A program of this package in a process of its own; a context manager that ends it.

    Args:
        module: it calls `answer`.
        arguments: its command line.
    """

    def __init__(self, module: str, arguments: Sequence[str]) -> None:
        self._module = module
        # Closed on exit.
        self._log = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            cwd=REPOSITORY,
            text=True,
        )

    def __enter__(self) -> "Side":
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(SHUTDOWN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def wait_until_ready(self) -> None:
        """Wait until it has loaded whatever it needs."""
        self._read()

    def round(self, **request: Any) -> Round:
        """Have it do one round, and wait for what that gave.

        Raises RuntimeError with the end of its output when it has died.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> Round:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._log.seek(0)
            tail = "".join(self._log.readlines()[-LOG_LINES:])
            raise RuntimeError(f"{self._module} ended:\n{tail}")
        return json.loads(line)


def answer(prepare: Callable[[], DoRound]) -> None:
    """In the side's process: prepare, then do a round for every request until there are no more.

    The engines print to the standard output: from here on that goes to standard error.
    """
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    do_round = prepare()
    print("{}", file=channel, flush=True)
    for line in sys.stdin:
        print(json.dumps(do_round(**json.loads(line))), file=channel, flush=True)


def take_turns(ours: Side, theirs: Side, rounds: int, warm_up: int) -> tuple[list[Round], ...]:
    """Rounds of both sides, pair by pair; who begins alternates. Warm-up rounds are thrown away."""
    found: tuple[list[Round], ...] = ([], [])
    for number in range(warm_up + rounds):
        order = (0, 1) if number % 2 == 0 else (1, 0)
        for which in order:
            one_round = (ours, theirs)[which].round()
            if number >= warm_up:
                found[which].append(one_round)
    return found


def tokens_per_s(rounds: Sequence[Round]) -> list[float]:
    """Of each round."""
    return [one_round["tokens"] / one_round["seconds"] for one_round in rounds]
