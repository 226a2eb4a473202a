"""Our side of `test_against_trl.py`: the real objectives on given log-probs.

`PolicyGradient.update` and the two passes of `Preference` run as they are; `GivenPolicy` and
`GivenSteps` stand where a model would find log-probs and entropies.
"""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from learners.batching import Batch, collate, plan
from learners.engine import StepResult
from learners.pair_batch import PairBatch
from learners.policy_gradient import PolicyGradient
from learners.preference import judge, token_slopes
from learners.rows import Limits
from tests.learners.trl_cases import (
    MAX_TOKENS,
    NUM_GROUPS,
    NUM_SAMPLES,
    Given,
    PairCase,
    PolicyCase,
    Rows,
)
from understand_r1_zero.cli import parse
from understand_r1_zero.types import PreferencePair, Trajectory


def joined(rows: Rows) -> np.ndarray:
    """float32 (T,), response by response."""
    return np.concatenate(rows).astype(np.float32)


class GivenPolicy:
    """What `PolicyGradient` asks of a policy, given."""

    def __init__(self, given: Given, *, has_reference: bool) -> None:
        self.has_reference = has_reference
        self.engine = SimpleNamespace(
            device=torch.device("cpu"), all_reduce=lambda tensor, is_max=False: tensor
        )
        entropies = joined(given["entropies"])
        self._old = np.stack([joined(given["old"]), entropies])
        self._ref = np.stack([joined(given["ref"]), entropies])

    def score(self, batch: Batch, responses: np.ndarray) -> np.ndarray:
        return np.where(np.isin(batch.response_of, responses), self._old, np.float32(0))

    def score_reference(self, batch: Batch) -> np.ndarray:
        return self._ref

    def complete(self, scores: np.ndarray) -> np.ndarray:
        return scores


class GivenSteps:
    """Optimizer steps at given log-probs: the loss and its derivatives, summed over micro-batches."""

    def __init__(self, given: Given) -> None:
        self._given = given
        self.found: list[dict[str, Any]] = []

    def take(self, batch: Batch, responses: np.ndarray, loss_of: Callable) -> StepResult:
        logprobs, entropies = (
            torch.from_numpy(joined(self._given[name])).requires_grad_()
            for name in ("new", "entropies")
        )
        total = 0.0
        for rows in plan(batch, responses, Limits(max_tokens=100, max_responses=3), 1)[0]:
            micro_batch = collate(batch, rows)
            tokens = torch.from_numpy(micro_batch.tokens)
            loss = loss_of(micro_batch, logprobs[tokens], entropies[tokens])
            loss.backward()
            total += loss.item()
        assert logprobs.grad is not None
        by_entropy = np.zeros(len(entropies)) if entropies.grad is None else entropies.grad.numpy()
        self.found.append(
            {"loss": total, "gradient": logprobs.grad.numpy(), "entropy_gradient": by_entropy}
        )
        return StepResult(0.0, 0.0)

    def require_finite(self, grad_norm: float, loss: float, step: int, evidence: Any) -> None:
        assert np.isfinite(loss)


def our_policy_steps(case: PolicyCase, given: Given) -> list[dict[str, Any]]:
    """Loss and gradients of the optimizer steps that TRL takes too, by `PolicyGradient.update`."""
    flags = f"--num_ppo_epochs 2 --tis_c 0 --generate_max_length {MAX_TOKENS}"
    flags += f" --rollout_batch_size {NUM_GROUPS} --num_samples {NUM_SAMPLES} --seed 0"
    args = parse([*flags.split(), *case.flags.split()])
    trajectories = []
    for i, (response, reward) in enumerate(zip(given["responses"], given["rewards"], strict=True)):
        is_cut = args.algorithm.ignore_no_eos and given["is_truncated"][i]
        trajectories.append(
            Trajectory(
                prompt_token_ids=np.array([7]),
                response_token_ids=np.array(response),
                sampler_logprobs=np.float32(given["sampler"][i]),
                reward=reward or 0.0,
                group=i // NUM_SAMPLES,
                is_known=reward is not None,
                is_masked=reward is None or is_cut,
            )
        )
    has_reference = args.algorithm.beta > 0 or args.algorithm.kl_penalty_coef > 0
    policy, steps = GivenPolicy(given, has_reference=has_reference), GivenSteps(given)
    PolicyGradient(args, policy, steps, critic=None).update(trajectories, step=0)
    return steps.found[: len(given["steps"])]


def our_pair_steps(case: PairCase, given: Given) -> list[dict[str, Any]]:
    """Loss and gradients of the optimizer steps, by the two passes of `Preference`."""
    args = parse(["--algo", "dpo", *case.flags.split()]).preference
    pairs = [
        PreferencePair(*(np.array(pair[key]) for key in ("prompt", "chosen", "rejected")))
        for pair in given["pairs"]
    ]
    pair_batch = PairBatch.of(pairs, args.label_smoothing)
    new, ref = (
        pair_batch.sequence_logprobs(
            np.concatenate(
                [
                    pair[f"{name}_{side}"]
                    for pair in given["pairs"]
                    for side in ("chosen", "rejected")
                ]
            )
        )
        for name in ("new", "ref")
    )
    found = []
    for chosen in given["steps"]:
        references = ref[pair_batch.responses]
        judgement = judge(pair_batch, new, references, np.array(chosen), args)
        tokens = np.arange(pair_batch.batch.num_tokens)
        gradient = token_slopes(pair_batch, judgement.slopes, tokens)
        found.append({"loss": judgement.metrics["train/loss_mean"], "gradient": gradient})
    return found
