"""The actors as one: started together, given each published policy, replaced when they die."""

import contextlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from understand_r1_zero.launch import ProcessDied, Shared
from understand_r1_zero.protocols import Process
from understand_r1_zero.streaming import GroupStream


@dataclass(frozen=True)
class Publication:
    """One policy version: its weights in shared memory and the checksum the learner took of them."""

    version: int
    weights: Shared
    checksum: str


class Fleet:
    """The sampling actors.

    Args:
        spawn: starts the process of the actor at a position.
        num_actors: how many.
        max_restarts, warn, should_stop: see `GroupStream`.
    """

    def __init__(
        self,
        spawn: Callable[[int], Process],
        num_actors: int,
        *,
        max_restarts: int,
        warn: Callable[[str], None],
        should_stop: threading.Event,
    ) -> None:
        self._spawn = spawn
        self._publication: Publication | None = None
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

    def publish(self, publication: Publication) -> None:
        """Give every actor a new policy version.

        Raises RuntimeError when an actor loaded other bytes than the learner published: it would
        sample from a policy nobody trains.
        """
        self._publication = publication
        processes = self.groups.processes
        loading = [self._load(process, publication) for process in processes]
        for process, future in zip(processes, loading, strict=True):
            try:
                self._verify(process, publication, future.result())
            except ProcessDied as error:
                self.groups.replace(process, error)

    def call(self, method: str, *args: Any) -> list[Any]:
        """Call a method on every actor and wait; an actor that died meanwhile is replaced."""
        processes = self.groups.processes
        results = []
        for process, future in [(process, process.submit(method, *args)) for process in processes]:
            try:
                results.append(future.result())
            except ProcessDied as error:
                self.groups.replace(process, error)
        return results

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
        if self._publication is not None:
            loaded = self._load(process, self._publication).result()
            self._verify(process, self._publication, loaded)
        return process

    @staticmethod
    def _load(process: Process, publication: Publication) -> Any:
        return process.submit("load_weights", publication.version, publication.weights)

    @staticmethod
    def _verify(process: Process, publication: Publication, checksum: str) -> None:
        if checksum != publication.checksum:
            raise RuntimeError(
                f"{process.name} loaded weights with checksum {checksum} for policy version "
                f"{publication.version}, but the learner published {publication.checksum}"
            )
