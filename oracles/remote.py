"""Values of steps from a server: a process reward model, or anything else, behind HTTP.

    POST [{"problem": "1 + 2", "steps": ["1 + 2 = 3\\n"], "first": 0, "answers": ["3"]}, ...]
    200  {"values": [[0.9], ...]}

A list of values for each request, in order, with one for each of `steps[first:]`, as JSON.
"""

import asyncio
import contextlib
import itertools
import json
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, NamedTuple

import aiohttp

from understand_r1_zero.search.step import Step
from understand_r1_zero.search.step_oracle import PROBABILITY, Scale, StepScores
from understand_r1_zero.types import Problem

SHOWN_BYTES = 200
"""Of a reply that is refused, in the error."""


class RemoteOracle:
    """Asks a server in batches; requests of any number of coroutines share them, on one event loop.

    A batch is sent once it has `batch_size` requests, or `wait_s` after its first. While the server cannot be
    reached, breaks off or answers 5xx it is asked again, after `backoff_s` and then twice as long each time, until
    `timeout_s` after the batch was first sent. What is wrong with one request of a batch fails them all.

    Args:
        url: where batches are POSTed to.
        scale: of the values; others are refused.
        batch_size: requests in a batch at most.
        wait_s: seconds that a batch waits for more of them.
        timeout_s: seconds that a batch may take, with all attempts.
        backoff_s: seconds before it is sent again for the first time.
        sends_answers: whether the gold answers go along.

    Raises:
        ValueError: no URL of HTTP, a batch of none, or no time.
    """

    def __init__(
        self,
        url: str,
        *,
        scale: Scale = PROBABILITY,
        batch_size: int = 32,
        wait_s: float = 0.01,
        timeout_s: float = 60.0,
        backoff_s: float = 0.5,
        sends_answers: bool = False,
    ) -> None:
        if not url.startswith(("http://", "https://")):
            raise ValueError(
                f"the URL of a remote oracle must begin with http:// or https://, got {url!r}"
            )
        if batch_size < 1:
            raise ValueError(
                f"the batch size of a remote oracle must be at least 1, got {batch_size}"
            )
        for name, seconds in (("time limit", timeout_s), ("back-off", backoff_s)):
            if not seconds > 0:
                raise ValueError(f"the {name} of a remote oracle must be above 0 s, got {seconds}")
        self.scale = scale
        self._url = url
        self._batch_size = batch_size
        self._wait_s = wait_s
        self._timeout_s = timeout_s
        self._backoff_s = backoff_s
        self._sends_answers = sends_answers
        self._open: _Batch | None = None

    async def score(
        self, problem: Problem, steps: Sequence[Step], first: int = 0, seed: int = 0
    ) -> StepScores:
        """The values of `steps[first:]`; the server is told no `seed`.

        Raises:
            TimeoutError: no good answer within `timeout_s`.
            ValueError: the server refused the batch (4xx), or its reply is not as the module has it.
        """
        num_values = len(steps[first:])
        if not num_values:
            return StepScores(())
        body: dict[str, Any] = {
            "problem": problem.text,
            "steps": [step.text for step in steps],
            "first": first,
        }
        if self._sends_answers:
            body["answers"] = list(problem.answers)
        batch = self._open
        if batch is None:
            batch = self._open = _Batch(self._send)
        place = batch.add(body, num_values)
        if place + 1 == self._batch_size:
            self._open = None
            batch.is_full.set()
        # Whoever gives up waiting takes nothing from the others of the batch.
        values = await asyncio.shield(batch.task)
        return StepScores(values[place])

    async def _send(self, batch: "_Batch") -> list[tuple[float, ...]]:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(batch.is_full.wait(), self._wait_s)
        if self._open is batch:
            self._open = None
        return self._values(await self._reply(batch.bodies), batch.num_values)

    async def _reply(self, bodies: list[dict[str, Any]]) -> "_Reply":
        """The first that is not of a server in trouble."""
        failure = "no answer yet"
        try:
            async with asyncio.timeout(self._timeout_s):
                for attempt in itertools.count():
                    try:
                        reply = await self._post(bodies)
                    except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError) as error:
                        failure = str(error) or type(error).__name__
                    else:
                        if reply.status < 500:
                            return reply
                        failure = reply.shown()
                    await asyncio.sleep(self._backoff_s * 2**attempt)
        except TimeoutError as error:
            raise TimeoutError(
                f"{self._url} gave no values within {self._timeout_s:g} s (last: {failure}); is the "
                "server up, and fast enough for the batch?"
            ) from error
        raise AssertionError("attempts are endless")

    async def _post(self, bodies: list[dict[str, Any]]) -> "_Reply":
        # One connection a batch: nothing stays open that somebody would have to close.
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session,
            session.post(self._url, json=bodies, allow_redirects=False) as response,
        ):
            return _Reply(response.status, await response.read())

    def _values(self, reply: "_Reply", num_values: Sequence[int]) -> list[tuple[float, ...]]:
        """What the reply holds, once it is known to be good."""
        if reply.status != 200:
            raise ValueError(f"{self._url} refused a batch: {reply.shown()}")
        try:
            parsed = json.loads(reply.body)
        except ValueError as error:
            raise ValueError(f"{self._url} must answer in JSON, got {reply.shown()}") from error
        rows = parsed.get("values") if isinstance(parsed, dict) else None
        if not isinstance(rows, list):
            raise ValueError(
                f'{self._url} must answer {{"values": [[...], ...]}}, got {reply.shown()}'
            )
        if len(rows) != len(num_values):
            raise ValueError(
                f"{self._url} must give one list of values for each of {len(num_values)} requests, got "
                f"{len(rows)} lists"
            )
        return [self._row(row, number) for row, number in zip(rows, num_values, strict=True)]

    def _row(self, row: Any, num_values: int) -> tuple[float, ...]:
        if not isinstance(row, list) or len(row) != num_values:
            raise ValueError(
                f"{self._url} must give {num_values} values, one for each of steps[first:], got {row!r:.200}"
            )
        low, high = self.scale.low, self.scale.high
        for value in row:
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if not (is_number and low <= value <= high):
                raise ValueError(
                    f"{self._url} must give values within [{low:g}, {high:g}], got {value!r:.200}; mend "
                    "the server, or name its scale"
                )
        return tuple(float(value) for value in row)


_Values = list[tuple[float, ...]]
_Send = Callable[["_Batch"], Coroutine[Any, Any, _Values]]


class _Batch:
    """Requests that are sent together: `task` comes to the values of each, in the order of `bodies`."""

    def __init__(self, send: _Send) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.num_values: list[int] = []
        self.is_full = asyncio.Event()
        self.task: asyncio.Task[_Values] = asyncio.create_task(send(self))

    def add(self, body: dict[str, Any], num_values: int) -> int:
        """The place of the request in the batch."""
        self.bodies.append(body)
        self.num_values.append(num_values)
        return len(self.bodies) - 1


class _Reply(NamedTuple):
    status: int
    body: bytes

    def shown(self) -> str:
        """Its status and how it begins."""
        return f"{self.status} {self.body[:SHOWN_BYTES].decode(errors='replace')!r}"
