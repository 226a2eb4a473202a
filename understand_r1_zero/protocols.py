"""What the parts require of each other: an oracle scores, an actor samples, a learner updates."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Protocol

import numpy as np

from understand_r1_zero.types import Group, Problem, Sampling, Trajectory, Verdict


class Oracle(Protocol):
    """Scores responses. The method names and order of arguments are Oat's."""

    def get_reward(
        self,
        inputs: Sequence[str],
        responses: Sequence[str],
        references: Sequence[str | Sequence[str]],
        batch_size: int = 4,
    ) -> tuple[Sequence[Verdict | float], Mapping[str, float]]:
        """Score each response to its problem text; a reference is a gold answer or several.

        Returns one verdict per response, in order, and metrics. A bare float is read as a reward
        whose answer is correct when it equals 1, as Oat reads it.
        """
        ...


class Actor(Protocol):
    """Samples and grades groups under one published policy version at a time."""

    async def sample(self, index: int, problem: Problem, sampling: Sampling) -> Group:
        """Sample one graded group."""
        ...

    async def load_weights(self, version: int, weights: "Mapping[str, np.ndarray]") -> str:
        """Replace the policy's weights and return the checksum of what the engine was fed."""
        ...


class Learner(Protocol):
    """One rank of the trainer; all ranks are called together."""

    def update(self, trajectories: Sequence[Trajectory]) -> dict[str, float]:
        """Run every optimizer step of one batch and return the batch's metrics."""
        ...


class Process(Protocol):
    """A remote process that runs one actor or learner."""

    name: str

    def submit(self, method: str, *args: Any) -> "Future[Any]":
        """Call a method there; the future carries its result or its exception."""
        ...

    def identify(self) -> "Future[tuple[str, int]]":
        """Address of its node, and its process id there."""
        ...

    def kill(self) -> None:
        """End the process now, without its consent."""
        ...
