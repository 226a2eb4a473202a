"""One rank of the learner: its process, its policy, and the objective that trains it."""

import os
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers.utils.logging import disable_progress_bar

from learners import rendezvous
from learners.objectives import load_critic, load_policy, objective_of
from learners.outlet import Outlet
from learners.policy_gradient import PolicyGradient
from learners.preference import Preference
from understand_r1_zero.args import Args
from understand_r1_zero.carry import Files, pack, unpack
from understand_r1_zero.types import PreferencePair


class LearnerRank:
    """One rank of the learner; every method but `listen` is called on all ranks together.

    Each rank is given the whole batch and trains on its share of every optimizer step, cut so that
    all have about as many tokens: what is learned depends on the number of ranks by rounding alone.
    Weights leave through `outlet`.

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
        args, num_steps, device = self._args, self._num_optimizer_steps, self._device
        directory = self._dump_directory
        self._policy = load_policy(args, num_steps, device)
        self._critic = load_critic(args, num_steps, device, directory)
        self._objective, self._steps = objective_of(args, self._policy, self._critic, directory)
        self.outlet = Outlet(self._policy)
        self._make_room()

    def update(self, examples: Sequence[Any], step: int) -> dict[str, float]:
        """Run every optimizer step of one batch; returns its metrics over all ranks.

        Raises:
            FloatingPointError: a loss or gradient is not finite; the batch has been saved.
        """
        started_s = time.perf_counter()
        metrics = self._objective.update(examples, step)
        self._make_room()
        elapsed_s = time.perf_counter() - started_s
        return {
            **metrics,
            **self._steps.loss_scaling(),
            "misc/policy_sgd_step": float(self._steps.num_done),
            "misc/gradient_update_elapse": elapsed_s,
            "misc/learner_tokens_per_s": sum(each.num_tokens for each in examples) / elapsed_s,
        }

    def evaluate_loss(self, examples: Sequence[Any]) -> dict[str, float]:
        """The objective's loss on held-out examples, and how well it does on them, over all ranks."""
        assert not isinstance(self._objective, PolicyGradient), "nothing sampled is held out"
        metrics = self._objective.evaluate_loss(examples)
        self._make_room()
        return metrics

    def reference_logprobs(self, pairs: Sequence[PreferencePair]) -> np.ndarray:
        """float64 (P, 2): log-probs of chosen and rejected responses, in nats, before any update."""
        assert isinstance(self._objective, Preference)
        return self._objective.reference_logprobs(pairs)

    def old_logprobs(self) -> list[np.ndarray]:
        """float32 (T,) of each trajectory of the last update, before it."""
        assert isinstance(self._objective, PolicyGradient)
        return self._objective.old_logprobs

    def first_step_metrics(self) -> dict[str, float]:
        """Metrics of the first optimizer step of the last update: on-policy, its ratio is 1."""
        assert isinstance(self._objective, PolicyGradient)
        return self._objective.first_step

    def save(self, directory: str) -> None:
        """Write a Hugging Face model directory and the training state into an existing directory."""
        self._policy.save(Path(directory), {"optimizer_steps": self._steps.num_done})
        if self._critic is not None:
            self._critic.save(Path(directory))

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
        self._steps.num_done = self._policy.load(Path(directory))["optimizer_steps"]
        if self._critic is not None:
            self._critic.load(Path(directory))
        self._make_room()

    def _make_room(self) -> None:
        """Leave the GPU to the engine that will wake up there."""
        if self._args.cluster.vllm_sleep:
            self._policy.engine.release_memory()
            if self._critic is not None:
                self._critic.release_memory()

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
