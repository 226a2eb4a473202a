"""DeepSpeed behind one small class: the only file that imports it.

What the class adds: gradients of micro-batches and ranks are summed, never averaged, so that the
losses alone decide the normalisation; the number of micro-batches may differ from step to step.
"""

import logging
import math
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from transformers import get_scheduler

from understand_r1_zero.args import Dtype, OptimArgs

MAX_BUCKET = 500_000_000
"""Gradient elements communicated at once, at most."""
SCALE_WINDOW = 1000
"""Steps without an overflow after which float16's loss scale doubles."""


@dataclass(frozen=True, slots=True)
class StepResult:
    """One optimizer step: the global gradient norm before clipping, and the learning rate used.

    A step whose norm is not finite was not taken (ZeRO 1-3), or spoilt the weights (ZeRO 0). In
    float16 it is then `is_skipped`: `loss_scale`, for the next step, is halved, and the schedule did not
    advance. Elsewhere the scale is 1.
    """

    grad_norm: float
    learning_rate: float
    loss_scale: float = 1.0
    is_skipped: bool = False

    @property
    def can_scale_less(self) -> bool:
        """Whether the scale could be halved once more."""
        return self.loss_scale > 1.0


class Engine:
    """One rank of data-parallel training with AdamW.

    Needs the default process group; where a GPU is at hand but `device` is "cpu", DeepSpeed must be
    told before anything imports it: DS_ACCELERATOR=cpu.

    Args:
        module: what is trained; its forward runs through this class.
        optim: the optimizer's flags.
        num_steps: optimizer steps of the whole run, the horizon of the learning-rate schedule.
        dtype: of weights and gradients; those of 16 bits have float32 master weights and gradient sums,
            and float16 a loss scale that adapts.
        device: "cpu" or "cuda".
    """

    def __init__(
        self, module: nn.Module, optim: OptimArgs, *, num_steps: int, dtype: Dtype, device: str
    ) -> None:
        if dtype != "float32" and optim.zero_stage == 0:
            raise ValueError(
                "--zero_stage must be 1, 2 or 3 with --bf16 or --fp16, got 0: DeepSpeed then keeps no "
                "float32 master weights in bfloat16, and sums micro-batches in float16"
            )
        self.world_size = torch.distributed.get_world_size()
        self.device = torch.device(device)
        self._is_scaled = dtype == "float16"
        self._stage = optim.zero_stage
        self._max_norm = optim.max_norm
        deepspeed = _import_deepspeed()
        self._engine, *_ = deepspeed.initialize(
            model=module,
            model_parameters=[p for p in module.parameters() if p.requires_grad],
            lr_scheduler=lambda optimizer: _scheduler(optimizer, optim, num_steps),
            config=_config(module, optim, dtype=dtype, device=device, world_size=self.world_size),
        )
        self._engine.train()

    def __call__(self, *inputs: Any) -> Any:
        """The module's forward; under ZeRO-3 every rank must call it equally often."""
        return self._engine(*inputs)

    def backward(self, loss: Tensor, *, is_last: bool) -> None:
        """Add the loss's gradients to those of this optimizer step; `is_last` before `step`."""
        self._engine.set_gradient_accumulation_boundary(is_last)
        # DeepSpeed averages over ranks, and cannot sum under ZeRO-3.
        self._engine.backward(loss * self.world_size, scale_wrt_gas=False)

    def step(self) -> StepResult:
        """Clip, update the parameters, advance the schedule.

        In float16 DeepSpeed skips a step that overflowed, and the schedule waits with it. Its one fault:
        the step at which it doubles the scale is taken with half of its gradient.
        """
        learning_rate = self._engine.get_lr()[0]
        norm = self._stage_0_norm() if self._stage == 0 else None
        self._engine.step()
        if norm is None:
            norm = float(self._engine.get_global_grad_norm())
        # ZeRO marks an invalid norm with -1.
        norm = norm if norm >= 0 else math.nan
        if not self._is_scaled:
            return StepResult(norm, learning_rate)
        optimizer = self._engine.optimizer
        return StepResult(norm, learning_rate, float(optimizer.cur_scale), optimizer.overflow)

    def full_parameters(self, *, only_trained: bool = False) -> Iterator[tuple[str, Tensor]]:
        """(name, whole tensor) of every parameter and persistent buffer, tied ones once.

        Or of the parameters that are trained alone.

        Collective: every rank must run it to the end. A tensor is valid until the next is asked for.
        """
        module: nn.Module = self._engine.module
        for name, parameter in module.named_parameters():
            if only_trained and not parameter.requires_grad:
                continue
            with self._gathered(parameter):
                yield name, parameter.detach()
        if only_trained:
            return
        for prefix, part in module.named_modules():
            for name, buffer in part.named_buffers(prefix, recurse=False):
                if name.rpartition(".")[2] not in part._non_persistent_buffers_set:
                    yield name, buffer

    def all_reduce(self, tensor: Tensor, *, is_max: bool = False) -> Tensor:
        """Sum (or maximum) of a tensor over all ranks, in place."""
        if self.world_size > 1:
            operation = torch.distributed.ReduceOp.MAX if is_max else torch.distributed.ReduceOp.SUM
            torch.distributed.all_reduce(tensor, op=operation)
        return tensor

    def release_memory(self) -> None:
        """Give back what PyTorch keeps of a GPU's memory for later, for others to use meanwhile."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def save(self, directory: Path) -> None:
        """Write weights, optimizer and schedule: every rank its shard. Collective."""
        self._engine.save_checkpoint(str(directory), tag="engine", save_latest=False)

    def load(self, directory: Path) -> None:
        """Read what `save` wrote, under the same flags and number of ranks. Collective."""
        path, _ = self._engine.load_checkpoint(str(directory), tag="engine")
        if path is None:
            raise OSError(f"no training state in {directory}")

    def _gathered(self, parameter: nn.Parameter) -> Any:
        import deepspeed

        is_cut = self._stage == 3
        return deepspeed.zero.GatheredParameters([parameter], modifier_rank=0, enabled=is_cut)

    def _stage_0_norm(self) -> float:
        gradients = [p.grad for p in self._engine.module.parameters() if p.grad is not None]
        return float(torch.nn.utils.get_total_norm(gradients))


def _import_deepspeed() -> Any:
    os.environ.setdefault("LOCAL_RANK", "0")
    import deepspeed
    import deepspeed.ops

    deepspeed.utils.logger.setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", r".* is deprecated. Please use .*_single", FutureWarning)
    # The CPU backend would compile a shared-memory all-reduce that only inference calls, 20 s at
    # first use. DeepSpeed builds an op only where this table says it can.
    deepspeed.ops.__compatible_ops__ = {}  # pyright: ignore[reportAttributeAccessIssue]
    deepspeed.init_distributed(auto_mpi_discovery=False, verbose=False)
    return deepspeed


def _scheduler(optimizer: Optimizer, optim: OptimArgs, num_steps: int) -> LRScheduler:
    horizon = max(1, math.ceil(num_steps * optim.max_step_adjustment))
    name = optim.lr_scheduler
    return get_scheduler(
        "constant_with_warmup" if name == "constant" else name,
        optimizer,
        num_warmup_steps=math.ceil(horizon * optim.lr_warmup_ratio),
        num_training_steps=horizon,
        scheduler_specific_kwargs=(
            {"min_lr": 0.1 * optim.learning_rate} if name == "cosine_with_min_lr" else {}
        ),
    )


def _config(
    module: nn.Module, optim: OptimArgs, *, dtype: Dtype, device: str, world_size: int
) -> dict[str, Any]:
    # ZeRO 1 and 2 want an even number of elements; a value head's are odd.
    bucket = min(MAX_BUCKET, sum(p.numel() for p in module.parameters()) + 1) // 2 * 2
    is_offloaded = optim.adam_offload and device == "cuda"
    return {
        "train_micro_batch_size_per_gpu": 1,
        "train_batch_size": world_size,
        "gradient_clipping": optim.max_norm,
        "steps_per_print": None,
        "timers": {"throughput": {"enabled": False}},
        "bf16": {"enabled": dtype == "bfloat16"},
        "fp16": {
            "enabled": dtype == "float16",
            "initial_scale_power": optim.loss_scale_power,
            "loss_scale_window": SCALE_WINDOW,
            # A skipped step costs the batch that was sampled for it: lower the scale at once.
            "hysteresis": 1,
        },
        "data_types": {"grad_accum_dtype": "fp32"},
        "optimizer": {
            "type": "AdamW",
            "params": {
                "lr": optim.learning_rate,
                "betas": [optim.adam_beta_1, optim.adam_beta_2],
                "eps": 1e-8,
                "weight_decay": optim.l2,
                "torch_adam": True,
            },
        },
        "zero_optimization": {
            "stage": optim.zero_stage,
            "reduce_bucket_size": bucket,
            "allgather_bucket_size": bucket,
            "overlap_comm": device == "cuda",
            "stage3_param_persistence_threshold": 10_000,
            "offload_optimizer": {"device": "cpu", "pin_memory": True} if is_offloaded else None,
        },
    }
