"""Value models: a head that tells what the end of a step is worth (`--algo value`)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from learners import value_losses
from learners.batching import Batch, MicroBatch, optimizer_batches
from learners.engine import StepResult
from learners.optimizer_steps import OptimizerSteps
from learners.policy import Policy, Scoring
from learners.supervised import batch_of, token_weights
from learners.supervised_losses import mean_weights
from understand_r1_zero.args import Args
from understand_r1_zero.args_supervised import ValueArgs
from understand_r1_zero.value_examples import ValueExample
from understand_r1_zero.values import ACTIVATIONS, activation_name, area_under_roc


def scoring_of(value: ValueArgs) -> Scoring:
    """What the policy of this objective must give."""
    return Scoring(
        temperature=1.0,
        has_values=True,
        has_logprobs=value.value_joint,
        is_bias_seen=value.value_loss != "ranking" or value.value_head == "tanh",
    )


@dataclass(frozen=True)
class StepEnds:
    """The S step ends of a batch: whose each is, which token it is among the batch's T, its target.

    `groups` (S,) say which of them `--value_loss ranking` compares.
    """

    response_of: np.ndarray
    tokens: np.ndarray
    targets: np.ndarray
    groups: np.ndarray

    @staticmethod
    def of(examples: Sequence[ValueExample], batch: Batch) -> "StepEnds":
        """In the order of the examples."""
        counts = [len(example.step_ends) for example in examples]
        response_of = np.repeat(np.arange(len(examples)), counts)
        ends = np.concatenate([example.step_ends for example in examples])
        groups = np.array([example.group for example in examples])
        return StepEnds(
            response_of=response_of,
            tokens=batch.offsets[response_of] + ends,
            targets=np.concatenate([example.targets for example in examples]),
            groups=groups[response_of],
        )

    def take(self, responses: np.ndarray) -> "StepEnds":
        """Those of the given responses."""
        return self.at(np.flatnonzero(np.isin(self.response_of, responses)))

    def at(self, chosen: np.ndarray) -> "StepEnds":
        """Those at the given indices."""
        return StepEnds(
            self.response_of[chosen],
            self.tokens[chosen],
            self.targets[chosen],
            self.groups[chosen],
        )


class Value:
    """The objective of `--algo value`, on one rank. The policy must have `scoring_of` the flags.

    The loss of an optimizer step is the mean of `value_losses` over its step ends, or over its
    examples of each one's mean (`--value_aggregation`), for `--value_loss ranking` the mean over its
    groups that have right and wrong steps; with `--value_joint`, `value_losses.joint_loss`.
    """

    def __init__(self, args: Args, policy: Policy, steps: OptimizerSteps) -> None:
        self._args = args
        self._value = args.value
        self._policy = policy
        self._steps = steps
        self._is_ranking = args.value.value_loss == "ranking"

    def update(self, examples: Sequence[ValueExample], step: int) -> dict[str, float]:
        """One pass over the examples; returns its metrics over all ranks.

        Optimizer steps take `--train_batch_size` examples, or groups for `--value_loss ranking` (0:
        all), in an order that follows from the seed and `step` alone.
        """
        batch = batch_of([example.text for example in examples], loss_on_prompt=False)
        is_trained = np.concatenate([example.text.is_trained for example in examples])
        ends = StepEnds.of(examples, batch)
        units = np.arange(len(examples))
        if self._is_ranking:
            units = np.unique([example.group for example in examples], return_inverse=True)[1]
        num_units = int(units.max()) + 1
        size = self._args.optim.train_batch_size or num_units
        found = [
            self._optimizer_step(
                batch, is_trained, ends, np.flatnonzero(np.isin(units, chosen)), step
            )
            for chosen in optimizer_batches(num_units, size, 1, (self._args.run.seed, step))
        ]
        metrics = {
            "train/value_loss": float(np.mean([losses[0] for losses, _ in found])),
            "train/value_steps": float(len(ends.tokens)),
            "train/policy_grad_norm": max(result.grad_norm for _, result in found),
            "misc/lr": float(np.mean([result.learning_rate for _, result in found])),
        }
        if self._value.value_joint:
            metrics["train/sft_loss"] = float(np.mean([losses[1] for losses, _ in found]))
        return metrics

    def evaluate_loss(self, examples: Sequence[ValueExample]) -> dict[str, float]:
        """Loss of held-out examples as one optimizer step's, and how well values separate. Collective.

        `eval/value_auc` compares step ends whose target is above 0.5, or 0 with `--value_head tanh`,
        with the rest.
        """
        batch = batch_of([example.text for example in examples], loss_on_prompt=False)
        ends = StepEnds.of(examples, batch)
        outputs = self._outputs(batch, np.arange(len(examples)), ends)
        if self._is_ranking:
            loss = self._ranking_loss(torch.from_numpy(outputs), ends)
        else:
            weights = self._end_weights(ends, np.arange(len(examples)))
            loss = (weights * self._losses(torch.from_numpy(outputs), ends)).sum()
        values = ACTIVATIONS[activation_name(self._value)](outputs)
        middle = 0.0 if self._value.value_head == "tanh" else 0.5
        return {
            "eval/value_loss": loss.item(),
            "eval/value_auc": area_under_roc(values, ends.targets > middle),
            "eval/value_mean": float(values.mean()),
            "eval/value_steps": float(len(values)),
        }

    def _optimizer_step(
        self,
        batch: Batch,
        is_trained: np.ndarray,
        ends: StepEnds,
        responses: np.ndarray,
        step: int,
    ) -> tuple[list[float], StepResult]:
        """The step's value and policy losses, and what the engine tells."""
        engine = self._policy.engine
        ends = ends.take(responses)
        is_by_sequence = self._args.supervised.sft_aggregation == "sequence"
        token_weight = token_weights(batch, is_trained, responses, is_by_sequence)
        end_weight = self._end_weights(ends, responses)
        ranking_loss, slopes = self._slopes(batch, ends, responses)
        sums = torch.zeros(2, dtype=torch.float64, device=engine.device)

        def loss_of(
            micro_batch: MicroBatch, logprobs: Tensor, entropies: Tensor, outputs: Tensor
        ) -> Tensor:
            here, places = _ends_in(ends, micro_batch, batch.num_tokens)
            own = outputs[torch.from_numpy(places).to(engine.device)]
            if self._is_ranking:
                return (slopes[here].to(engine.device) * own).sum()
            losses = self._losses(own, ends.at(here))
            value_loss = (end_weight[here].to(engine.device) * losses).sum()
            weight = torch.from_numpy(token_weight[micro_batch.tokens]).to(engine.device)
            policy_loss = -(weight * logprobs).sum()
            sums.add_(torch.stack([value_loss.detach(), policy_loss.detach()]))
            if not self._value.value_joint:
                return value_loss
            return value_losses.joint_loss(policy_loss, value_loss, self._value.value_beta)

        result = self._steps.take(batch, responses, loss_of)
        losses = [ranking_loss, 0.0] if self._is_ranking else engine.all_reduce(sums).tolist()
        self._steps.require_finite(
            result.grad_norm, sum(losses), step, {"responses": responses, "batch": batch}
        )
        return losses, result

    def _slopes(self, batch: Batch, ends: StepEnds, responses: np.ndarray) -> tuple[float, Tensor]:
        """The ranking loss of an optimizer step, and its slope by each step end's output, (S,).

        The loss couples responses that may lie in different micro-batches and on different ranks: all
        are scored first, and `sum_s slope_s o_s` with constant slopes then has the loss's gradient.
        """
        if not self._is_ranking:
            return 0.0, torch.zeros(0)
        outputs = torch.from_numpy(self._outputs(batch, responses, ends)).requires_grad_()
        loss = self._ranking_loss(outputs, ends)
        (slopes,) = torch.autograd.grad(loss, outputs)
        return loss.item(), slopes

    def _outputs(self, batch: Batch, responses: np.ndarray, ends: StepEnds) -> np.ndarray:
        """float32 (S,): the head's outputs at the step ends, the same on every rank."""
        return self._policy.complete(self._policy.score(batch, responses))[2, ends.tokens]

    def _values(self, outputs: Tensor) -> Tensor:
        return outputs.tanh() if self._value.value_head == "tanh" else outputs

    def _losses(self, outputs: Tensor, ends: StepEnds) -> Tensor:
        """(S,): the loss of each step end."""
        targets = torch.from_numpy(ends.targets).to(outputs.device)
        if self._value.value_loss == "bce":
            return value_losses.binary_cross_entropy(outputs, targets)
        return value_losses.squared_error(self._values(outputs), targets)

    def _ranking_loss(self, outputs: Tensor, ends: StepEnds) -> Tensor:
        """The mean of `pairwise_ranking` over the groups that have right and wrong steps."""
        is_right = torch.from_numpy(ends.targets > 0.5)
        groups = torch.from_numpy(np.unique(ends.groups, return_inverse=True)[1])
        losses = value_losses.pairwise_ranking(self._values(outputs), is_right, groups)
        num_right = torch.bincount(groups, is_right.long())
        is_mixed = (num_right > 0) & (num_right < torch.bincount(groups))
        return losses.sum() / is_mixed.sum().clamp(min=1)

    def _end_weights(self, ends: StepEnds, responses: np.ndarray) -> Tensor:
        """(S,): `mean_weights` of the step ends of an optimizer step's responses."""
        index = np.searchsorted(responses, ends.response_of)
        counts = torch.from_numpy(np.bincount(index, minlength=len(responses)))
        return mean_weights(counts, self._value.value_aggregation == "sequence")[index]


def _ends_in(
    ends: StepEnds, micro_batch: MicroBatch, num_tokens: int
) -> tuple[np.ndarray, np.ndarray]:
    """Which step ends a micro-batch has, and where among its N tokens."""
    place_of = np.full(num_tokens, -1)
    place_of[micro_batch.tokens] = np.arange(len(micro_batch.tokens))
    places = place_of[ends.tokens]
    here = np.flatnonzero(places >= 0)
    return here, places[here]
