"""One learner rank in a process of its own: `python rank_process.py RANK WORLD_SIZE DIRECTORY`.

Policy-gradient updates; see `lab.py`.
"""

import dataclasses
import math
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM

from learners.batching import Batch, optimizer_batches, plan
from tests.learners.lab import PACKED, Experiment, Lab, args_with, layout, main, updates
from tests.learners.plain_policy_gradient import plain_updates
from understand_r1_zero.args import Args
from understand_r1_zero.types import Trajectory

VOCABULARY = 64
DEFAULTS: dict[str, Any] = {
    "learning_rate": 1e-2,
    "train_batch_size": 24,
    "generate_max_length": 12,
    "temperature": 0.8,
}
OBJECTIVES_RATE = 3e-3
WITHOUT_SIGNAL = 2
"""The group whose rewards are equal."""


OBJECTIVES: dict[str, dict[str, Any]] = {
    "gspo": {
        "policy_loss": "gspo",
        "critic_type": "rloo",
        "cliprange": 0.02,
        "cliprange_high": 0.05,
        "is_level": "sequence",
        "beta": 0.1,
        "kl_estimator": "k3_is",
    },
    "cispo": {
        "policy_loss": "cispo",
        "critic_type": "reinforce_pp",
        "kl_penalty_coef": 0.05,
        "is_mode": "mask",
        "ent_coef": 0.01,
    },
    "dual clip": {
        "critic_type": "reinforce_pp_baseline",
        "cliprange": 0.05,
        "cliprange_high": 0.1,
        "dual_clip": 1.2,
        "beta": 0.1,
        "kl_estimator": "k2",
        "gamma": 0.9,
    },
    "remax": {
        "policy_loss": "reinforce",
        "critic_type": "remax",
        "is_level": "sequence",
        "is_mode": "mask",
        "beta": 0.1,
        "kl_estimator": "k1",
        "reward_scale": 0.5,
    },
    "grpo": {
        "critic_type": "grpo",
        "loss_aggregation": "token",
        "kl_penalty_coef": 0.05,
        "whiten_adv": True,
        "beta": 0.1,
    },
    "reinforce": {
        "critic_type": "reinforce",
        "loss_aggregation": "sequence",
        "kl_penalty_coef": 0.05,
        "gamma": 0.95,
        "tis_c": 0.0,
        "ent_coef": 0.01,
    },
    "drgrpo": {"kl_penalty_coef": 0.05, "cliprange": 0.05},
}
"""Between them they use every loss, advantage, KL, aggregation and importance weight."""


def make_trajectories(seed: int) -> list[Trajectory]:
    """Six groups of four ragged responses; the rewards of one group are equal, one response is masked."""
    rng = np.random.default_rng(seed)
    trajectories = []
    for group in range(6):
        prompt = rng.integers(0, VOCABULARY, int(rng.integers(3, 15))).astype(np.int32)
        for member in range(4):
            length = int(rng.integers(1, 12))
            trajectories.append(
                Trajectory(
                    prompt_token_ids=prompt,
                    response_token_ids=rng.integers(0, VOCABULARY, length).astype(np.int32),
                    sampler_logprobs=rng.normal(-4, 0.5, length).astype(np.float32),
                    reward=0.5 if group == WITHOUT_SIGNAL else float(rng.normal()),
                    group=group,
                    is_masked=(group, member) == (4, 1),
                )
            )
    return trajectories


def with_steps(trajectories: list[Trajectory]) -> list[Trajectory]:
    """The same with step rewards, a greedy response's reward, and two responses of unknown worth."""
    rng, found = np.random.default_rng(0), []
    for i, trajectory in enumerate(trajectories):
        length = len(trajectory.response_token_ids)
        ends = np.flatnonzero(rng.random(length) < 0.2)
        found.append(
            dataclasses.replace(
                trajectory,
                is_known=i not in (3, 12),
                is_masked=trajectory.is_masked or i in (3, 12),
                step_ends=tuple(ends.tolist()),
                step_rewards=tuple(rng.normal(0, 0.3, len(ends)).tolist()),
                baseline_reward=0.1 * trajectory.group,
            )
        )
    return found


