"""Experiments of one rank in a process of its own: `python PROGRAM RANK WORLD_SIZE DIRECTORY`.

They need the real engine: several learners, one after another, in the process's one group. What each
experiment found is pickled for the tests to judge. `DIRECTORY/model` is what the learners train.
"""

import dataclasses
import pickle
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers.utils.logging import disable_progress_bar

from learners import rendezvous
from learners.batching import Batch, plan
from learners.policy_gradient import PolicyGradient
from learners.rank import LearnerRank
from understand_r1_zero.args import Args

HOST = "127.0.0.1"
PACKED = 1e9
TIMINGS = ("misc/gradient_update_elapse", "misc/learner_tokens_per_s")


class Lab:
    """Makes learners of this rank that share its process group; `defaults` are flags of all of them."""

    def __init__(
        self, rank: int, world_size: int, directory: Path, defaults: dict[str, Any]
    ) -> None:
        self.rank, self.world_size, self.directory = rank, world_size, directory
        self.defaults = {"pretrain": str(directory / "model"), **defaults}
        self.is_together = False

    def learner(
        self, num_threads: int = 1, linear_cost: float | None = None, **flags: Any
    ) -> LearnerRank:
        """A started learner with the given flags over the defaults.

        `linear_cost` replaces the model's: 0 puts every response in a row of its own, `PACKED` as many
        as it can into one.
        """
        learner = LearnerRank(
            args_with(self.defaults | flags),
            self.rank,
            self.world_size,
            num_optimizer_steps=20,
            num_threads=num_threads,
            dump_directory=str(self.directory / "dumps"),
        )
        port = learner.listen(HOST) if self.rank == 0 else 0
        learner.start(HOST, port if self.is_together else self._exchange(port))
        if not self.is_together:
            rendezvous.connect = lambda host, port: None
            rendezvous.join = lambda store, rank, world_size, device: None
            self.is_together = True
        if linear_cost is not None:
            limits = dataclasses.replace(learner._policy.limits, linear_cost=linear_cost)
            learner._policy.limits = limits
        return learner

    def run(self, batches: Sequence[Sequence[Any]], **flags: Any) -> dict[str, Any]:
        """`updates` of a new learner."""
        return updates(self.learner(**flags), batches)

    def place(self, name: str) -> Path:
        """A new directory for the ranks of this run."""
        directory = self.directory / f"{name}_{self.world_size}"
        directory.mkdir(exist_ok=True)
        return directory

    def _exchange(self, port: int) -> int:
        path = self.directory / f"port_{self.world_size}"
        if self.rank == 0:
            path.with_suffix(".new").write_text(str(port))
            path.with_suffix(".new").rename(path)
        while not path.exists():
            time.sleep(0.05)
        return int(path.read_text())


def args_with(flags: dict[str, Any]) -> Args:
    """All flags, those given replaced."""
    values, args = dict(flags), Args()
    for part in dataclasses.fields(args):
        before = getattr(args, part.name)
        own = {f.name: values.pop(f.name) for f in dataclasses.fields(before) if f.name in values}
        args = dataclasses.replace(args, **{part.name: dataclasses.replace(before, **own)})
    assert not values, values
    return args


def updates(
    learner: LearnerRank, batches: Sequence[Sequence[Any]], first_step: int = 0
) -> dict[str, Any]:
    """Metrics of an update on each batch and, at the end, rank 0's weights and what else there is."""
    metrics = [learner.update(batch, step) for step, batch in enumerate(batches, first_step)]
    found = {
        "metrics": [{k: v for k, v in each.items() if k not in TIMINGS} for each in metrics],
        "weights": learner.outlet.to_host()[0],
    }
    if isinstance(learner._objective, PolicyGradient):
        found["old_logprobs"] = learner.old_logprobs()
        found["first_step"] = learner.first_step_metrics()
    return found


def layout(learner: LearnerRank, batch: Batch) -> dict[str, Any]:
    """How a step on all responses lies: each rank's micro-batches that hold any, the fullest row."""
    everything = np.arange(len(batch.lengths))
    shares = plan(batch, everything, learner._policy.limits, learner._world_size)
    rows = [row for share in shares for filled in share for row in filled]
    return {
        "counts": [sum(len(filled) > 0 for filled in share) for share in shares],
        "most_blocks": max(len(row.blocks) for row in rows),
    }


Experiment = Callable[[Lab], Any]


def main(any_ranks: Sequence[Experiment], one_rank: Sequence[Experiment], **defaults: Any) -> None:
    """Run the experiments that the command line's rank takes part in: a lone one in all of them."""
    rank, world_size, directory = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    torch.set_num_threads(1)
    disable_progress_bar()
    lab = Lab(rank, world_size, directory, defaults)
    chosen = [*any_ranks, *(one_rank if world_size == 1 else ())]
    found = {experiment.__name__: experiment(lab) for experiment in chosen}
    (directory / f"found_{world_size}_{rank}.pkl").write_bytes(pickle.dumps(found))
