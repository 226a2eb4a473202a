"""Preference learning (DPO and its kin), on one rank."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from learners.batching import MicroBatch, optimizer_batches
from learners.metrics import combine_steps
from learners.optimizer_steps import OptimizerSteps
from learners.pair_batch import PairBatch
from learners.pair_values import ValueJudgement, judge_values, output_slopes
from learners.policy import Policy
from learners.preference_losses import PairScores, pair_losses, rewards
from understand_r1_zero.args import Args
from understand_r1_zero.args_preference import PreferenceArgs
from understand_r1_zero.types import PreferencePair


@dataclass(frozen=True)
class Judgement:
    """What the loss of one optimizer step makes of its pairs.

    `slopes` float64 (R,): the derivative of the step's loss by the sequence log-prob of each response.
    """

    slopes: np.ndarray
    metrics: dict[str, float]


class Preference:
    """The objective of `--algo dpo`, on one rank.

    A pair's loss couples two responses, which may lie on different ranks. So each optimizer step is two
    passes: all its responses are scored without gradient; then each is trained on its token
    log-probs, weighted by the derivative of the step's loss by its sequence log-prob. That is the
    gradient of the loss itself, whatever the split, for a forward pass more.

    With a value head (`--pair_value_weight`, `--pair_margin_weight`) the step's loss is the sum of those
    of `judge` and `judge_values`, and the head's outputs are weighted in the same way.
    """

    def __init__(self, args: Args, policy: Policy, steps: OptimizerSteps) -> None:
        self._args = args
        self._policy = policy
        self._steps = steps

    def update(self, pairs: Sequence[PreferencePair], step: int) -> dict[str, float]:
        """Run every optimizer step of one batch of pairs; returns its metrics over all ranks.

        `--num_ppo_epochs` passes in optimizer steps of `--train_batch_size` pairs (0: all), in an order
        that follows from the seed and `step` alone. Without pairs no step is taken.

        Raises:
            FloatingPointError: a loss or gradient is not finite; the batch has been saved.
        """
        if not pairs:
            return {"train/num_pairs": 0.0, "train/num_optimizer_steps": 0.0}
        schedule = optimizer_batches(
            len(pairs),
            self._args.optim.train_batch_size or len(pairs),
            self._args.algorithm.num_ppo_epochs,
            (self._args.run.seed, step),
        )
        pair_batch = PairBatch.of(pairs, self._args.preference.label_smoothing)
        references = self._references(pairs, pair_batch)
        steps = [self._optimizer_step(pair_batch, references, chosen, step) for chosen in schedule]
        return {
            **combine_steps(steps),
            "train/num_pairs": float(len(pairs)),
            "train/num_optimizer_steps": float(len(steps)),
        }

    def evaluate_loss(self, pairs: Sequence[PreferencePair]) -> dict[str, float]:
        """What `judge` and `judge_values` find of held-out pairs, as if one optimizer step. Collective.

        Before the first update every margin is 0, and with it the accuracy.
        """
        pair_batch = PairBatch.of(pairs, self._args.preference.label_smoothing)
        policy, batch = self._policy, pair_batch.batch
        references = self._references(pairs, pair_batch)
        scores = policy.complete(policy.score(batch, np.arange(len(batch.lengths))))
        sequence_logprobs = pair_batch.sequence_logprobs(scores[0])
        found = judge(
            pair_batch, sequence_logprobs, references, np.arange(len(pairs)), self._args.preference
        ).metrics
        return {
            "eval/preference_loss": found["train/loss_mean"],
            "eval/preference_accuracy": found["train/acc_mean"],
            "eval/reward_margin": found["train/reward_margin"],
            **_named("eval", self._judge_values(pair_batch, scores, np.arange(len(pairs)))),
        }

    def reference_logprobs(self, pairs: Sequence[PreferencePair]) -> np.ndarray:
        """float64 (P, 2): log-probs of the chosen and the rejected responses under the reference.

        Sums over the counted tokens, in nats. Without a reference model it is the policy as it is
        now that scores: then call it before the first update, when the policy is the reference.
        """
        pair_batch = PairBatch.of(pairs, 0.0)
        return self._score_references(pair_batch)[pair_batch.responses]

    def _references(self, pairs: Sequence[PreferencePair], pair_batch: PairBatch) -> np.ndarray:
        """float64 (P, 2) as `reference_logprobs`, from the pairs where they know it."""
        if not self._args.preference.needs_reference:
            return np.zeros((len(pairs), 2))
        known = [pair.ref_logprobs for pair in pairs if pair.ref_logprobs is not None]
        if known:
            assert len(known) == len(pairs), "reference log-probs of all pairs or of none"
            return np.array(known)
        assert self._policy.has_reference, "the reference model, or its log-probs with the pairs"
        return self._score_references(pair_batch)[pair_batch.responses]

    def _score_references(self, pair_batch: PairBatch) -> np.ndarray:
        """float64 (R,): sequence log-probs under the reference model, or the policy where there is none."""
        policy, batch = self._policy, pair_batch.batch
        if policy.has_reference:
            scores = policy.score_reference(batch)
        else:
            scores = policy.score(batch, np.arange(len(batch.lengths)))
        return pair_batch.sequence_logprobs(policy.complete(scores)[0])

    def _optimizer_step(
        self, pair_batch: PairBatch, references: np.ndarray, chosen: np.ndarray, step: int
    ) -> dict[str, float]:
        """One optimizer step on the pairs `chosen`."""
        policy, batch = self._policy, pair_batch.batch
        scores = policy.complete(policy.score(batch, np.unique(pair_batch.responses[chosen])))
        judgement = judge(
            pair_batch,
            pair_batch.sequence_logprobs(scores[0]),
            references,
            chosen,
            self._args.preference,
        )

        of_values = self._judge_values(pair_batch, scores, chosen)
        loss, is_trained = judgement.metrics["train/loss_mean"], judgement.slopes != 0
        if of_values is not None:
            loss, is_trained = loss + of_values.loss, is_trained | (of_values.slopes != 0)

        def loss_of(
            micro_batch: MicroBatch, logprobs: Tensor, entropies: Tensor, *outputs: Tensor
        ) -> Tensor:
            tokens = micro_batch.tokens
            loss = _weighted(logprobs, token_slopes(pair_batch, judgement.slopes, tokens))
            if of_values is None:
                return loss
            slopes = output_slopes(pair_batch, of_values.slopes, tokens)
            return loss + _weighted(outputs[0], slopes)

        result = self._steps.take(batch, np.flatnonzero(is_trained), loss_of)
        self._steps.require_finite(
            result.grad_norm,
            loss,
            step,
            {"pairs": chosen, "pair_batch": pair_batch, "references": references},
        )
        return {
            **judgement.metrics,
            **_named("train", of_values),
            "train/policy_grad_norm": result.grad_norm,
            "misc/lr": result.learning_rate,
        }

    def _judge_values(
        self, pair_batch: PairBatch, scores: np.ndarray, chosen: np.ndarray
    ) -> ValueJudgement | None:
        """`judge_values` of the pairs `chosen`, where there is a value head."""
        if not self._args.preference.has_values:
            return None
        return judge_values(pair_batch, scores[2], chosen, self._args)


def _weighted(scores: Tensor, slopes: np.ndarray) -> Tensor:
    return (torch.from_numpy(slopes).to(scores) * scores).sum()


def _named(part: str, judgement: ValueJudgement | None) -> dict[str, float]:
    metrics = {} if judgement is None else judgement.metrics
    return {f"{part}/{name}": value for name, value in metrics.items()}


def judge(
    pair_batch: PairBatch,
    sequence_logprobs: np.ndarray,
    references: np.ndarray,
    chosen: np.ndarray,
    args: PreferenceArgs,
) -> Judgement:
    """The loss of an optimizer step, its derivatives by the sequence log-probs, and its metrics.

    The loss is `1/n sum_i w_i l_i` over the n pairs of the step, `l_i` that of
    `preference_losses.pair_losses`; weights that have mean 1 over the data leave its scale alone.
    Metrics are Oat's: the mean loss, implicit rewards and their margin, and the share of pairs whose
    chosen response has the higher reward: before the first step, when all margins are 0 but for rounding,
    it says nothing.

    Args:
        pair_batch: P pairs over R responses.
        sequence_logprobs: (R,) of the policy, nats.
        references: (P, 2) of the reference, nats.
        chosen: int (n,), the pairs of the step.
        args: the loss and its parameters.
    """
    sequences = torch.from_numpy(sequence_logprobs).requires_grad_()
    responses = torch.from_numpy(pair_batch.responses[chosen])
    policy = sequences[responses]
    reference = torch.from_numpy(references[chosen])
    lengths = torch.from_numpy(pair_batch.counted_lengths)[responses].to(policy)
    scores = PairScores(*policy.unbind(1), *reference.unbind(1), *lengths.unbind(1))
    smoothing = torch.from_numpy(pair_batch.label_smoothing[chosen])
    weights = torch.from_numpy(pair_batch.weights[chosen])
    loss = (weights * pair_losses(scores, args, smoothing)).mean()
    (slopes,) = torch.autograd.grad(loss, sequences)
    chosen_rewards, rejected_rewards = rewards(scores, args)
    margins = chosen_rewards - rejected_rewards
    means = {
        "train/chosen_reward": chosen_rewards,
        "train/rejected_reward": rejected_rewards,
        "train/reward_margin": margins,
        "train/acc_mean": (margins > 0).double(),
        "train/chosen_logprob": scores.chosen.detach(),
        "train/rejected_logprob": scores.rejected.detach(),
        "train/chosen_tok_len": scores.chosen_lengths,
        "train/rejected_tok_len": scores.rejected_lengths,
    }
    metrics = {key: float(values.mean()) for key, values in means.items()}
    return Judgement(slopes.numpy(), {"train/loss_mean": float(loss.detach()), **metrics})


def token_slopes(pair_batch: PairBatch, slopes: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """The derivative of the step's loss by the log-prob of each given token, (R,), (N,) -> (N,)."""
    return slopes[pair_batch.batch.response_of[tokens]] * pair_batch.is_counted[tokens]
