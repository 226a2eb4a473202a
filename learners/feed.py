"""What each step of a run learns from: examples that actors sample, or that a file holds."""

import hashlib
import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

from learners.group import LearnerGroup
from learners.trajectories import to_trajectories
from understand_r1_zero import reference_cache
from understand_r1_zero.args import Args
from understand_r1_zero.collect import Collector, Position
from understand_r1_zero.holdout import hold_out
from understand_r1_zero.metrics import actor_metrics
from understand_r1_zero.pairs import pairs_of_groups
from understand_r1_zero.preference_data import load_pairs
from understand_r1_zero.prompt_order import PromptOrder
from understand_r1_zero.rejection import kept_examples
from understand_r1_zero.supervised import load_examples
from understand_r1_zero.tokenizer import load_tokenizer
from understand_r1_zero.types import Group
from understand_r1_zero.value_examples import ValueExample, load_value_examples
from understand_r1_zero.values import activation_name, trains_step_values, value_model_beside


@dataclass(frozen=True)
class Feed:
    """One step's examples, the groups they are of (none from a file), and what to report of both."""

    examples: Sequence[Any]
    groups: Sequence[Group]
    metrics: dict[str, float]

    @property
    def is_fresh(self) -> bool:
        """Whether all of it was sampled by the policy that is trained on it."""
        return self.metrics.get("actor/staleness_max") == 0


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
    """Examples of a file, in an order that follows from the seed; `position` goes on after a resume.

    `units` are drawn as they are: examples that a loss compares stay together.
    """

    def __init__(
        self, units: Sequence[Sequence[Any]], num_a_step: int, seed: int, position: Position
    ) -> None:
        self._units = units
        self._num_a_step = num_a_step
        self._order = PromptOrder(len(units), seed)
        self._position = position

    def next(self, version: int) -> Feed:
        """The examples of the epoch's next units, and of the next epoch's where it ends."""
        start = self._position.next
        rows = self._order.batch(start, self._num_a_step)
        self._position.next += self._num_a_step
        metrics = {
            "misc/prompt_consumed": float(self._position.next),
            "misc/prompt_epoch": float(self._order.epoch(self._position.next)),
            "misc/prompt_dataset_len": float(len(self._units)),
        }
        return Feed([example for row in rows for example in self._units[row]], (), metrics)


@dataclass(frozen=True)
class Examples:
    """What a file holds: examples to train on, and those that are held out (`--holdout`)."""

    training: list[Any]
    held_out: list[Any]
    num_long: int = 0
    num_wrong: int = 0

    @property
    def units(self) -> list[list[Any]]:
        """What `Stored` draws: the examples of one row of the file for a value model, else each alone."""
        if not isinstance(self.training[0], ValueExample):
            return [[example] for example in self.training]
        by_group = groupby(self.training, key=lambda example: example.group)
        return [list(examples) for _, examples in by_group]

    def lines(self) -> Iterator[str]:
        """What was read, for the console."""
        held_out = f", {len(self.held_out)} held out" if self.held_out else ""
        yield f"{len(self.training)} training examples{held_out}"
        if self.num_long:
            yield f"left out {self.num_long} examples that are too long"
        if self.num_wrong:
            yield f"left out {self.num_wrong} wrong solutions"

    def digest(self) -> str:
        """Of the training examples, in order: what a place among them refers to."""
        digest = hashlib.blake2b(digest_size=16)
        for example in self.training:
            digest.update(pickle.dumps(example))
        return digest.hexdigest()


def load_stored(args: Args) -> Examples | None:
    """The examples of the file that `--algo` learns from; None where actors sample them.

    Raises ValueError for a file at fault, or too small for `--holdout`, and for a trained value head that
    the flags read otherwise.
    """
    if not args.learns_from_file:
        return None
    if trains_step_values(args):
        # Here, before engines start: learners would refuse it minutes later.
        value_model_beside(args.model.pretrain, activation_name(args.value))
    examples, *num_left_out = _read(args)
    return Examples(*hold_out(examples, args.evaluation.holdout, args.run.seed), *num_left_out)


def _read(args: Args) -> tuple[list[Any], int, int]:
    """The file's examples, and how many are left out as too long, and as wrong."""
    match args.algorithm.algo:
        case "sft":
            found = load_examples(args)
            return found.examples, found.num_long, found.num_wrong
        case "dpo":
            pairs = load_pairs(args, load_tokenizer(args.model))
            return pairs.pairs, pairs.num_too_long, 0
        case _:
            return load_value_examples(args), 0, 0


def examples_of_groups(args: Args) -> ExamplesOf:
    """How `--algo` makes examples of what actors sample."""

    def trajectories(groups: Sequence[Group]) -> tuple[Sequence[Any], dict[str, float]]:
        return to_trajectories(groups, args.algorithm), {}

    def pairs(groups: Sequence[Group]) -> tuple[Sequence[Any], dict[str, float]]:
        drop_truncated = args.algorithm.ignore_no_eos
        pairing = pairs_of_groups(groups, args.preference, drop_truncated=drop_truncated)
        return pairing.pairs, pairing.metrics

    def correct_responses(groups: Sequence[Group]) -> tuple[Sequence[Any], dict[str, float]]:
        examples = kept_examples(groups, args.supervised)
        return examples, {"actor/num_kept": float(len(examples))}

    return {"ppo": trajectories, "dpo": pairs, "rft": correct_responses}[args.algorithm.algo]


def with_reference_logprobs(
    stored: Examples, args: Args, learners: LearnerGroup, path: Path
) -> Examples:
    """The pairs with the log-probs of the policy as it starts, from `path` or scored and kept there.

    Call it before the first update, and before a resumed policy is loaded.
    """
    pairs = [*stored.training, *stored.held_out]
    digest = reference_cache.digest_of(pairs, args)
    found = reference_cache.read_reference(path, digest)
    if found is None:
        found = learners.reference_logprobs(pairs)
        reference_cache.write_reference(path, digest, found)
    known = reference_cache.with_reference(pairs, found)
    middle = len(stored.training)
    return replace(stored, training=known[:middle], held_out=known[middle:])
