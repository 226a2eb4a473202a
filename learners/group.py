"""All ranks as one learner: called together, and failed together."""

import os
import socket
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from pathlib import Path
from typing import Any

import numpy as np

from understand_r1_zero.carry import pack, unpack
from understand_r1_zero.launch import Cluster, RemoteProcess, Shared
from understand_r1_zero.types import PreferencePair


class LearnerGroup:
    """The training ranks; rank 0 answers for all.

    A rank that dies or raises ends the call with its error at once: the others would wait for it in
    a collective until the process group's timeout.
    """

    def __init__(self, cluster: Cluster, ranks: Sequence[RemoteProcess]) -> None:
        self._cluster = cluster
        self.ranks = list(ranks)
        host, _ = self.ranks[0].identify().result()
        port = self.ranks[0].submit("listen", host).result()
        self._starting = [rank.submit("start", host, port) for rank in self.ranks]

    def wait_until_ready(self) -> None:
        """Wait until every rank has loaded the model."""
        results_of(self._starting)

    def update(self, examples: Sequence[Any], step: int) -> dict[str, float]:
        """Run every optimizer step of one batch; returns the batch's metrics over all ranks."""
        return self.call("update", self._cluster.share(list(examples)), step)[0]

    def evaluate_loss(self, examples: Sequence[Any]) -> dict[str, float]:
        """`eval/` metrics of held-out examples, over all ranks; the policy stays as it is."""
        return self.call("evaluate_loss", self._cluster.share(list(examples)))[0]

    def reference_logprobs(self, pairs: Sequence[PreferencePair]) -> np.ndarray:
        """float64 (P, 2): log-probs of chosen and rejected responses, in nats, before any update."""
        return self.call("reference_logprobs", self._cluster.share(list(pairs)))[0]

    def old_logprobs(self) -> list[np.ndarray]:
        """float32 (T,) of each trajectory of the last update, in nats, before it."""
        return self.ranks[0].submit("old_logprobs").result()

    def first_step_metrics(self) -> dict[str, float]:
        """Metrics of the first optimizer step of the last update."""
        return self.ranks[0].submit("first_step_metrics").result()

    def to_host(self) -> tuple[Shared, str]:
        """The current policy in shared memory, with the checksum of what was put there."""
        weights, checksum = self.ranks[0].submit_shared("outlet.to_host")
        # ZeRO-3 gathers every parameter over all ranks.
        others = [rank.submit("outlet.to_host") for rank in self.ranks[1:]]
        return weights, results_of([checksum, *others])[0]

    def save(self, directory: Path) -> None:
        """Write the model and every rank's training state into an existing directory.

        Where some rank's node does not see it, every rank writes at home and Ray carries the files.
        """
        if self._all_see(directory):
            self.call("save", str(directory))
        else:
            for files in self.call("save_at_home"):
                unpack(files, directory)

    def load(self, directory: Path) -> None:
        """Continue from a directory written by `save`."""
        if self._all_see(directory):
            self.call("load", str(directory))
        else:
            self.call("load_at_home", self._cluster.share(pack(directory)))

    def submit(self, method: str, *args: Any) -> "list[Future[Any]]":
        """Call a method, or that of a part (`part.method`), on every rank."""
        return [rank.submit(method, *args) for rank in self.ranks]

    def call(self, method: str, *args: Any) -> list[Any]:
        """As `submit`; waits for what every rank returns."""
        return results_of(self.submit(method, *args))

    def kill(self) -> None:
        """End every rank's process."""
        for rank in self.ranks:
            rank.kill()

    def _all_see(self, directory: Path) -> bool:
        """Whether the directory, which exists here, is on every rank's node the same."""
        mark = directory / f".seen_from_{socket.gethostname()}_{os.getpid()}"
        mark.touch()
        try:
            return all(self.call("sees", str(mark)))
        finally:
            mark.unlink()


def results_of(futures: "Sequence[Future[Any]]") -> list[Any]:
    """Every result once all are done; the first error as soon as there is one."""
    done, _ = wait(futures, return_when=FIRST_EXCEPTION)
    for future in done:
        future.result()
    return [future.result() for future in futures]
