"""One rank of supervised and value objectives in a process of its own.

`python supervised_process.py RANK WORLD_SIZE DIRECTORY` runs experiments that need the real engine, one after
another in one process group, and pickles what they found for the tests to judge.
"""

import dataclasses
import os
import pickle
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM

from learners import rendezvous, value_losses
from learners.optimizer_steps import OptimizerSteps
from learners.policy import Policy
from learners.supervised import SCORING, Supervised
from learners.value import Value, scoring_of
from learners.value_model import value_head
from understand_r1_zero.args import Args
from understand_r1_zero.encoding import SupervisedExample
from understand_r1_zero.value_examples import ValueExample

HOST = "127.0.0.1"
VOCABULARY = 64
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


def make_examples(seed: int, number: int = 12) -> list[SupervisedExample]:
    """Ragged examples, some with one prompt, some with tokens that are not trained."""
    rng = np.random.default_rng(seed)
    prompts = [rng.integers(0, VOCABULARY, int(rng.integers(1, 12))) for _ in range(number)]
    examples = []
    for index in range(number):
        length = int(rng.integers(1, 10))
        is_trained = (rng.random(length) < 0.7) | (np.arange(length) == length - 1)
        completion = rng.integers(0, VOCABULARY, length).astype(np.int32)
        prompt = prompts[index - index % 2].astype(np.int32)
        examples.append(SupervisedExample(prompt, completion, is_trained))
    return examples


def make_value_examples(seed: int) -> list[ValueExample]:
    """Ragged solutions with one to three step ends; three groups, one of right steps alone."""
    rng = np.random.default_rng(seed)
    examples = []
    for index, text in enumerate(make_examples(seed)):
        length = len(text.completion_token_ids)
        number = int(rng.integers(1, min(3, length) + 1))
        ends = np.sort(rng.choice(length, number, replace=False)).astype(np.int32)
        targets = rng.integers(0, 2, number).astype(np.float32) if index % 3 else np.ones(number)
        if targets[-1] != 1:
            text = dataclasses.replace(text, is_trained=np.zeros(length, bool))
        examples.append(ValueExample(text, ends, targets.astype(np.float32), index % 3))
    return examples


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
            found[aggregation, on_prompt] = metrics, plain_sft(lab, aggregation, on_prompt)
    return found


def plain_sft(lab: Lab, aggregation: str, on_prompt: bool) -> dict[str, float]:
    model = AutoModelForCausalLM.from_pretrained(lab.directory / "model", dtype=torch.float32)
    sums, means, count = torch.zeros(()), [], 0
    for example in make_examples(0):
        prompt = torch.from_numpy(example.prompt_token_ids).long()
        ids = torch.cat([prompt, torch.from_numpy(example.completion_token_ids).long()])
        logits = model(ids[None]).logits[0]
        losses = []
        for place in range(1, len(ids)):
            of_completion = place - len(prompt)
            if on_prompt or (of_completion >= 0 and example.is_trained[of_completion]):
                losses.append(-logits[place - 1].log_softmax(-1)[ids[place]])
        sums, count = sums + sum(losses), count + len(losses)
        means.append(sum(losses) / len(losses))
    loss = sums / count if aggregation == "token" else sum(means) / len(means)
    return loss_and_norm(loss, model.parameters()) | {"tokens": count, "nll": sums.item() / count}


def plain_values(lab: Lab) -> dict[str, Any]:
    """Loss and gradient norm of the first update, ours and from whole sequences, by objective."""
    found: dict[str, Any] = {}
    for name, flags in value_flags().items():
        objective, _ = lab.make(Value, **flags)
        metrics = objective.update(make_value_examples(0), 0)
        found[name] = metrics, plain_value(lab, name)
    return found


def plain_value(lab: Lab, name: str) -> dict[str, float]:
    model = AutoModelForCausalLM.from_pretrained(lab.directory / "model", dtype=torch.float32)
    head = value_head(model, str(lab.directory / "model"), Args().run.seed)
    outputs, targets, groups, means, policy = [], [], [], [], []
    for example in make_value_examples(0):
        text = example.text
        prompt = torch.from_numpy(text.prompt_token_ids).long()
        ids = torch.cat([prompt, torch.from_numpy(text.completion_token_ids).long()])
        hidden = model.base_model(ids[None]).last_hidden_state[0]
        own = [head(hidden[len(prompt) + end])[0] for end in example.step_ends.tolist()]
        outputs += own
        targets += example.targets.tolist()
        groups += [example.group] * len(own)
        bce = value_losses.binary_cross_entropy(torch.stack(own), torch.from_numpy(example.targets))
        means.append(bce.mean())
        logprobs = model(ids[None]).logits[0].log_softmax(-1)
        policy += [
            -logprobs[len(prompt) + t - 1, ids[len(prompt) + t]]
            for t in np.flatnonzero(text.is_trained).tolist()
        ]
    squared = [(o.tanh() - y) ** 2 for o, y in zip(outputs, targets, strict=True)]
    mse = sum(squared) / len(squared)
    cross_entropy = sum(policy) / len(policy)
    loss = {
        "mse": mse,
        "bce": sum(means) / len(means),
        "ranking": plain_ranking(outputs, targets, groups),
        "joint": cross_entropy + 0.3 * mse,
    }[name]
    parameters = [*model.parameters(), *head.parameters()]
    found = loss_and_norm(loss, parameters)
    return found | {"value": mse.item(), "policy": cross_entropy.item()}


def plain_ranking(outputs: list[Any], targets: list[float], groups: list[int]) -> Any:
    losses = []
    for group in set(groups):
        own = [(o, y) for o, y, g in zip(outputs, targets, groups, strict=True) if g == group]
        pairs = [a - b for a, y in own for b, z in own if y == 1 and z == 0]
        if pairs:
            losses.append(sum((-p).exp().log1p() for p in pairs) / len(pairs))
    return sum(losses) / len(losses)


def loss_and_norm(loss: Any, parameters: Any) -> dict[str, float]:
    parameters = list(parameters)
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    gradients = [gradient for gradient in found if gradient is not None]
    return {"loss": loss.item(), "norm": float(torch.nn.utils.get_total_norm(gradients))}


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


def parity_examples(seed: int, number: int) -> list[ValueExample]:
    rng = np.random.default_rng(seed)
    examples = []
    for index in range(number):
        ids = rng.integers(10, VOCABULARY, 6).astype(np.int32)
        mark = int(rng.integers(0, 10))
        ids[rng.integers(0, 5)] = mark
        text = SupervisedExample(ids[:1], ids[1:], np.zeros(5, bool))
        target = np.array([float(mark % 2)], np.float32)
        examples.append(ValueExample(text, np.array([4], np.int32), target, index // 8))
    return examples


ONE_RANK: tuple[Callable[[Lab], Any], ...] = (splits, aggregations, plain_values, separation)
ANY_RANKS: tuple[Callable[[Lab], Any], ...] = (stages, saved)


def main(rank: int, world_size: int, directory: Path) -> None:
    """Run the experiments of this rank."""
    torch.set_num_threads(1)
    lab = Lab(rank, world_size, directory)
    chosen = ANY_RANKS + (ONE_RANK if world_size == 1 else ())
    found = {experiment.__name__: experiment(lab) for experiment in chosen}
    (directory / f"found_{world_size}_{rank}.pkl").write_bytes(pickle.dumps(found))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
