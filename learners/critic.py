"""The critic of PPO: what is still to be earned before each token is chosen (`--critic_type ppo`).

With `--critic_trunk shared` it is a second head of the policy, and `PolicyGradient` adds `CriticLoss` to its
own; a separate one is a `Critic`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from learners import value_losses
from learners.batching import Batch, MicroBatch
from learners.engine import Engine
from learners.metrics import combine_steps
from learners.optimizer_steps import OptimizerSteps
from learners.policy import Policy, Scoring
from understand_r1_zero.args import Args

DIRECTORY = "critic"
"""Of a separate critic inside a checkpoint."""


def shared_scoring(args: Args) -> Scoring:
    """What the policy must give that is its own critic."""
    return Scoring(args.sampling.temperature, has_values=True, is_value_before=True)


@dataclass(frozen=True)
class Targets:
    """What a critic learns from a batch of T tokens; a masked response teaches nothing.

    `old_values` float32 (T,) are its own before the update, `returns` float32 (T,) those to predict.
    """

    batch: Batch
    old_values: np.ndarray
    returns: np.ndarray

    def metrics(self) -> dict[str, float]:
        """Means over the tokens, and the share of the returns' variance that the values explain.

        `1 - Var(R - V) / Var(R)`: 1 is perfect, 0 no better than a constant; 0 where all returns are equal.
        """
        counts = ~self.batch.is_masked[self.batch.response_of]
        if not counts.any():
            return {}
        values, returns = (
            each[counts].astype(np.float64) for each in (self.old_values, self.returns)
        )
        variance = returns.var()
        explained = 1 - (returns - values).var() / variance if variance > 0 else 0.0
        return {
            "train/value_mean": float(values.mean()),
            "train/return_mean": float(returns.mean()),
            "train/value_explained_variance": float(explained),
        }


class CriticLoss:
    """The value loss of one optimizer step, in the squared unit of the rewards.

    The mean of `value_losses.clipped_squared_error` over the tokens of its responses that are not masked;
    the parts of all micro-batches and ranks add up to it.
    """

    def __init__(self, args: Args, targets: Targets, responses: np.ndarray, engine: Engine) -> None:
        batch = targets.batch
        self._targets = targets
        self._cliprange = args.critic.cliprange_value
        self._engine = engine
        counted = responses[~batch.is_masked[responses]]
        self._num_tokens = max(1, int(batch.lengths[counted].sum()))
        self._sums = torch.zeros(2, dtype=torch.float64, device=engine.device)

    def part(self, micro_batch: MicroBatch, values: Tensor) -> Tensor:
        """That of a micro-batch without masked responses, whose tokens have these values, (N,)."""
        old_values, returns = (
            torch.from_numpy(each[micro_batch.tokens]).to(values.device)
            for each in (self._targets.old_values, self._targets.returns)
        )
        losses, is_clipped = value_losses.clipped_squared_error(
            values, old_values, returns, self._cliprange
        )
        loss = losses.sum() / self._num_tokens
        self._sums += torch.stack([loss.detach(), is_clipped.sum() / self._num_tokens])
        return loss

    def metrics(self) -> dict[str, float]:
        """Of the whole step. Collective, once."""
        loss, clipped = self._engine.all_reduce(self._sums).tolist()
        return {"train/critic_loss": loss, "train/vf_clipfrac": clipped}


class Critic:
    """A critic with a model and an optimizer of its own, on one rank.

    Its model is `--critic_pretrain`, its learning rate `--critic_learning_rate`; the other flags of a
    trained model hold for both. AdamW does not see the scale that `--vf_coef` gives its loss, the clip of
    the gradient norm does.

    Args:
        args: all flags.
        num_optimizer_steps: of the whole run, the horizon of the learning-rate schedule.
        device: "cpu" or "cuda".
        directory: where the batch of a step that is not finite is saved.
    """

    def __init__(
        self, args: Args, *, num_optimizer_steps: int, device: str, directory: Path
    ) -> None:
        self._args = args
        self._model = Policy(
            _own_flags(args),
            num_optimizer_steps=num_optimizer_steps,
            device=device,
            needs_reference=False,
            scoring=Scoring(1.0, has_values=True, has_logprobs=False, is_value_before=True),
        )
        self._steps = OptimizerSteps(self._model, directory)

    def values(self, batch: Batch) -> np.ndarray:
        """float32 (T,): of the state before each token. Collective."""
        scores = self._model.score(batch, np.arange(len(batch.lengths)))
        return self._model.complete(scores)[2]

    def update(
        self, targets: Targets, schedule: Sequence[np.ndarray], step: int
    ) -> dict[str, float]:
        """An optimizer step on each of the schedule's responses; returns their metrics over all ranks."""
        found = combine_steps([self._optimizer_step(targets, each, step) for each in schedule])
        scaling = self._steps.loss_scaling().items()
        return found | {key.replace("/", "/critic_"): value for key, value in scaling}

    def save(self, directory: Path) -> None:
        """Write a value model and its training state below a checkpoint. Collective."""
        home = directory / DIRECTORY
        home.mkdir(exist_ok=True)
        self._model.save(home, {"optimizer_steps": self._steps.num_done})

    def load(self, directory: Path) -> None:
        """Continue from what `save` wrote. Collective."""
        self._steps.num_done = self._model.load(directory / DIRECTORY)["optimizer_steps"]

    def release_memory(self) -> None:
        """As `Engine.release_memory`."""
        self._model.engine.release_memory()

    def _optimizer_step(
        self, targets: Targets, responses: np.ndarray, step: int
    ) -> dict[str, float]:
        batch = targets.batch
        loss = CriticLoss(self._args, targets, responses, self._model.engine)

        def loss_of(micro_batch: MicroBatch, *scores: Tensor) -> Tensor:
            return self._args.critic.vf_coef * loss.part(micro_batch, scores[2])

        result = self._steps.take(batch, responses[~batch.is_masked[responses]], loss_of)
        metrics = loss.metrics()
        evidence: dict[str, Any] = {"responses": responses, "targets": targets}
        self._steps.require_finite(result.grad_norm, metrics["train/critic_loss"], step, evidence)
        return {
            **metrics,
            "train/critic_grad_norm": result.grad_norm,
            "misc/critic_lr": result.learning_rate,
        }


def _own_flags(args: Args) -> Args:
    """The flags with the critic's in the places of the policy's."""
    critic = args.critic
    model = replace(args.model, pretrain=critic.critic_pretrain or args.model.pretrain)
    learning_rate = critic.critic_learning_rate or args.optim.learning_rate
    return replace(
        args,
        model=model,
        optim=replace(args.optim, learning_rate=learning_rate),
        policy=replace(args.policy, ent_coef=0.0, ref_refresh_steps=0),
    )
