"""One rank of supervised and value objectives in a process of its own.

`python supervised_process.py RANK WORLD_SIZE DIRECTORY` runs experiments that need the real engine, one after
another in one process group, and pickles what they found for the tests to judge.
"""

import dataclasses
import json
import os
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
from learners.optimizer_steps import OptimizerSteps
from learners.policy import Policy
from learners.supervised import SCORING, Supervised
from learners.value import Value, scoring_of
from tests.learners.plain_supervised import (
    make_examples,
    make_value_examples,
    parity_examples,
    plain_sft,
    plain_value,
)
from understand_r1_zero.args import Args
from understand_r1_zero.holdout import hold_out
from understand_r1_zero.supervised import load_examples

HOST = "127.0.0.1"
PARTS = ("supervised", "value", "optim", "model", "run", "sampling")


class Lab:
    """Makes objectives of this rank in its one process group."""

    def __init__(self, rank: int, world_size: int, directory: Path) -> None:
        self.rank, self.world_size, self.directory = rank, world_size, directory
        os.environ["DS_ACCELERATOR"] = "cpu"
        path = directory / f"port_{world_size}_supervised"
        if rank == 0:
            store = rendezvous.serve(HOST)
            path.with_suffix(".new").write_text(str(store.port))
            path.with_suffix(".new").rename(path)
        else:
            while not path.exists():
                time.sleep(0.05)
            store = rendezvous.connect(HOST, int(path.read_text()))
        rendezvous.join(store, rank, world_size, "cpu")

    def make(self, kind: type, **flags: Any) -> tuple[Any, Policy]:
        """A started objective with the given flags over test defaults, and its policy."""
        args = make_args(self.directory, **flags)
        torch.manual_seed(args.run.seed)
        policy = Policy(
            args,
            num_optimizer_steps=100,
            device="cpu",
            scoring=SCORING if kind is Supervised else scoring_of(args.value),
        )
        return kind(args, policy, OptimizerSteps(policy, self.directory)), policy

    def run(self, kind: type, examples: Sequence[Any], **flags: Any) -> dict[str, Any]:
        """Held-out loss before, the metrics of two updates, held-out loss after, all parameters."""
        objective, policy = self.make(kind, **flags)
        before = objective.evaluate_loss(examples)
        metrics = [objective.update(examples, step) for step in range(2)]
        parameters = {n: t.clone().numpy() for n, t in policy.full_tensors(has_head=True)}
        return {
            "before": before,
            "metrics": metrics,
            "after": objective.evaluate_loss(examples),
            "parameters": parameters,
        }


def make_args(directory: Path, **flags: Any) -> Args:
    """Test defaults with any flag of `PARTS` replaced."""
    defaults: dict[str, Any] = {
        "pretrain": str(directory / "model"),
        "learning_rate": 1e-2,
        "temperature": 0.5,
    }
    values, args = defaults | flags, Args()
    for name in PARTS:
        part = getattr(args, name)
        own = {f.name: values.pop(f.name) for f in dataclasses.fields(part) if f.name in values}
        args = dataclasses.replace(args, **{name: dataclasses.replace(part, **own)})
    assert not values, values
    return args


def value_flags() -> dict[str, dict[str, Any]]:
    return {
        "mse": {"value_head": "tanh"},
        "bce": {"value_loss": "bce", "value_aggregation": "sequence"},
        "ranking": {"value_loss": "ranking"},
        "joint": {"value_joint": True, "value_beta": 0.3, "value_head": "tanh"},
    }


def stages(lab: Lab) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for stage in (0, 1, 2, 3):
        flags: dict[str, Any] = {"zero_stage": stage, "train_batch_size": 5}
        found[f"sft {stage}"] = lab.run(Supervised, make_examples(0), **flags)
        flags["train_batch_size"] = 0
        for name, own in value_flags().items():
            found[f"{name} {stage}"] = lab.run(Value, make_value_examples(0), **flags, **own)
    return found


def splits(lab: Lab) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for split, flags in {
        "one": {},
        "many": {"max_tokens_per_micro_batch": 1},
        "two": {"train_batch_size_per_device": 5},
    }.items():
        found[f"sft {split}"] = lab.run(Supervised, make_examples(0), **flags)
        for name, own in value_flags().items():
            found[f"{name} {split}"] = lab.run(Value, make_value_examples(0), **flags, **own)
    return found


