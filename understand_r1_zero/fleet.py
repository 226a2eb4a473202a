"""The actors as one: started together, given each published policy, replaced when they die."""

import contextlib
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

from understand_r1_zero.launch import ProcessDied
from understand_r1_zero.protocols import Process
from understand_r1_zero.streaming import GroupStream


class Publisher(Protocol):
    """A way for the learners' policy to reach the actors."""

    def publish(self, version: int, actors: Sequence[Process]) -> list[ProcessDied]:
        """Give every actor the policy as it is now, as this version, and wake those that sleep.

        Returns the deaths met on the way; those actors have nothing. Raises RuntimeError when an actor
        was fed other bytes than the learners hold: it would sample from a policy nobody trains.
        """
        ...

    def catch_up(self, version: int, actor: Process) -> None:
        """Give an actor started since `publish` what the others have.

        It may get the policy as it is now, and so up to `--sync_params_every` - 1 steps more than they.
        """
        ...


class Fleet:
    """The sampling actors; a run that samples nothing has none, and calls to them do nothing.

    Args:
        spawn: starts the process of the actor at a position.
        num_actors: how many.
        can_sleep: `--vllm_sleep`; without it `sleep` and `wake_up` do nothing.
        max_restarts, warn, should_stop: see `GroupStream`.
    """

    def __init__(
        self,
        spawn: Callable[[int], Process],
        num_actors: int,
        *,
        can_sleep: bool = False,
        max_restarts: int,
        warn: Callable[[str], None],
        should_stop: threading.Event,
    ) -> None:
        self._spawn = spawn
        self._can_sleep = can_sleep
        self._catch_up: Callable[[Process], None] = lambda process: None
        processes = [spawn(index) for index in range(num_actors)]
        self._starting = [process.submit("start") for process in processes]
        self.groups = GroupStream(
            processes,
            self._respawn,
            max_restarts=max_restarts,
            warn=warn,
            should_stop=should_stop,
        )

    def wait_until_ready(self) -> list[Any]:
        """Wait until every actor has loaded its model; returns what each reports of itself."""
        return [future.result() for future in self._starting]

    def publish(self, publisher: Publisher, version: int) -> None:
        """Give every actor a new policy version, and wake those that sleep.

        An actor found dead is replaced. Raises what `Publisher.publish` raises.
        """
        if not self.groups.processes:
            return
        self._catch_up = partial(publisher.catch_up, version)
        for death in publisher.publish(version, self.groups.processes):
            self.groups.replace(death.process, death)

    def sleep(self) -> None:
        """Leave the GPUs' memory to the learners until the next `publish` or `wake_up`."""
        if self._can_sleep:
            self.call("sleep")

    def wake_up(self) -> None:
        """Take the memory back, with the policy version from before."""
        if self._can_sleep:
            self.call("wake_up")

    def call(self, method: str, *args: Any) -> list[Any]:
        """Call a method on every actor and wait; one that died is replaced, and that one called."""
        results: dict[Process, Any] = {}
        while waiting := [p for p in self.groups.processes if p not in results]:
            for process, future in [(p, p.submit(method, *args)) for p in waiting]:
                try:
                    results[process] = future.result()
                except ProcessDied as error:
                    self.groups.replace(process, error)
        return [results[process] for process in self.groups.processes]

    def shutdown(self, timeout_s: float = 10.0) -> None:
        """Let every actor end its engine, then end the process."""
        processes: Sequence[Process] = self.groups.processes
        closing = [process.submit("shutdown") for process in processes]
        for process, future in zip(processes, closing, strict=True):
            # Whatever state an actor is in, the run's own outcome is what matters now.
            with contextlib.suppress(Exception):
                future.result(timeout_s)
            process.kill()

    def _respawn(self, index: int) -> Process:
        process = self._spawn(index)
        process.submit("start").result()
        self._catch_up(process)
        return process
