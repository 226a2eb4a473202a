"""Training in 16 bits on one rank: `python precision_process.py RANK WORLD_SIZE DIRECTORY`.

DeepSpeed refuses float16 on CPUs without such instructions. PyTorch computes it there all the same, slowly: only
the answer to that question is another here, and all that runs is DeepSpeed's own.
"""

import math
import os
from typing import Any

import numpy as np

from learners import engine
from tests.learners.lab import Experiment, Lab, main, updates
from tests.learners.rank_process import DEFAULTS, make_trajectories

STEPS = 6
HIGH_POWER = 21
"""Of a first loss scale at which the gradient of the batch overflows."""


def allow_float16() -> None:
    os.environ["DS_ACCELERATOR"] = "cpu"
    from deepspeed.accelerator.cpu_accelerator import CPU_Accelerator

    CPU_Accelerator.is_fp16_supported = lambda self: True


def precisions(lab: Lab) -> dict[Any, Any]:
    """The same batch again and again."""
    batches = [make_trajectories(0)] * STEPS
    runs: list[tuple[Any, dict[str, Any]]] = [("float32", {}), ("bfloat16", {"bf16": True})]
    runs += [(stage, {"fp16": True, "zero_stage": stage}) for stage in (1, 2, 3)]
    return {name: lab.run(batches, learning_rate=1e-3, **flags) for name, flags in runs}


def overflow(lab: Lab) -> dict[int, Any]:
    """Steps are skipped until the scale is low enough; then a checkpoint, a step, and the step again."""
    found = {}
    for stage in (1, 2, 3):
        flags = {
            "fp16": True,
            "zero_stage": stage,
            "loss_scale_power": HIGH_POWER,
            "lr_scheduler": "linear",
            "learning_rate": 1e-3,
        }
        batch, rows = make_trajectories(0), []
        learner = lab.learner(**flags)
        while not rows or rows[-1]["metrics"]["train/skipped_steps"]:
            before = learner.outlet.to_host()[0]
            update = updates(learner, [batch], len(rows))
            is_changed = any(
                (update["weights"][name] != before[name]).any() for name in before or {}
            )
            rows.append({"metrics": update["metrics"][0], "is_changed": is_changed})
        directory = lab.directory / f"overflow_{lab.world_size}_{stage}"
        directory.mkdir(exist_ok=True)
        learner.save(str(directory))
        resumed = lab.learner(**flags)
        resumed.load(str(directory))
        more = [updates(each, [batch], len(rows)) for each in (learner, resumed)]
        found[stage] = {"rows": rows, "straight": more[0], "resumed": more[1]}
    return found


def hopeless(lab: Lab) -> dict[str, Any]:
    """A gradient that overflows at any scale, and a loss that is not a number."""
    found = {}
    broken = make_trajectories(0)
    broken[0].sampler_logprobs[0] = math.nan
    for name, batch, flags in (
        ("minimum", make_trajectories(0), {"loss_scale_power": 3, "reward_scale": 1e9}),
        ("loss", broken, {}),
    ):
        learner, taken = lab.learner(fp16=True, max_norm=0.0, **flags), 0
        try:
            while True:
                learner.update(batch, taken)
                taken += 1
        except FloatingPointError as error:
            found[name] = (str(error), taken)
    return found


def window(lab: Lab) -> list[float]:
    """Loss scales where two good steps double it."""
    before, engine.SCALE_WINDOW = engine.SCALE_WINDOW, 2
    try:
        run = lab.run([make_trajectories(0)] * 4, fp16=True, learning_rate=1e-4)
    finally:
        engine.SCALE_WINDOW = before
    return [metrics["misc/loss_scale"] for metrics in run["metrics"]]


def adapters(lab: Lab) -> dict[tuple[str, int], Any]:
    """LoRA in 16 bits: what is published, the model's own tensors, the optimizer's master weights."""
    found = {}
    for dtype, flags in (("bfloat16", {"bf16": True}), ("float16", {"fp16": True})):
        for stage in (2, 3):
            learner = lab.learner(lora_rank=4, lora_alpha=6.0, zero_stage=stage, **flags)
            at_first = learner.outlet.to_host()[0]
            run = updates(learner, [make_trajectories(0)] * 3)
            own = learner._policy.engine.full_parameters()
            wrapped: Any = learner._policy.engine._engine.optimizer
            masters = (
                wrapped.fp32_partitioned_groups_flat
                if stage == 3
                else wrapped.single_partition_of_fp32_groups
            )
            found[dtype, stage] = {
                "at first": at_first,
                "own": {name: (str(t.dtype), t.float().numpy().copy()) for name, t in own},
                "masters": [(str(m.dtype), m.numel()) for m in masters],
                **run,
            }
    return found


def offload(lab: Lab) -> dict[Any, Any]:
    """Whether activations wait on the host changes nothing."""
    batches = [make_trajectories(0), make_trajectories(1)]
    found = {}
    for stage in (2, 3):
        for checkpointing in (False, True):
            for is_offloaded in (False, True):
                found[stage, checkpointing, is_offloaded] = lab.run(
                    batches,
                    deterministic=True,
                    zero_stage=stage,
                    gradient_checkpointing=checkpointing,
                    activation_offload=is_offloaded,
                    pretrain=str(lab.directory / "wide"),
                )
    return found


ONE_RANK: tuple[Experiment, ...] = (hopeless, window, adapters)
ANY_RANKS: tuple[Experiment, ...] = (precisions, overflow, offload)


if __name__ == "__main__":
    np.seterr(over="ignore")
    allow_float16()
    main(ANY_RANKS, ONE_RANK, **DEFAULTS)
