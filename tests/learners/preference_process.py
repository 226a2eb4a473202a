"""One rank that learns preferences: `python preference_process.py RANK WORLD_SIZE DIRECTORY`.

As `rank_process.py`: runs what needs the real engine and pickles what it found, beside the model of
`DIRECTORY/../model`. Rank 0 alone runs the experiments of one rank.
"""

import dataclasses
import math
import os
import pickle
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM

from learners import rendezvous
from learners.optimizer_steps import OptimizerSteps
from learners.policy import Policy
from learners.preference import Preference
from understand_r1_zero.args import Args
from understand_r1_zero.reference_cache import with_reference
from understand_r1_zero.types import PreferencePair

HOST = "127.0.0.1"
VOCABULARY = 64
NUM_UPDATES = 5
PARTS = ("preference", "algorithm", "optim", "model", "sampling")


@dataclass
class Lab:
    """Makes learners of this rank that share its process group."""

    rank: int
    world_size: int
    directory: Path

    def join(self) -> None:
        """Meet the other ranks."""
        path = self.directory / f"port_{self.world_size}"
        if self.rank == 0:
            store = rendezvous.serve(HOST)
            path.with_suffix(".new").write_text(str(store.port))
            path.with_suffix(".new").rename(path)
        else:
            while not path.exists():
                time.sleep(0.05)
            store = rendezvous.connect(HOST, int(path.read_text()))
        rendezvous.join(store, self.rank, self.world_size, "cpu")

    def learner(self, **flags: Any) -> tuple[Preference, Policy]:
        """A learner with the given flags over test defaults."""
        defaults: dict[str, Any] = {
            "pretrain": str(self.directory.parent / "model"),
            "learning_rate": 3e-3,
            "preference_beta": 0.5,
        }
        values, args = defaults | flags, Args()
        for name in PARTS:
            part = getattr(args, name)
            own = {f.name: values.pop(f.name) for f in dataclasses.fields(part) if f.name in values}
            args = replace(args, **{name: replace(part, **own)})
        assert not values, values
        needed = args.preference.needs_reference_model
        policy = Policy(args, num_optimizer_steps=20, device="cpu", needs_reference=needed)
        return Preference(args, policy, OptimizerSteps(policy, self.directory)), policy

    def run(self, pairs: Sequence[PreferencePair], **flags: Any) -> dict[str, Any]:
        """A new learner's updates on the same pairs: their metrics, and the weights at the end."""
        preference, policy = self.learner(**flags)
        return updates(preference, policy, pairs)


def updates(
    preference: Preference, policy: Policy, pairs: Sequence[PreferencePair]
) -> dict[str, Any]:
    return {
        "metrics": [preference.update(pairs, step) for step in range(NUM_UPDATES)],
        "weights": policy.published_weights(),
    }


def make_pairs(*, has_spans: bool = False) -> list[PreferencePair]:
    """Five prompts with two ragged pairs each, of unequal weights; they share the chosen response."""
    rng = np.random.default_rng(0)
    pairs = []
    for _ in range(5):
        prompt = rng.integers(0, VOCABULARY, int(rng.integers(3, 15))).astype(np.int32)
        chosen = rng.integers(0, VOCABULARY, int(rng.integers(4, 12))).astype(np.int32)
        for weight in (0.5, 1.5):
            rejected = rng.integers(0, VOCABULARY, int(rng.integers(2, 12))).astype(np.int32)
            spans = ((1, 3),) if has_spans else None
            pairs.append(
                PreferencePair(prompt, chosen, rejected, chosen_spans=spans, weight=weight)
            )
    return pairs


def stages(lab: Lab) -> dict[int, Any]:
    return {stage: lab.run(make_pairs(), zero_stage=stage) for stage in (2, 3)}


def many_steps(lab: Lab) -> dict[str, Any]:
    """Two passes of optimizer steps of four, four and two pairs, on spans."""
    flags: dict[str, Any] = {"train_batch_size": 4, "num_ppo_epochs": 2, "ref_offload": True}
    return lab.run(make_pairs(has_spans=True), preference_loss="cdpo", **flags)


def reference_free(lab: Lab) -> dict[str, Any]:
    return lab.run(make_pairs(), preference_loss="simpo", preference_beta=2.0)


def precomputed(lab: Lab) -> dict[str, Any]:
    """The reference's log-probs from the policy as it starts; no reference model is loaded."""
    preference, policy = lab.learner(precompute_ref_logprobs=True)
    assert not policy.has_reference
    values = preference.reference_logprobs(make_pairs())
    return updates(preference, policy, with_reference(make_pairs(), values)) | {"values": values}


def splits(lab: Lab) -> dict[str, Any]:
    return {
        "many": lab.run(make_pairs(), max_tokens_per_micro_batch=1),
        "two responses": lab.run(make_pairs(), train_batch_size_per_device=2),
    }


def nothing(lab: Lab) -> dict[str, Any]:
    """An update without pairs, and one in which the hinge is satisfied everywhere."""
    preference, policy = lab.learner(preference_loss="slic", preference_beta=1e-3)
    before = policy.published_weights()
    empty = preference.update([], 0)
    far = with_reference(make_pairs(), np.tile([-1e4, 1e4], (10, 1)))
    satisfied = preference.update(far, 1)
    return {
        "empty": empty,
        "satisfied": satisfied,
        "before": before,
        "after": policy.published_weights(),
    }


def not_finite(lab: Lab) -> str:
    """A reference log-prob that is not a number, as a broken file might hold."""
    preference, _ = lab.learner()
    values = np.zeros((10, 2))
    values[3, 1] = math.nan
    try:
        preference.update(with_reference(make_pairs(), values), 7)
    except FloatingPointError as error:
        return str(error)
    return ""


def plain(lab: Lab) -> dict[str, float]:
    """Loss and gradient norm of the first optimizer step by a loop over pairs, without our code."""
    path = lab.directory.parent / "model"
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    loss, pairs = torch.zeros(()), make_pairs()
    for pair in pairs:
        logprobs = []
        for response in (pair.chosen_token_ids, pair.rejected_token_ids):
            ids = torch.from_numpy(np.concatenate([pair.prompt_token_ids, response])).long()
            logits = model(ids[None]).logits[0, len(pair.prompt_token_ids) - 1 : -1]
            rows = zip(logits, response, strict=True)
            logprobs.append(torch.stack([row.log_softmax(-1)[int(t)] for row, t in rows]).sum())
        chosen, rejected = logprobs
        margin = (chosen - chosen.detach()) - (rejected - rejected.detach())
        loss = loss - pair.weight * F.logsigmoid(0.5 * margin) / len(pairs)
    loss.backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    return {"loss": loss.item(), "grad_norm": float(torch.nn.utils.get_total_norm(gradients))}


ANY_RANKS: tuple[Callable[[Lab], Any], ...] = (stages, many_steps, reference_free, precomputed)
ONE_RANK: tuple[Callable[[Lab], Any], ...] = (plain, splits, nothing, not_finite)


def main(rank: int, world_size: int, directory: Path) -> None:
    """Run the experiments of this rank."""
    os.environ["DS_ACCELERATOR"] = "cpu"
    torch.set_num_threads(1)
    lab = Lab(rank, world_size, directory)
    lab.join()
    chosen = ANY_RANKS + (ONE_RANK if world_size == 1 else ())
    found = {experiment.__name__: experiment(lab) for experiment in chosen}
    (directory / f"found_{world_size}_{rank}.pkl").write_bytes(pickle.dumps(found))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
