"""What each step of a run learns from: examples that actors sample, or that a file holds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from understand_r1_zero.collect import Collector, Position
from understand_r1_zero.metrics import actor_metrics
from understand_r1_zero.prompt_order import PromptOrder
from understand_r1_zero.types import Group


@dataclass(frozen=True)
class Feed:
    """One step's examples, the groups they are of (none from a file), and what to report of both."""

    examples: Sequence[Any]
    groups: Sequence[Group]
    metrics: dict[str, float]


ExamplesOf = Callable[[Sequence[Group]], tuple[Sequence[Any], dict[str, float]]]
"""The examples in a batch of groups, and metrics of how they were made."""


class Source(Protocol):
    """Gives one step's examples after another."""

    def next(self, version: int) -> Feed:
        """The examples for a learner at policy `version`."""
        ...


class Sampled:
    """Examples made of the groups that actors sample and grade."""

    def __init__(self, collector: Collector, examples_of: ExamplesOf) -> None:
        self._collector = collector
        self._examples_of = examples_of

    def next(self, version: int) -> Feed:
        """A batch of fresh groups, and the examples in them."""
        collector = self._collector
        groups = collector.collect(version)
        metrics = actor_metrics(groups, collector.sampling, version) | collector.metrics()
        examples, made = self._examples_of(groups)
        return Feed(examples, groups, metrics | made)


class Stored:
    """Examples of a file, in an order that follows from the seed; `position` goes on after a resume."""

    def __init__(
        self, examples: Sequence[Any], num_a_step: int, seed: int, position: Position
    ) -> None:
        self._examples = examples
        self._num_a_step = num_a_step
        self._order = PromptOrder(len(examples), seed)
        self._position = position

    def next(self, version: int) -> Feed:
        """The next examples of the epoch, and of the next one where it ends."""
        start = self._position.next
        rows = self._order.batch(start, self._num_a_step)
        self._position.next += self._num_a_step
        metrics = {
            "misc/prompt_consumed": float(self._position.next),
            "misc/prompt_epoch": float(self._order.epoch(self._position.next)),
            "misc/prompt_dataset_len": float(len(self._examples)),
        }
        return Feed([self._examples[row] for row in rows], (), metrics)
