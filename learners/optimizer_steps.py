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
    """Takes optimizer steps and counts them (`num_done`).

    `directory` is where the batch of a step that is not finite is saved.
    """

    def __init__(self, policy: Policy, directory: Path) -> None:
        self.num_done = 0
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
        result = engine.step()
        self.num_done += 1
        return result

    def require_finite(self, grad_norm: float, loss: float, step: int, evidence: Any) -> None:
        """Raise FloatingPointError where the norm or the loss is not finite; `evidence` is saved."""
        if math.isfinite(grad_norm + loss):
            return
        path = self._directory / f"not_finite_step_{step}_rank_{self._policy.rank}.pt"
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(evidence, path)
        raise FloatingPointError(
            f"step {step}: the policy loss is {loss:g} and the gradient norm {grad_norm:g}; the "
            f"batch is in {path}. Resume from the last checkpoint, with a lower --learning_rate, or "
            "without --bf16"
        )