def stages(lab: Lab) -> dict[int, Any]:
    """Micro-batches of which one rank has more than the other."""
    batches, found = [make_trajectories(0), make_trajectories(1)], {}
    for stage in (0, 1, 2, 3):
        learner = lab.learner(zero_stage=stage, max_tokens_per_micro_batch=45)
        found[stage] = updates(learner, batches) | layout(learner, Batch.of(batches[0]))
    return found


def wide_heads(lab: Lab) -> dict[str, Any]:
    """A head large enough for ZeRO-3 to cut, in one piece and in more on one rank than on the other."""
    batches = [make_trajectories(0), make_trajectories(1)]
    found = {}
    for model in ("wide", "wide_tied"):
        for name, stage, max_logits in (("whole", 2, 2**26), ("pieces", 2, 1500), ("cut", 3, 1500)):
            path = str(lab.directory / model)
            learner = lab.learner(pretrain=path, zero_stage=stage, max_tokens_per_micro_batch=150)
            learner._policy.engine._engine.module.head.max_logits = max_logits
            found[model, name] = updates(learner, batches)
    return found


def adapters(lab: Lab) -> dict[str, Any]:
    """LoRA of several stages; what is published and what is in the model, and a resume from it."""
    flags: dict[str, Any] = {"lora_rank": 4, "train_batch_size": 8, "deterministic": True}
    batches, found = [make_trajectories(0), make_trajectories(1)], {}
    for stage in (0, 2, 3):
        learner = lab.learner(zero_stage=stage, **flags)
        found[stage] = {"at first": learner.outlet.to_host()[0], **updates(learner, batches)}
        own = learner._policy.engine.full_parameters()
        found[stage]["own"] = {name: tensor.clone().numpy() for name, tensor in own}
    directory = lab.place("adapters")
    learner.save(str(directory))
    alone = lab.learner(zero_stage=3, lora_publish="adapters", **flags)
    alone.load(str(directory))
    found["published alone"] = alone.outlet.to_host()[0]
    more = [make_trajectories(2)]
    resumed = lab.learner(zero_stage=3, **flags)
    resumed.load(str(directory))
    found["straight"], found["resumed"] = (updates(it, more, 2) for it in (learner, resumed))
    return found


def packing(lab: Lab) -> dict[str, Any]:
    """Prompts and responses of all lengths, in rows of their own and packed."""
    rng, found = np.random.default_rng(0), {}
    batch = [
        dataclasses.replace(
            trajectory,
            prompt_token_ids=rng.integers(0, VOCABULARY, num_prompt).astype(np.int32),
        )
        for trajectory in make_trajectories(0)
        for num_prompt in [int(rng.lognormal(2, 1)) + 1]
    ]
    for name, flag in (("packed", True), ("padded", False)):
        learner = lab.learner(packing=flag)
        rows = plan(Batch.of(batch), np.arange(len(batch)), learner._policy.limits, lab.world_size)
        most = max(len(row.blocks) for filled in rows[lab.rank] for row in filled)
        found[name] = {"most": most, **updates(learner, [batch, batch])}
    return found


def many_steps(lab: Lab) -> dict[str, Any]:
    """Two passes of three optimizer steps, with both penalties towards the reference."""
    return lab.run(
        [make_trajectories(0)],
        train_batch_size=8,
        num_ppo_epochs=2,
        beta=0.1,
        kl_penalty_coef=0.05,
        critic_type="grpo",
        ref_offload=True,
    )


