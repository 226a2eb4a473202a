"""One rank of supervised and value objectives: `python supervised_process.py RANK WORLD_SIZE DIRECTORY`; see `lab.py`."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from learners.supervised import batch_of
from tests.learners.lab import PACKED, Experiment, Lab, args_with, layout, main, updates
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

SUPERVISED: dict[str, Any] = {"algo": "sft"}
VALUE: dict[str, Any] = {"algo": "value"}
OBJECTIVES: dict[str, dict[str, Any]] = {
    "sft": SUPERVISED,
    "mse": VALUE | {"value_head": "tanh"},
    "bce": VALUE | {"value_loss": "bce", "value_aggregation": "sequence"},
    "ranking": VALUE | {"value_loss": "ranking"},
    "joint": VALUE | {"value_joint": True, "value_beta": 0.3, "value_head": "tanh"},
}
"""Flags by name: what runs however it is split, on two ranks and at every stage."""

STAGES_OF = [
    *((name, stage) for name in ("sft", "ranking", "joint") for stage in (0, 1, 2, 3)),
    *((name, stage) for name in ("mse", "bce") for stage in (2, 3)),
]
"""Stages by objective: mse and bce go the way of joint, but for the language model's head."""

PLAIN_VALUES: dict[str, dict[str, Any]] = {
    **{name: flags for name, flags in OBJECTIVES.items() if name != "sft"},
    "linear mse by sequence": VALUE | {"value_aggregation": "sequence"},
    "bce by step": VALUE | {"value_loss": "bce"},
    "tanh ranking": VALUE | {"value_loss": "ranking", "value_head": "tanh"},
    "joint by sequence": VALUE
    | {"value_joint": True, "value_loss": "bce", "sft_aggregation": "sequence"},
}


def run(lab: Lab, examples: Sequence[Any], **flags: Any) -> dict[str, Any]:
    """Held-out loss before, the metrics of two updates, held-out loss after, all parameters."""
    learner = lab.learner(**flags)
    texts = [example.text for example in examples] if flags["algo"] == "value" else examples
    objective, policy = learner._objective, learner._policy
    before = objective.evaluate_loss(examples)
    metrics = [objective.update(examples, step) for step in range(2)]
    return {
        **layout(learner, batch_of(texts, loss_on_prompt=False)),
        "before": before,
        "metrics": metrics,
        "after": objective.evaluate_loss(examples),
        "weights": {n: t.clone().numpy() for n, t in policy.full_tensors(has_head=True)},
    }


def examples_of(name: str, seed: int = 0) -> list[Any]:
    return make_examples(seed) if name == "sft" else make_value_examples(seed)


def stages(lab: Lab) -> dict[str, Any]:
    """A model that ZeRO-3 cuts, in micro-batches of which one rank has more than the other."""
    flags = {"pretrain": str(lab.directory / "wide"), "max_tokens_per_micro_batch": 30}
    return {
        f"{name} {stage}": run(
            lab, examples_of(name), zero_stage=stage, **flags, **OBJECTIVES[name]
        )
        for name, stage in STAGES_OF
    }


def steps(lab: Lab) -> dict[str, Any]:
    """Several optimizer steps an update: of five examples, or of two groups."""
    sizes = {"sft": 5, "ranking": 2, "joint": 5}
    return {
        name: run(lab, examples_of(name), train_batch_size=size, **OBJECTIVES[name])
        for name, size in sizes.items()
    }


def lone(lab: Lab) -> dict[str, Any]:
    """One example under ZeRO-3: of two ranks one has nothing."""
    flags = {"pretrain": str(lab.directory / "wide"), "zero_stage": 3}
    return {
        name: run(lab, [next(e for e in examples_of(name) if is_whole(e))], **flags, **own)
        for name, own in OBJECTIVES.items()
        if name in ("sft", "bce", "joint")
    }


def is_whole(example: Any) -> bool:
    return not hasattr(example, "text") or bool(example.text.is_trained.any())


def splits(lab: Lab) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, own in OBJECTIVES.items():
        examples = examples_of(name)
        shuffled = [examples[i] for i in np.random.default_rng(0).permutation(len(examples))]
        found[f"{name} one"] = run(lab, examples, **own)
        found[f"{name} many"] = run(lab, examples, max_tokens_per_micro_batch=1, **own)
        found[f"{name} five"] = run(lab, examples, train_batch_size_per_device=5, **own)
        found[f"{name} apart"] = run(lab, examples, linear_cost=0.0, **own)
        found[f"{name} packed"] = run(lab, examples, linear_cost=PACKED, **own)
        found[f"{name} shuffled"] = run(lab, shuffled, **own)
    return found


def aggregations(lab: Lab) -> dict[str, Any]:
    """Loss and gradient norm of the first update, ours and by a loop over examples."""
    found: dict[str, Any] = {}
    for aggregation in ("token", "sequence"):
        for on_prompt in (False, True):
            flags = {"sft_aggregation": aggregation, "loss_on_prompt": on_prompt}
            metrics = lab.learner(**SUPERVISED, **flags).update(make_examples(0), 0)
            found[aggregation, on_prompt] = (
                metrics,
                plain_sft(lab.directory / "model", aggregation, on_prompt),
            )
    return found


def plain_values(lab: Lab) -> dict[str, Any]:
    """Loss and gradient norm of the first update, ours and from whole sequences, by objective."""
    found: dict[str, Any] = {}
    for name, flags in PLAIN_VALUES.items():
        metrics = lab.learner(**flags).update(make_value_examples(0), 0)
        found[name] = metrics, plain_value(lab.directory / "model", args_with(flags))
    return found


def saved(lab: Lab) -> dict[str, Any]:
    """What value models alone and beside a policy are saved as, and how both go on."""
    found = {}
    for name in ("bce", "joint"):
        learner = lab.learner(**OBJECTIVES[name])
        learner.update(make_value_examples(0), 0)
        directory = str(lab.place(f"saved_{name}"))
        learner.save(directory)
        resumed = lab.learner(**OBJECTIVES[name])
        resumed.load(directory)
        straight, again = (
            updates(each, [make_value_examples(1)], 1)["metrics"] for each in (learner, resumed)
        )
        found[name] = straight[0], again[0]
    return found


def separation(lab: Lab) -> dict[str, Any]:
    """A value head on the parity of a token that stands somewhere before the end of the step."""
    flags = {"learning_rate": 3e-3, "train_batch_size": 64}
    found = {}
    for name in ("mse", "bce", "ranking"):
        objective = lab.learner(**OBJECTIVES[name], **flags)._objective
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
    flags = {**SUPERVISED, "pretrain": Args().model.pretrain, "learning_rate": 1e-3}
    args = args_with({**flags, "sft_data": str(path)})
    examples = load_examples(args).examples
    training, held_out = hold_out(examples, 0.2, seed=0)
    objective = lab.learner(train_batch_size=32, **flags)._objective
    before = objective.evaluate_loss(held_out)
    objective.update(training[: 10 * 32], 0)
    return [before, objective.evaluate_loss(held_out)]


ONE_RANK: tuple[Experiment, ...] = (
    splits,
    aggregations,
    plain_values,
    separation,
    demonstrations,
)
ANY_RANKS: tuple[Experiment, ...] = (stages, steps, saved, lone)


if __name__ == "__main__":
    main(ANY_RANKS, ONE_RANK, learning_rate=1e-2, temperature=0.5)