def aggregations(lab: Lab) -> dict[str, Any]:
    """Loss and gradient norm of the first update, ours and by a loop over examples."""
    found: dict[str, Any] = {}
    for aggregation in ("token", "sequence"):
        for on_prompt in (False, True):
            flags = {"sft_aggregation": aggregation, "loss_on_prompt": on_prompt}
            objective, _ = lab.make(Supervised, **flags)
            metrics = objective.update(make_examples(0), 0)
            found[aggregation, on_prompt] = (
                metrics,
                plain_sft(lab.directory / "model", aggregation, on_prompt),
            )
    return found


def plain_values(lab: Lab) -> dict[str, Any]:
    """Loss and gradient norm of the first update, ours and from whole sequences, by objective."""
    found: dict[str, Any] = {}
    for name, flags in value_flags().items():
        objective, _ = lab.make(Value, **flags)
        metrics = objective.update(make_value_examples(0), 0)
        found[name] = metrics, plain_value(lab.directory / "model", name)
    return found


def saved(lab: Lab) -> dict[str, Any]:
    """What value models alone and beside a policy are saved as, and how both go on."""
    found = {}
    for name in ("bce", "joint"):
        objective, policy = lab.make(Value, **value_flags()[name])
        objective.update(make_value_examples(0), 0)
        directory = lab.directory / f"saved_{name}_{lab.world_size}"
        directory.mkdir(exist_ok=True)
        policy.save(directory, {})
        straight = objective.update(make_value_examples(1), 1)
        resumed, policy = lab.make(Value, **value_flags()[name])
        policy.load(directory)
        found[name] = straight, resumed.update(make_value_examples(1), 1)
    return found


def separation(lab: Lab) -> dict[str, Any]:
    """A value head on the parity of a token that stands somewhere before the end of the step."""
    flags = {"learning_rate": 3e-3, "train_batch_size": 64}
    found = {}
    for name in ("mse", "bce", "ranking"):
        objective, _ = lab.make(Value, **value_flags()[name], **flags)
        held_out = parity_examples(1, 300)
        losses = [objective.evaluate_loss(held_out)]
        for step in range(40):
            objective.update(parity_examples(step + 2, 128), step)
        found[name] = [*losses, objective.evaluate_loss(held_out)]
    return found


def demonstrations(lab: Lab) -> list[dict[str, float]]:
    """The bundled model on worked sums, read from a file: held-out loss before and after ten steps."""
    rng = np.random.default_rng(0)
    path = lab.directory / "sums.jsonl"
    with path.open("w") as file:
        for _ in range(400):
            a, b, c = rng.integers(0, 10, 3).tolist()
            response = (
                f"First {a}+{b}={a + b}\nthen {a + b}+{c}={a + b + c}\n\\boxed{{{a + b + c}}}"
            )
            file.write(json.dumps({"query": f"{a} + {b} + {c} =", "response": response}) + "\n")
    args = make_args(lab.directory, pretrain=Args().model.pretrain, sft_data=str(path))
    examples = load_examples(args).examples
    training, held_out = hold_out(examples, 0.2, seed=0)
    objective, _ = lab.make(
        Supervised, pretrain=Args().model.pretrain, learning_rate=1e-3, train_batch_size=32
    )
    before = objective.evaluate_loss(held_out)
    objective.update(training[: 10 * 32], 0)
    return [before, objective.evaluate_loss(held_out)]


ONE_RANK: tuple[Callable[[Lab], Any], ...] = (
    splits,
    aggregations,
    plain_values,
    separation,
    demonstrations,
)
ANY_RANKS: tuple[Callable[[Lab], Any], ...] = (stages, saved)


def main(rank: int, world_size: int, directory: Path) -> None:
    """Run the experiments of this rank."""
    torch.set_num_threads(1)
    disable_progress_bar()
    lab = Lab(rank, world_size, directory)
    chosen = ANY_RANKS + (ONE_RANK if world_size == 1 else ())
    found = {experiment.__name__: experiment(lab) for experiment in chosen}
    (directory / f"found_{world_size}_{rank}.pkl").write_bytes(pickle.dumps(found))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