def objectives(lab: Lab) -> dict[str, Any]:
    """Two updates of two optimizer steps; on one rank also laid out and ordered otherwise, and plainly."""
    batches = [with_steps(make_trajectories(seed)) for seed in (0, 1)]
    shared: dict[str, Any] = {"train_batch_size": 12, "learning_rate": OBJECTIVES_RATE}
    ways: dict[str, dict[str, Any]] = {
        "one": {},
        "many": {"max_tokens_per_micro_batch": 1, "linear_cost": 0.0},
        "packed": {"linear_cost": PACKED},
    }
    found = {}
    for name, flags in OBJECTIVES.items():
        for way, own in ways.items() if lab.world_size == 1 else [("one", {})]:
            learner = lab.learner(**shared, **flags, **own)
            found[name, way] = updates(learner, batches)
            found[name, way] |= layout(learner, Batch.of(batches[0]))
        if lab.world_size == 1:
            orders = [shuffled_within_steps(batch, step) for step, batch in enumerate(batches)]
            found[name, "shuffled"] = lab.run(orders, **shared, **flags)
            args = args_with(lab.defaults | shared | flags)
            found[name, "plain"] = plain_updates(lab.directory / "model", batches, args)
    return found


def shuffled_within_steps(batch: list[Trajectory], step: int) -> list[Trajectory]:
    """In another order, with the same responses in every optimizer step."""
    rng, found = np.random.default_rng(0), list(batch)
    for chosen in optimizer_batches(len(batch), 12, 1, (Args().run.seed, step)):
        for place, origin in zip(chosen, rng.permutation(chosen), strict=True):
            found[place] = batch[origin]
    return found


def lone(lab: Lab) -> dict[str, Any]:
    """One response that is not masked, under ZeRO-3: of two ranks one has nothing."""
    batch = [dataclasses.replace(t, is_masked=i != 6) for i, t in enumerate(make_trajectories(0))]
    return lab.run([batch] * 2, pretrain=str(lab.directory / "wide"), zero_stage=3, beta=0.1)


def refreshed(lab: Lab) -> dict[str, Any]:
    """The reference follows the policy after every second step; resumed where it lags by one."""
    flags: dict[str, Any] = {"beta": 0.1, "ref_refresh_steps": 2, "ref_offload": True}
    batches = [make_trajectories(seed) for seed in range(5)]
    straight = updates(learner := lab.learner(**flags), batches[:3])
    directory = lab.place("refreshed")
    learner.save(str(directory))
    resumed = lab.learner(**flags)
    resumed.load(str(directory))
    return {
        "first": straight,
        "straight": updates(learner, batches[3:], first_step=3),
        "resumed": updates(resumed, batches[3:], first_step=3),
        "stage 3": lab.run(batches, zero_stage=3, **flags),
    }


def orders(lab: Lab) -> dict[str, Any]:
    """Optimizer steps over parts of a batch, whose order depends on the seed and the step."""
    batch, flags = make_trajectories(0), {"train_batch_size": 8}
    return {
        "seed 1, step 0": updates(lab.learner(seed=1, **flags), [batch]),
        "again": updates(lab.learner(seed=1, **flags), [batch]),
        "seed 2, step 0": updates(lab.learner(seed=2, **flags), [batch]),
        "seed 1, step 1": updates(lab.learner(seed=1, **flags), [batch], first_step=1),
    }


def splits(lab: Lab) -> dict[str, Any]:
    batches = [make_trajectories(0), make_trajectories(1)]
    return {
        "one": lab.run(batches),
        "two": lab.run(batches, max_tokens_per_micro_batch=250),
        "many": lab.run(batches, max_tokens_per_micro_batch=1),
        "two responses": lab.run(batches, train_batch_size_per_device=2),
        "checkpointing": lab.run(batches, gradient_checkpointing=True),
    }


def resume(lab: Lab) -> dict[str, Any]:
    flags: dict[str, Any] = {
        "deterministic": True,
        "lr_scheduler": "cosine_with_min_lr",
        "lr_warmup_ratio": 0.2,
        "train_batch_size": 8,
        "num_threads": 2 // lab.world_size,
    }
    batches = [make_trajectories(seed) for seed in range(4)]
    straight = updates(learner := lab.learner(**flags), batches[:2])
    directory = lab.place("saved")
    learner.save(str(directory))
    saved = learner.outlet.to_host()[0]
    straight = updates(learner, batches[2:], first_step=2)
    resumed = lab.learner(**flags)
    resumed.load(str(directory))
    return {
        "saved": saved,
        "straight": straight,
        "resumed": updates(resumed, batches[2:], first_step=2),
    }


