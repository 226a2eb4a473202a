"""Policy-gradient updates (Dr. GRPO, GRPO): one rank of the learner."""

import math
import os
import random
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers.utils.logging import disable_progress_bar

from learners import losses, rendezvous
from learners.advantages import kl_penalties
from learners.batching import Batch, MicroBatch, collate, optimizer_batches, plan
from learners.metrics import StepSums, batch_metrics, combine_steps
from learners.outlet import Outlet
from learners.policy import Policy
from understand_r1_zero.args import Args
from understand_r1_zero.carry import Files, pack, unpack
from understand_r1_zero.types import Trajectory


@dataclass(frozen=True)
class Update:
    """One update under way: what its losses need of R responses and their T tokens.

    `scores` (2, T) are `old_logprobs` and entropies. With `is_on_policy` one optimizer step is the
    whole update: its own forward pass finds them, and fills them in as it goes.
    """

    step: int
    batch: Batch
    advantages: np.ndarray
    is_active: np.ndarray
    scores: np.ndarray
    ref_logprobs: np.ndarray | None
    is_on_policy: bool


class PolicyGradientLearner:
    """One rank of the learner; every method but `listen` is called on all ranks together.

    Each rank is given the whole batch and trains on its share of every optimizer step, cut so that
    all have about as many tokens: what is learned depends on the number of ranks by rounding alone.
    Responses without a gradient (advantage 0, or masked) are scored but not trained on. Weights
    leave through `outlet`.

    Args:
        args: all flags.
        rank: of this process.
        world_size: number of ranks.
        num_optimizer_steps: of the whole run, the horizon of the learning-rate schedule.
        device: "cpu" or "cuda" (the one GPU that the process sees).
        num_threads: CPU threads; 0: PyTorch's choice.
        dump_directory: where the batch of a step that is not finite is saved.
    """

    def __init__(
        self,
        args: Args,
        rank: int,
        world_size: int,
        *,
        num_optimizer_steps: int,
        device: str = "cpu",
        num_threads: int = 0,
        dump_directory: str = ".",
    ) -> None:
        self._args = args
        self._rank = rank
        self._world_size = world_size
        self._num_optimizer_steps = num_optimizer_steps
        self._device = device
        self._num_threads = num_threads
        self._dump_directory = Path(dump_directory)
        self._optimizer_steps_done = 0
        self._old_logprobs: list[np.ndarray] = []
        self._first_step: dict[str, float] = {}

    def listen(self, host: str) -> int:
        """On rank 0 alone: the port at which the other ranks will find it."""
        self._store = rendezvous.serve(host)
        return self._store.port

    def start(self, host: str, port: int) -> None:
        """Join the other ranks where rank 0 listens, and load the model."""
        if self._rank != 0:
            self._store = rendezvous.connect(host, port)
        rendezvous.join(self._store, self._rank, self._world_size, self._device)
        self._set_up_process()
        self._policy = Policy(
            self._args, num_optimizer_steps=self._num_optimizer_steps, device=self._device
        )
        self.outlet = Outlet(self._policy)
        self._make_room()

    def update(self, trajectories: Sequence[Trajectory], step: int) -> dict[str, float]:
        """Run every optimizer step of one batch; returns its metrics over all ranks.

        `--num_ppo_epochs` passes in optimizer steps of `--train_batch_size` responses, in an order
        that follows from the seed and `step` alone.

        Raises:
            FloatingPointError: a loss or gradient is not finite; the batch has been saved.
        """
        started_s = time.perf_counter()
        schedule = optimizer_batches(
            len(trajectories),
            self._args.responses_per_optimizer_step,
            self._args.algorithm.num_ppo_epochs,
            (self._args.run.seed, step),
        )
        update = self._prepare(Batch.of(trajectories), step, is_single=len(schedule) == 1)
        steps = [self._optimizer_step(update, responses) for responses in schedule]
        if update.is_on_policy:
            self._complete(update.scores)
        old_logprobs, entropies = update.scores
        self._first_step = steps[0]
        self._old_logprobs = update.batch.split(old_logprobs)
        self._make_room()
        elapsed_s = time.perf_counter() - started_s
        return {
            **combine_steps(steps),
            **batch_metrics(
                update.batch, update.advantages, old_logprobs, entropies, update.ref_logprobs
            ),
            "misc/policy_sgd_step": float(self._optimizer_steps_done),
            "misc/gradient_update_elapse": elapsed_s,
            "misc/learner_tokens_per_s": sum(t.num_tokens for t in trajectories) / elapsed_s,
        }

    def old_logprobs(self) -> list[np.ndarray]:
        """float32 (T,) of each trajectory of the last update, before it."""
        return self._old_logprobs

    def first_step_metrics(self) -> dict[str, float]:
        """Metrics of the first optimizer step of the last update: on-policy, its ratio is 1."""
        return self._first_step

    def save(self, directory: str) -> None:
        """Write a Hugging Face model directory and the training state into an existing directory."""
        self._policy.save(Path(directory), {"optimizer_steps": self._optimizer_steps_done})

    def sees(self, path: str) -> bool:
        """Whether a file of the driver's node is here too."""
        return Path(path).exists()

    def save_at_home(self) -> dict[str, bytes]:
        """What `save` writes on this node, as values."""
        with tempfile.TemporaryDirectory() as home:
            self.save(home)
            return pack(Path(home))

    def load_at_home(self, files: Files) -> None:
        """`load` from what every rank's `save_at_home` returned."""
        with tempfile.TemporaryDirectory() as home:
            unpack(files, Path(home))
            self.load(home)

    def load(self, directory: str) -> None:
        """Continue from what `save` wrote, under the same flags and number of ranks."""
        self._optimizer_steps_done = self._policy.load(Path(directory))["optimizer_steps"]
        self._make_room()

    def _make_room(self) -> None:
        """Leave the GPU to the engine that will wake up there."""
        if self._args.cluster.vllm_sleep:
            self._policy.engine.release_memory()

    def _set_up_process(self) -> None:
        os.environ["DS_ACCELERATOR"] = self._device
        disable_progress_bar()
        if self._num_threads:
            torch.set_num_threads(self._num_threads)
        if self._args.run.deterministic:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            torch.use_deterministic_algorithms(True)
        seed = self._args.run.seed
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)

    def _prepare(self, batch: Batch, step: int, *, is_single: bool) -> Update:
        algorithm = self._args.algorithm
        everything = np.arange(len(batch.lengths))
        is_on_policy = is_single and algorithm.kl_penalty_coef == 0
        scores = ref_logprobs = None
        if not is_on_policy:
            scores = self._complete(self._policy.score(batch, everything))
        if self._policy.has_reference:
            ref_logprobs = self._complete(self._policy.score_reference(batch))[0]
        advantages = batch.advantages
        if scores is not None and ref_logprobs is not None and algorithm.kl_penalty_coef:
            kl_sums = np.bincount(batch.response_of, scores[0] - ref_logprobs, len(everything))
            penalties = kl_penalties(kl_sums, batch.groups, algorithm.kl_penalty_coef)
            advantages = (advantages + penalties).astype(np.float32)
        is_active = ~batch.is_masked & ((advantages != 0) | (algorithm.beta > 0))
        if scores is None:
            scores = self._policy.score(batch, everything[~is_active])
        return Update(step, batch, advantages, is_active, scores, ref_logprobs, is_on_policy)

    def _optimizer_step(self, update: Update, responses: np.ndarray) -> dict[str, float]:
        """One optimizer step on the given responses, of which this rank takes its share."""
        engine, batch = self._policy.engine, update.batch
        weights = self._response_weights(batch, responses)
        active = responses[update.is_active[responses]]
        share = plan(batch, active, self._policy.limits, self._world_size)[self._rank]
        sums, found = StepSums.zeros(engine.device), []
        for position, rows in enumerate(share):
            micro_batch = collate(batch, rows)
            logprobs, entropies = self._policy.forward(micro_batch)
            loss = self._loss(update, weights, micro_batch, logprobs, sums)
            engine.backward(loss, is_last=position == len(share) - 1)
            found.append((micro_batch.tokens, torch.stack([logprobs.detach(), entropies])))
        result = engine.step()
        if update.is_on_policy:
            for tokens, values in found:
                update.scores[:, tokens] = values.cpu().numpy()
        engine.all_reduce(sums.sums)
        engine.all_reduce(sums.maxima, is_max=True)
        metrics = sums.metrics()
        if not math.isfinite(result.grad_norm + metrics["train/pg_loss"]):
            self._stop(update, responses, result.grad_norm, metrics["train/pg_loss"])
        self._optimizer_steps_done += 1
        return {
            **metrics,
            "train/policy_grad_norm": result.grad_norm,
            "misc/lr": result.learning_rate,
        }

    def _loss(
        self,
        update: Update,
        weights: np.ndarray,
        micro_batch: MicroBatch,
        logprobs: Tensor,
        sums: StepSums,
    ) -> Tensor:
        """This micro-batch's part of the optimizer step's loss; adds its metrics to `sums`."""
        algorithm, batch, tokens = self._args.algorithm, update.batch, micro_batch.tokens
        response_of = batch.response_of[tokens]
        advantages, weight, sampler_logprobs, old_logprobs, ref_logprobs = self._to_device(
            update.advantages[response_of],
            weights[response_of],
            batch.sampler_logprobs[tokens],
            update.scores[0, tokens],
            np.zeros(0) if update.ref_logprobs is None else update.ref_logprobs[tokens],
        )
        if update.is_on_policy:
            old_logprobs = logprobs.detach()
        differences = logprobs - old_logprobs
        ratio = differences.exp()
        surrogate = losses.clipped_surrogate(ratio, advantages, algorithm.cliprange)
        surrogate = surrogate * losses.truncated_importance_weights(
            old_logprobs, sampler_logprobs, algorithm.tis_c
        )
        pg_loss = (weight * surrogate).sum()
        reg_loss = torch.zeros_like(pg_loss)
        if algorithm.beta:
            reg_loss = algorithm.beta * (weight * losses.k3(logprobs, ref_logprobs)).sum()
        is_clipped = losses.is_clipped(ratio, advantages, algorithm.cliprange)
        sums.add(pg_loss, reg_loss, differences, is_clipped)
        return pg_loss + reg_loss

    def _response_weights(self, batch: Batch, responses: np.ndarray) -> np.ndarray:
        """float32 (R,): `losses.response_weights` of the optimizer step's responses, else 0."""
        is_constant = self._args.algorithm.critic_type == "drgrpo"
        weights = np.zeros(len(batch.lengths), np.float32)
        weights[responses] = losses.response_weights(
            torch.from_numpy(batch.lengths[responses]),
            torch.from_numpy(batch.is_masked[responses]),
            self._args.sampling.generate_max_length if is_constant else None,
        ).numpy()
        return weights

    def _to_device(self, *arrays: np.ndarray) -> list[Tensor]:
        device = self._policy.engine.device
        return [torch.from_numpy(array).to(device, torch.float32) for array in arrays]

    def _complete(self, scores: np.ndarray) -> np.ndarray:
        """Put the ranks' shares together, in place: elsewhere each holds zeros."""
        if self._world_size > 1:
            tensor = torch.from_numpy(scores).to(self._policy.engine.device)
            scores[:] = self._policy.engine.all_reduce(tensor).cpu().numpy()
        return scores

    def _stop(self, update: Update, responses: np.ndarray, norm: float, loss: float) -> None:
        path = self._dump_directory / f"not_finite_step_{update.step}_rank_{self._rank}.pt"
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save({"responses": responses, "update": update}, path)
        raise FloatingPointError(
            f"step {update.step}: the policy loss is {loss:g} and the gradient norm {norm:g}; the "
            f"batch is in {path}. Resume from the last checkpoint, with a lower --learning_rate, or "
            "without --bf16"
        )
