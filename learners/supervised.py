"""Supervised fine-tuning: cross-entropy on given completions (`--algo sft` and `rft`)."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from learners.batching import Batch, MicroBatch, optimizer_batches, sequence
from learners.engine import StepResult
from learners.optimizer_steps import OptimizerSteps
from learners.policy import Policy, Scoring
from learners.supervised_losses import mean_weights
from understand_r1_zero.args import Args
from understand_r1_zero.encoding import SupervisedExample

SCORING = Scoring(temperature=1.0)
"""Of the policy: the model's own distribution, whatever `--temperature` samples."""


def batch_of(examples: Sequence[SupervisedExample], loss_on_prompt: bool) -> Batch:
    """The examples as a batch; with `loss_on_prompt` all but the first token count as completion."""
    sequences = []
    for example in examples:
        prompt, completion = example.prompt_token_ids, example.completion_token_ids
        if loss_on_prompt:
            # Nothing predicts the first token.
            prompt, completion = prompt[:1], np.concatenate([prompt[1:], completion])
        sequences.append(sequence(prompt, completion))
    return Batch.of(sequences)


def trained_tokens(examples: Sequence[SupervisedExample], loss_on_prompt: bool) -> np.ndarray:
    """bool (T,): which tokens of `batch_of` the loss counts; with `loss_on_prompt` every one."""
    if loss_on_prompt:
        return np.ones(sum(example.num_tokens - 1 for example in examples), bool)
    return np.concatenate([example.is_trained for example in examples])


def token_weights(
    batch: Batch, is_counted: np.ndarray, responses: np.ndarray, is_by_sequence: bool
) -> np.ndarray:
    """float32 (T,): `mean_weights` of the counted tokens of an optimizer step's responses, else 0."""
    counts = np.bincount(batch.response_of, is_counted, len(batch.lengths)).astype(np.int64)
    weights = np.zeros(len(batch.lengths), np.float32)
    weights[responses] = mean_weights(torch.from_numpy(counts[responses]), is_by_sequence).numpy()
    return np.where(is_counted, weights[batch.response_of], np.float32(0))


class Supervised:
    """The objective of `--algo sft` and `rft`, on one rank. The policy must have `SCORING`.

    The loss of an optimizer step is the mean of `-log p(token | before)` in nats over its trained
    tokens, or over its examples of each one's mean (`--sft_aggregation`).
    """

    def __init__(self, args: Args, policy: Policy, steps: OptimizerSteps) -> None:
        self._args = args
        self._policy = policy
        self._steps = steps

    def update(self, examples: Sequence[SupervisedExample], step: int) -> dict[str, float]:
        """One pass over the examples; returns its metrics over all ranks.

        Optimizer steps take `--train_batch_size` examples (0: all), in an order that follows from the
        seed and `step` alone.
        """
        if not examples:
            return {"train/sft_tokens": 0.0}
        batch = batch_of(examples, self._args.supervised.loss_on_prompt)
        is_trained = trained_tokens(examples, self._args.supervised.loss_on_prompt)
        size = self._args.optim.train_batch_size or len(examples)
        schedule = optimizer_batches(len(examples), size, 1, (self._args.run.seed, step))
        found = [self._optimizer_step(batch, is_trained, each, step) for each in schedule]
        nll = sum(sums[1] for sums, _ in found) / max(1.0, sum(sums[2] for sums, _ in found))
        return {
            "train/sft_loss": float(np.mean([sums[0] for sums, _ in found])),
            "train/sft_perplexity": _perplexity(nll),
            "train/sft_tokens": sum(sums[2] for sums, _ in found),
            "train/policy_grad_norm": max(result.grad_norm for _, result in found),
            "misc/lr": float(np.mean([result.learning_rate for _, result in found])),
        }

    def evaluate_loss(self, examples: Sequence[SupervisedExample]) -> dict[str, float]:
        """Loss and perplexity of held-out examples, as if they were one optimizer step. Collective."""
        supervised = self._args.supervised
        batch = batch_of(examples, supervised.loss_on_prompt)
        is_trained = trained_tokens(examples, supervised.loss_on_prompt)
        everything = np.arange(len(examples))
        logprobs = self._policy.complete(self._policy.score(batch, everything))[0]
        weights = token_weights(
            batch, is_trained, everything, supervised.sft_aggregation == "sequence"
        )
        losses = -logprobs.astype(np.float64)
        return {
            "eval/sft_loss": float((weights * losses).sum()),
            "eval/sft_perplexity": _perplexity(losses[is_trained].mean()),
            "eval/sft_tokens": float(is_trained.sum()),
        }

    def _optimizer_step(
        self, batch: Batch, is_trained: np.ndarray, responses: np.ndarray, step: int
    ) -> tuple[tuple[float, float, float], StepResult]:
        """The step's loss, the summed nats of its trained tokens and their number; the engine's word."""
        engine = self._policy.engine
        is_by_sequence = self._args.supervised.sft_aggregation == "sequence"
        weights = token_weights(batch, is_trained, responses, is_by_sequence)
        sums = torch.zeros(3, dtype=torch.float64, device=engine.device)

        def loss_of(micro_batch: MicroBatch, logprobs: Tensor, entropies: Tensor) -> Tensor:
            tokens = micro_batch.tokens
            weight, counted = (
                torch.from_numpy(each[tokens]).to(engine.device, torch.float32)
                for each in (weights, is_trained)
            )
            loss = -(weight * logprobs).sum()
            values = loss, -(counted * logprobs).sum(), counted.sum()
            sums.add_(torch.stack([value.detach() for value in values]))
            return loss

        result = self._steps.take(batch, responses, loss_of)
        loss, nll, count = engine.all_reduce(sums).tolist()
        self._steps.require_finite(
            result.grad_norm, loss, step, {"responses": responses, "batch": batch}
        )
        return (loss, nll, count), result


def _perplexity(nll: float) -> float:
    """`exp` of nats a token."""
    return math.exp(nll) if nll < 700 else math.inf
