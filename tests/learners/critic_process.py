"""One learner rank that trains a policy and its critic: `python critic_process.py RANK WORLD_SIZE DIRECTORY`.

See `lab.py`. `DIRECTORY/value_model` is a critic that has opinions.
"""

import dataclasses
from typing import Any

import numpy as np

from learners.rank import LearnerRank
from tests.learners.lab import Experiment, Lab, main, updates
from tests.learners.rank_process import DEFAULTS, make_trajectories
from understand_r1_zero.types import Trajectory

FLAGS: dict[str, dict[str, Any]] = {
    "separate": {"critic_learning_rate": 2e-2},
    "shared": {"critic_trunk": "shared", "vf_coef": 0.5},
}
"""Of the two kinds of critic, both with opinions of their own at the start."""


def batches(count: int = 2) -> list[list[Trajectory]]:
    """Batches whose second group has rewards at steps too."""
    found = []
    for seed in range(count):
        rng = np.random.default_rng(100 + seed)
        found.append(
            [
                dataclasses.replace(
                    t,
                    step_ends=(len(t.response_token_ids) // 2,),
                    step_rewards=(float(rng.normal()),),
                )
                if t.group == 1
                else t
                for t in make_trajectories(seed)
            ]
        )
    return found


def critic_flags(lab: Lab, kind: str) -> dict[str, Any]:
    path = str(lab.directory / "value_model")
    pretrain = {"separate": {"critic_pretrain": path}, "shared": {"pretrain": path}}
    return {"lam": 0.9, "gamma": 0.95, **FLAGS[kind], **pretrain[kind]}


def learn(learner: LearnerRank, data: list[list[Trajectory]], first_step: int = 0) -> Any:
    """`updates`, and the critic's weights: those of the policy and its head where it is shared."""
    found = updates(learner, data, first_step)
    model = learner._policy if learner._critic is None else learner._critic._model
    tensors = model.full_tensors(has_head=True)
    return found | {"critic": {name: tensor.clone().numpy() for name, tensor in tensors}}


def run(lab: Lab, kind: str, data: list[list[Trajectory]], **flags: Any) -> Any:
    return learn(lab.learner(**(critic_flags(lab, kind) | flags)), data)


def first_update(lab: Lab) -> dict[str, Any]:
    """One optimizer step from known weights."""
    return {kind: run(lab, kind, batches(1)) for kind in FLAGS}


def stages(lab: Lab) -> dict[Any, Any]:
    """Two optimizer steps an update, so that the second has ratios and values that moved."""
    return {
        (kind, stage): run(
            lab, kind, batches(), zero_stage=stage, train_batch_size=12, kl_penalty_coef=0.05
        )
        for kind in FLAGS
        for stage in (0, 1, 2, 3)
    }


def splits(lab: Lab) -> dict[Any, Any]:
    """The same in other micro-batches, rows and orders."""
    shuffled = []
    for batch in batches():
        order = np.random.default_rng(0).permutation(len(batch))
        shuffled.append([batch[i] for i in order])
    found = {}
    for kind in FLAGS:
        found[kind, "one"] = run(lab, kind, batches())
        found[kind, "many"] = run(lab, kind, batches(), max_tokens_per_micro_batch=1)
        found[kind, "packed"] = run(lab, kind, batches(), max_tokens_per_micro_batch=120)
        found[kind, "shuffled"] = run(lab, kind, shuffled)
    return found


def warm_up(lab: Lab) -> dict[str, Any]:
    """Two steps of the critic alone, then one of both."""
    learner = lab.learner(**critic_flags(lab, "separate"), critic_warmup_steps=2)
    before = learner.outlet.to_host()[0]
    alone = learn(learner, batches())
    return {"before": before, "alone": alone, "both": learn(learner, batches(1), first_step=2)}


def resume(lab: Lab) -> dict[Any, Any]:
    """A run that is saved after one update, and one that goes on from there."""
    found = {}
    for kind in FLAGS:
        flags = critic_flags(lab, kind) | {"deterministic": True, "train_batch_size": 12}
        learner = lab.learner(**flags)
        updates(learner, batches()[:1])
        directory = lab.place(f"saved_{kind}")
        learner.save(str(directory))
        resumed = lab.learner(**flags)
        resumed.load(str(directory))
        found[kind] = [learn(each, batches()[1:], first_step=1) for each in (learner, resumed)]
    return found


ANY_RANKS: tuple[Experiment, ...] = (stages, resume)
ONE_RANK: tuple[Experiment, ...] = (first_update, splits, warm_up)

if __name__ == "__main__":
    main(ANY_RANKS, ONE_RANK, critic_type="ppo", cliprange_value=0.1, **DEFAULTS)
