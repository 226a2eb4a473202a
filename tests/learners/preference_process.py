"""One rank that learns preferences: `python preference_process.py RANK WORLD_SIZE DIRECTORY`; see `lab.py`."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM

from learners.pair_batch import PairBatch
from learners.rank import LearnerRank
from tests.learners.lab import PACKED, Experiment, Lab, layout, main, updates
from understand_r1_zero.reference_cache import with_reference
from understand_r1_zero.types import PreferencePair

VOCABULARY = 64
NUM_UPDATES = 5
VALUED: dict[str, Any] = {
    "pair_value_weight": 0.8,
    "pair_margin_weight": 0.5,
    "pair_value_margin": 0.6,
    "value_head": "tanh",
    "sft_weight": 0.1,
}
"""A value head beside the policy."""


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


def make_valued_pairs() -> list[PreferencePair]:
    """The pairs with targets of values, read a token before the end, as where a solution ends."""
    rng = np.random.default_rng(5)
    return [
        dataclasses.replace(
            pair,
            values=(float(rng.uniform(0, 1)), float(rng.uniform(-1, 0))),
            value_ends=(len(pair.chosen_token_ids) - 2, len(pair.rejected_token_ids) - 1),
        )
        for pair in make_pairs(has_spans=True)
    ]


def learn(learner: LearnerRank, pairs: Sequence[PreferencePair]) -> dict[str, Any]:
    """Updates on the same pairs."""
    found = updates(learner, [pairs] * NUM_UPDATES)
    return found | layout(learner, PairBatch.of(pairs, 0.0).batch)


def run(lab: Lab, pairs: Sequence[PreferencePair], **flags: Any) -> dict[str, Any]:
    return learn(lab.learner(**flags), pairs)


def stages(lab: Lab) -> dict[int, Any]:
    """A model that ZeRO-3 cuts, in micro-batches of which one rank has more than the other."""
    flags = {"pretrain": str(lab.directory / "wide"), "max_tokens_per_micro_batch": 40}
    found = {}
    for stage in (0, 1, 2, 3):
        learner = lab.learner(zero_stage=stage, **flags)
        found[stage] = learn(learner, make_pairs())
    return found


def many_steps(lab: Lab) -> dict[str, Any]:
    """Two passes of optimizer steps of four, four and two pairs, on spans, with every other term."""
    soft = [
        dataclasses.replace(pair, label_smoothing=0.3 if i % 2 else None)
        for i, pair in enumerate(make_pairs(has_spans=True))
    ]
    return run(
        lab,
        soft,
        preference_loss="cdpo",
        len_reg_alpha=0.02,
        sft_weight=0.1,
        train_batch_size=4,
        num_ppo_epochs=2,
        ref_offload=True,
    )


def run_valued(lab: Lab, pairs: Sequence[PreferencePair], **flags: Any) -> dict[str, Any]:
    """Updates with a value head: held-out metrics around them, and all weights, the head's too."""
    learner = lab.learner(**VALUED, **flags)
    before = learner.evaluate_loss(pairs)
    found = learn(learner, pairs)
    return found | {
        "before": before,
        "after": learner.evaluate_loss(pairs),
        "weights": weights_of(learner),
    }


def weights_of(learner: LearnerRank) -> dict[str, np.ndarray]:
    tensors = learner._policy.full_tensors(has_head=True)
    return {name: tensor.clone().numpy() for name, tensor in tensors}


def valued(lab: Lab) -> dict[int, Any]:
    """Optimizer steps of four, four and two pairs of a model that ZeRO-3 cuts, in many micro-batches."""
    flags = {"pretrain": str(lab.directory / "wide"), "max_tokens_per_micro_batch": 40}
    return {
        stage: run_valued(lab, make_valued_pairs(), zero_stage=stage, train_batch_size=4, **flags)
        for stage in (2, 3)
    }


def valued_splits(lab: Lab) -> dict[str, Any]:
    pairs = make_valued_pairs()
    shuffled = [pairs[i] for i in np.random.default_rng(0).permutation(len(pairs))]
    return {
        "one": run_valued(lab, pairs),
        "many": run_valued(lab, pairs, max_tokens_per_micro_batch=1),
        "apart": run_valued(lab, pairs, linear_cost=0.0),
        "packed": run_valued(lab, pairs, linear_cost=PACKED),
        "shuffled": run_valued(lab, shuffled),
    }