def masked(lab: Lab) -> dict[str, Any]:
    """The same batch with garbage where nothing may be learned, and with half of it masked."""
    batch = make_trajectories(0)
    garbage = [
        dataclasses.replace(t, response_token_ids=np.zeros_like(t.response_token_ids))
        if t.is_masked or t.group == WITHOUT_SIGNAL
        else t
        for t in batch
    ]
    half = [dataclasses.replace(t, is_masked=t.is_masked or i >= 12) for i, t in enumerate(batch)]
    return {
        "batch": lab.run([batch]),
        "garbage": lab.run([garbage]),
        "half masked": lab.run([half]),
        "half alone": lab.run([half[:12]]),
        "all masked": lab.run([[dataclasses.replace(t, is_masked=True) for t in batch]]),
    }


def bf16(lab: Lab) -> dict[str, Any]:
    found: dict[str, Any] = {"run": lab.run([make_trajectories(0)], bf16=True)}
    try:
        lab.learner(bf16=True, zero_stage=0)
    except ValueError as error:
        found["refusal"] = str(error)
    return found


def plain(lab: Lab) -> dict[str, float]:
    """Loss and gradient norm of the first update by a loop over responses, without our code."""
    model = AutoModelForCausalLM.from_pretrained(lab.directory / "model", dtype=torch.float32)
    batch, loss = make_trajectories(0), torch.zeros(())
    for t in batch:
        advantage = t.reward - np.mean([other.reward for other in batch if other.group == t.group])
        prompt, response = (
            torch.from_numpy(ids).long() for ids in (t.prompt_token_ids, t.response_token_ids)
        )
        logits = model(torch.cat([prompt, response])[None]).logits[0, len(prompt) - 1 : -1] / 0.8
        for token, sampled, row in zip(response, t.sampler_logprobs, logits, strict=True):
            logprob = row.log_softmax(-1)[token]
            ratio = (logprob - logprob.detach()).exp()
            tis = min(math.exp(logprob.item() - sampled), 2.0)
            if not t.is_masked:
                loss = loss - advantage * ratio * tis / 12 / len(batch)
    loss.backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    return {"loss": loss.item(), "grad_norm": float(torch.nn.utils.get_total_norm(gradients))}


def not_finite(lab: Lab) -> dict[str, Any]:
    """A log-prob that is not a number, as a broken sampler might send it."""
    found = {}
    for stage in (0, 1, 2, 3):
        batch = make_trajectories(0)
        batch[0].sampler_logprobs[0] = math.nan
        learner = lab.learner(zero_stage=stage, max_norm=0.0 if stage == 0 else 1.0)
        try:
            learner.update(batch, 7)
        except FloatingPointError as error:
            found[stage] = str(error)
    return found


def other_num_ranks(lab: Lab) -> str:
    directory = lab.directory / "saved_by_two" / "training_state"
    directory.mkdir(parents=True)
    for rank in (0, 1):
        (directory / f"rank_{rank}.pt").touch()
    try:
        lab.learner().load(str(directory.parent))
    except ValueError as error:
        return str(error)
    return ""


ONE_RANK: tuple[Experiment, ...] = (
    plain,
    orders,
    splits,
    masked,
    bf16,
    not_finite,
    other_num_ranks,
)
ANY_RANKS: tuple[Experiment, ...] = (
    stages,
    wide_heads,
    packing,
    adapters,
    many_steps,
    objectives,
    lone,
    refreshed,
    resume,
)


if __name__ == "__main__":
    main(ANY_RANKS, ONE_RANK, **DEFAULTS)
