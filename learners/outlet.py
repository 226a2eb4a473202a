"""Where the policy's weights leave one rank of the learner: for host memory, for NCCL, or shown on its GPU."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from learners.policy import Policy
from understand_r1_zero import import_path
from understand_r1_zero.weights import Checksum, checksum, describe, in_chunks, show

SHOWN_BYTES = 2**29
"""Of a GPU's memory, for copies of weights that the actor there may read at once."""


class Outlet:
    """One rank's end of every way that `learners.publishers` knows.

    Every method is called on all ranks together: under ZeRO-3 each weight is gathered from all.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._sender: Any = None
        self._checksum = Checksum()
        self._chunks: Iterator[dict[str, Tensor]] | None = None
        self._shown: dict[str, Tensor] = {}

    def to_host(self) -> tuple[dict[str, np.ndarray] | None, str]:
        """`Policy.published_weights` and their checksum; on other ranks than 0 (None, "")."""
        weights = self._policy.published_weights()
        return weights, "" if weights is None else checksum(weights)

    def open_nccl(
        self, sender: str, host: str, port: int, world_size: int
    ) -> dict[str, Sequence[Any]]:
        """Open a group with actors, on rank 0, in place of the last; waits until all have joined.

        `sender` is the import path (module:Class) of what opens it and sends. Returns the description
        of what `send_nccl` will send.
        """
        if self._policy.rank == 0:
            if self._sender is not None:
                self._sender.close()
            self._sender = import_path.load(sender)(host, port, world_size)
        tensors = self._policy.full_tensors()
        return describe({name: torch.empty_like(t, device="meta") for name, t in tensors})

    def send_nccl(self) -> str:
        """Send every weight, from rank 0, while the actors receive; returns the checksum."""
        self._checksum = Checksum()
        copies = self._copies()
        if self._sender is not None:
            self._sender.send(copies)
        for _ in copies:
            pass
        return self._checksum.hexdigest()

    def show(self, is_read: bool) -> bytes | None:
        """A message that shows the next weights (`weights.show`), or None once all were shown.

        They are copies of `SHOWN_BYTES` at most, or of one larger weight; the last ones shown must have been
        read. Where nobody reads (`is_read` False) the message is empty: memory that is shown stays
        taken until it is read.
        """
        if self._chunks is None:
            self._checksum = Checksum()
            self._chunks = in_chunks(self._copies(), SHOWN_BYTES)
        self._shown = {}
        self._shown = next(self._chunks, {})
        if torch.cuda.is_available():
            torch.cuda.synchronize()
            torch.cuda.ipc_collect()
        if not self._shown:
            self._chunks = None
            return None
        return show(self._shown) if is_read else b""

    def shown_checksum(self) -> str:
        """The checksum of all that was shown since `show` began."""
        return self._checksum.hexdigest()

    def _copies(self) -> Iterator[tuple[str, Tensor]]:
        """Each weight on this GPU, in memory of its own; adds it to the checksum.

        Reading the checksum back waits for the copy, whatever stream it is made on: a gathered weight
        is gone when the next is asked for.
        """
        for name, tensor in self._policy.full_tensors():
            copy = tensor.clone(memory_format=torch.contiguous_format)
            self._checksum.add(name, copy)
            yield name, copy