def valued_saved(lab: Lab) -> dict[str, Any]:
    """A policy and its value head are saved, go on after a resume, and are what others start from."""
    pairs = make_valued_pairs()
    learner = lab.learner(**VALUED)
    learner.update(pairs, 0)
    place = str(lab.place("saved_valued"))
    learner.save(place)
    found: dict[str, Any] = {"after": learner.evaluate_loss(pairs), "weights": weights_of(learner)}
    resumed = lab.learner(**VALUED)
    resumed.load(place)
    found["straight"], found["resumed"] = (
        updates(each, [pairs], 1)["metrics"][0] for each in (learner, resumed)
    )
    others = {
        "again": VALUED,
        "joint": {"algo": "value", "value_joint": True, "value_head": "tanh"},
        "values": {"algo": "value", "value_head": "tanh"},
    }
    for name, flags in others.items():
        found[name] = weights_of(lab.learner(pretrain=place, **flags))
    try:
        lab.learner(pretrain=place, **VALUED | {"value_head": "linear"})
    except ValueError as error:
        found["refusal"] = str(error)
    return found


def reference_free(lab: Lab) -> dict[str, Any]:
    return run(lab, make_pairs(), preference_loss="simpo", preference_beta=2.0)


def lone(lab: Lab) -> dict[str, Any]:
    """One pair whose responses lie in one block, under ZeRO-3: of two ranks one has nothing."""
    rng = np.random.default_rng(1)
    prompt, *responses = (rng.integers(0, VOCABULARY, n).astype(np.int32) for n in (40, 4, 3))
    pair = PreferencePair(prompt, *responses)
    learner = lab.learner(pretrain=str(lab.directory / "wide"), zero_stage=3)
    return learn(learner, [pair])


def precomputed(lab: Lab) -> dict[str, Any]:
    """The reference's log-probs from the policy as it starts; no reference model is loaded."""
    learner = lab.learner(precompute_ref_logprobs=True)
    assert not learner._policy.has_reference
    values = learner.reference_logprobs(make_pairs())
    pairs = with_reference(make_pairs(), values)
    return learn(learner, pairs) | {"values": values}


def splits(lab: Lab) -> dict[str, Any]:
    pairs = make_pairs()
    shuffled = [pairs[i] for i in np.random.default_rng(0).permutation(len(pairs))]
    return {
        "one": run(lab, pairs),
        "many": run(lab, pairs, max_tokens_per_micro_batch=1),
        "two responses": run(lab, pairs, train_batch_size_per_device=2),
        "apart": run(lab, pairs, linear_cost=0.0),
        "packed": run(lab, pairs, linear_cost=PACKED),
        "shuffled": run(lab, shuffled),
    }


def nothing(lab: Lab) -> dict[str, Any]:
    """An update without pairs, and one in which the hinge is satisfied everywhere."""
    learner = lab.learner(preference_loss="slic", preference_beta=1e-3)
    before = learner.outlet.to_host()[0]
    far = with_reference(make_pairs(), np.tile([-1e4, 1e4], (10, 1)))
    found = updates(learner, [[], far])
    empty, satisfied = found["metrics"]
    return {"empty": empty, "satisfied": satisfied, "before": before, "after": found["weights"]}


def not_finite(lab: Lab) -> str:
    """A reference log-prob that is not a number, as a broken file might hold."""
    learner = lab.learner()
    values = np.zeros((10, 2))
    values[3, 1] = math.nan
    try:
        learner.update(with_reference(make_pairs(), values), 7)
    except FloatingPointError as error:
        return str(error)
    return ""


def plain(lab: Lab) -> dict[str, float]:
    """Loss and gradient norm of the first optimizer step by a loop over pairs, without our code."""
    model = AutoModelForCausalLM.from_pretrained(lab.directory / "model", dtype=torch.float32)
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


ANY_RANKS: tuple[Experiment, ...] = (
    stages,
    many_steps,
    reference_free,
    precomputed,
    lone,
    valued,
)
ONE_RANK: tuple[Experiment, ...] = (
    plain,
    splits,
    nothing,
    not_finite,
    valued_splits,
    valued_saved,
)


if __name__ == "__main__":
    main(ANY_RANKS, ONE_RANK, algo="dpo", learning_rate=3e-3, preference_beta=0.5)
