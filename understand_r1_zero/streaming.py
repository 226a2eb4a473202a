"""Groups streaming from actors: each goes to the least loaded one and returns as it finishes.

A straggler delays nothing but itself, and a dead actor costs time but no group: its lost groups are
asked again. Pure bookkeeping over `Process` futures; no Ray here.
"""

import itertools
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from understand_r1_zero.protocols import Process
from understand_r1_zero.search.explore import GivenSolution
from understand_r1_zero.types import Group, Problem, Sampling

RUNNING_RESPONSES = 1024
"""Responses an actor works on at once; the rest wait here, where any actor can still take them."""
POLL_S = 0.2


class Interrupted(Exception):
    """The run was asked to stop while it waited for groups."""


@dataclass(frozen=True, slots=True)
class Request:
    """One group to sample, or to search, or a solution to explore; `index` is its place in its channel's order.

    An actor's load counts `sampling.num_samples`, whatever it is asked for.
    """

    index: int
    problem: Problem
    sampling: Sampling
    is_search: bool = False
    given: GivenSolution | None = None

    @property
    def method(self) -> str:
        """Of the actor."""
        if self.given is not None:
            return "explore"
        return "search" if self.is_search else "sample"


@dataclass(eq=False)
class _Call:
    """Requests sent to an actor together, on behalf of a channel, as one batch or one by one."""

    channel: int
    requests: tuple[Request, ...]
    is_batch: bool = False


@dataclass(eq=False)
class _Slot:
    """One actor's place: the process that fills it now and what it is working on."""

    process: Process
    running: dict[_Call, None] = field(default_factory=dict)

    @property
    def load(self) -> int:
        return sum(
            request.sampling.num_samples for call in self.running for request in call.requests
        )


class GroupStream:
    """Dispatches requests over actors and yields their groups as they finish.

    Args:
        processes: the running actors.
        respawn: starts a replacement for the actor at a position, ready to sample.
        max_restarts: deaths in a row, with no finished group between them, that end the run.
        warn: told of each death, in one line.
        should_stop: polled while waiting; when it is set, waiting raises `Interrupted`.
    """

    def __init__(
        self,
        processes: Sequence[Process],
        respawn: Callable[[int], Process],
        *,
        max_restarts: int,
        warn: Callable[[str], None],
        should_stop: threading.Event,
    ) -> None:
        self._warn = warn
        self._slots = [_Slot(process) for process in processes]
        self._respawn = respawn
        self._max_restarts = max_restarts
        self._should_stop = should_stop
        self._waiting: deque[_Call] = deque()
        self._finished: queue.SimpleQueue[tuple[_Slot, Process, _Call, Future[Any]]] = (
            queue.SimpleQueue()
        )
        self._results: dict[int, deque[Group]] = {}
        self._channels = itertools.count()
        self._deaths_in_a_row = 0
        self.restarts = 0

    @property
    def processes(self) -> list[Process]:
        """The actors that are alive now, by position."""
        return [slot.process for slot in self._slots]

    def open_channel(self) -> int:
        """A channel keeps its groups apart from others', such as evaluation from training."""
        channel = next(self._channels)
        self._results[channel] = deque()
        return channel

    def submit(self, channel: int, request: Request) -> None:
        """Ask for one group."""
        self._waiting.append(_Call(channel, (request,)))
        self._dispatch()

    def next_group(self, channel: int) -> Group:
        """Wait for the next finished group of a channel.

        Raises what sampling raised, `Interrupted`, or RuntimeError when actors keep dying.
        """
        results = self._results[channel]
        while not results:
            self._absorb()
        return results.popleft()

    def stream(self, requests: Sequence[Request]) -> Iterator[Group]:
        """Ask for several groups and yield each as it finishes."""
        channel = self.open_channel()
        for request in requests:
            self.submit(channel, request)
        yield from self._drain(channel, len(requests))

    def together(self, requests: Sequence[Request]) -> Iterator[Group]:
        """Ask for several groups so that every engine sees its share as one fixed batch.

        The share of each actor depends on the order of requests alone, not on timing: what
        reproducible floating-point results need, at the price of streaming.
        """
        channel = self.open_channel()
        shares = [tuple(requests[i :: len(self._slots)]) for i in range(len(self._slots))]
        for slot, share in zip(self._slots, shares, strict=True):
            if share:
                self._send(slot, _Call(channel, share, is_batch=True))
        yield from self._drain(channel, len(requests))

    def replace(self, process: Process, error: BaseException) -> None:
        """Fill a dead actor's slot again and ask for everything it was working on.

        Whoever notices the death first calls this; later calls find the slot filled and do nothing.
        """
        slot = next((slot for slot in self._slots if slot.process is process), None)
        if slot is None:
            return
        if self._should_stop.is_set():
            raise Interrupted
        self._deaths_in_a_row += 1
        if self._deaths_in_a_row > self._max_restarts:
            raise RuntimeError(
                f"actors died {self._deaths_in_a_row} times in a row without finishing a group "
                f"(--max_actor_restarts {self._max_restarts}); the last: {error}; see logs/"
            ) from error
        lost, slot.running = list(slot.running), {}
        self._warn(f"{error}; starting another and asking for its {len(lost)} calls again")
        slot.process = self._respawn(self._slots.index(slot))
        self.restarts += 1
        for call in lost:
            self._send(slot, call)

    def _drain(self, channel: int, count: int) -> Iterator[Group]:
        for _ in range(count):
            yield self.next_group(channel)
        del self._results[channel]

    def _dispatch(self) -> None:
        while self._waiting:
            slot = min(self._slots, key=lambda slot: slot.load)
            if slot.load >= RUNNING_RESPONSES:
                return
            self._send(slot, self._waiting.popleft())

    def _send(self, slot: _Slot, call: _Call) -> None:
        slot.running[call] = None
        items = [(request.index, request.problem, request.sampling) for request in call.requests]
        process = slot.process
        if call.is_batch:
            future = process.submit("sample_batch", items)
        else:
            [request] = call.requests
            given = () if request.given is None else (request.given,)
            future = process.submit(request.method, *items[0], *given)
        future.add_done_callback(lambda done: self._finished.put((slot, process, call, done)))

    def _absorb(self) -> None:
        """Take in one finished call, whatever channel it belongs to."""
        if self._should_stop.is_set():
            raise Interrupted
        try:
            slot, process, call, future = self._finished.get(timeout=POLL_S)
        except queue.Empty:
            return
        error = future.exception()
        if error is None:
            self._deaths_in_a_row = 0
            slot.running.pop(call, None)
            result = future.result()
            self._results[call.channel].extend(result if call.is_batch else [result])
            self._dispatch()
        elif getattr(error, "process", None) is process:
            self.replace(process, error)
        else:
            raise error
