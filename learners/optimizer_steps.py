"""Optimizer steps on shares of a batch, whatever the objective."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from learners.batching import Batch, collate, plan
from learners.engine import StepResult
from learners.policy import Policy

TokenLoss = Callable[..., Tensor]
"""A micro-batch, its (N,) log-probs with gradient and (N,) entropies, and the (N,) values of a policy
with a value head -> its part of the step's loss.

The parts of all micro-batches and ranks add up to the loss of the optimizer step.
"""


class OptimizerSteps:
    """Takes optimizer steps and counts those that changed the weights (`num_done`).

    `directory` is where the batch of a step that is not finite is saved.
    """

    def __init__(self, policy: Policy, directory: Path) -> None:
        self.num_done = 0
        self._num_skipped = 0
        self._last = StepResult(0.0, 0.0)
        self._policy = policy
        self._directory = directory

    def take(self, batch: Batch, responses: np.ndarray, loss_of: TokenLoss) -> StepResult:
        """One optimizer step on the given responses, of which this rank takes its share. Collective."""
        engine = self._policy.engine
        shares = plan(batch, responses, self._policy.limits, engine.world_size)
        share = shares[self._policy.rank]
        for position, rows in enumerate(share):
            micro_batch = collate(batch, rows)
            loss = loss_of(micro_batch, *self._policy.forward(micro_batch))
            engine.backward(loss, is_last=position == len(share) - 1)
        self._last = engine.step()
        self.num_done += not self._last.is_skipped
        self._num_skipped += self._last.is_skipped
        return self._last

    def loss_scaling(self) -> dict[str, float]:
        """Metrics of float16: the loss scale, and the steps skipped since this was last asked."""
        if self._policy.dtype != "float16":
            return {}
        skipped, self._num_skipped = self._num_skipped, 0
        return {"misc/loss_scale": self._last.loss_scale, "train/skipped_steps": float(skipped)}

    def require_finite(self, grad_norm: float, loss: float, step: int, evidence: Any) -> None:
        """Raise FloatingPointError where the norm or the loss is not finite; `evidence` is saved.

        A step that float16 skipped is as it should be, while its loss is finite and the scale can still
        be lowered.
        """
        is_overflow = self._last.is_skipped and self._last.can_scale_less
        if math.isfinite(loss) and (math.isfinite(grad_norm) or is_overflow):
            return
        path = self._directory / f"not_finite_step_{step}_rank_{self._policy.rank}.pt"
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(evidence, path)
        scale = f" at loss scale {self._last.loss_scale:g}" if self._last.is_skipped else ""
        raise FloatingPointError(
            f"step {step}: the loss is {loss:g} and the gradient norm {grad_norm:g}{scale}; the "
            f"batch is in {path}. Resume from the last checkpoint, with a lower --learning_rate, or "
            "without --bf16 or --fp16"
        )
