"""The trained model on one rank: it scores tokens, takes optimizer steps, gives its weights, is saved.

What every objective shares; the objectives themselves (`policy_gradient.py`) hold one.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AutoTokenizer

from learners.adapters import SAVED, add_adapters, alone, merged, save_adapters
from learners.batching import Batch, MicroBatch, collate, plan
from learners.engine import Engine
from learners.model import (
    TokenLogprobs,
    can_share_prompts,
    linear_cost,
    load_model,
    packing_of,
)
from learners.rows import Limits
from learners.value_model import HEAD, TokenValues, save_value_model, value_head
from understand_r1_zero.args import Args
from understand_r1_zero.checkpoint import naming_a_full_disk
from understand_r1_zero.run_directory import disk_errors_explained
from understand_r1_zero.values import VALUE_MODEL, activation_name
from understand_r1_zero.weights import to_arrays

REFERENCE = "reference.pt"
"""In a checkpoint's `training_state/`, where the reference is no longer `--pretrain`."""

Forward = Callable[..., tuple[Tensor, ...]]


@dataclass(frozen=True)
class Scoring:
    """What an objective asks of every token: its log-prob at a temperature, the value after it.

    A critic's value is of the state before the token (`is_value_before`). A policy without log-probs is
    a value model, and saved as one; with both it is saved as a language model, and the value model
    beside it in `VALUE_MODEL`. A loss of differences of bare outputs is blind to the head's bias
    (`is_bias_seen`).
    """

    temperature: float
    has_values: bool = False
    has_logprobs: bool = True
    is_value_before: bool = False
    is_bias_seen: bool = True


class Policy:
    """The policy, its optimizer and, where the flags ask for one, the reference model.

    Needs the default process group. The reference is `--pretrain`, whole on every rank, until
    `refresh_reference`.

    Args:
        args: all flags.
        num_optimizer_steps: of the whole run, the horizon of the learning-rate schedule.
        device: "cpu" or "cuda".
        needs_reference: None: where the flags ask for one.
        scoring: what the objective asks; None: log-probs at the sampling temperature.
    """

    def __init__(
        self,
        args: Args,
        *,
        num_optimizer_steps: int,
        device: str,
        needs_reference: bool | None = None,
        scoring: Scoring | None = None,
    ) -> None:
        self._args = args
        self._scoring = scoring or Scoring(args.sampling.temperature)
        self.rank = torch.distributed.get_rank()
        self.dtype = args.model.dtype
        self._model = load_model(args.model.pretrain, args.model, device=device)
        if args.lora.lora_rank:
            add_adapters(self._model, args.lora)
        if args.model.gradient_checkpointing:
            self._model.gradient_checkpointing_enable({"use_reentrant": False})
        self.limits = Limits(
            max_tokens=args.optim.max_tokens_per_micro_batch,
            max_responses=args.optim.train_batch_size_per_device,
            linear_cost=linear_cost(self._model) if can_share_prompts(self._model) else 0.0,
            packing=packing_of(self._model) if args.optim.packing else "none",
        )
        self.engine = Engine(
            self._trained(),
            args.optim,
            num_steps=num_optimizer_steps,
            dtype=args.model.dtype,
            device=device,
        )
        self.has_reference = (
            args.needs_reference_model if needs_reference is None else needs_reference
        )
        if self.has_reference:
            home = "cpu" if args.optim.ref_offload else device
            reference = load_model(args.model.pretrain, args.model, device=home)
            self._reference = TokenLogprobs(
                reference.requires_grad_(False).eval(), self._scoring.temperature
            )

    def score(self, batch: Batch, responses: np.ndarray) -> np.ndarray:
        """float32 (2, T): log-probs and entropies of the responses' tokens, zero elsewhere.

        With a value head (3, T): the head's outputs too. This rank computes its share and leaves the rest zero: `complete` puts them together.
        """
        return self._score(self.engine, batch, responses, self._scoring.has_values)

    def score_reference(self, batch: Batch) -> np.ndarray:
        """As `score`, of all responses under the reference model."""
        self._reference.to(self.engine.device)
        scores = self._score(self._reference, batch, np.arange(len(batch.lengths)), False)
        if self._args.optim.ref_offload:
            self._reference.to("cpu")
        return scores

    @torch.no_grad()
    def refresh_reference(self) -> None:
        """The policy as it is becomes the reference. Collective."""
        reference = self._reference.state_dict()
        for name, tensor in self.full_tensors():
            reference[f"model.{name}"].copy_(tensor)

    def complete(self, scores: np.ndarray) -> np.ndarray:
        """Put the ranks' shares of `score` together, in place: elsewhere each holds zeros."""
        if self.engine.world_size > 1:
            tensor = torch.from_numpy(scores).to(self.engine.device)
            scores[:] = self.engine.all_reduce(tensor).cpu().numpy()
        return scores

    def forward(self, micro_batch: MicroBatch) -> tuple[Tensor, ...]:
        """(N,) log-probs with gradient, (N,) entropies and, with a value head, (N,) outputs."""
        return self.engine(*self._inputs(micro_batch, self._scoring.has_values))

    def published_weights(self) -> dict[str, np.ndarray] | None:
        """A copy of what actors are given, on rank 0: `full_tensors`, or the adapters. Collective.

        As in `understand_r1_zero.weights`, uint16 arrays are the bits of bfloat16.
        """
        has_base = self._args.lora.lora_publish == "merged"
        copies = self._copies(self.full_tensors() if has_base else self._adapters())
        return to_arrays(copies) if self.rank == 0 else None

    def full_tensors(self, *, has_head: bool = False) -> Iterator[tuple[str, Tensor]]:
        """`Engine.full_parameters` under their Hugging Face names, adapters merged. Collective.

        Those of the language model alone, or with its value head.
        """
        tensors = (
            (_hugging_face_name(name), tensor)
            for name, tensor in self.engine.full_parameters()
            if has_head or not name.startswith(f"{HEAD}.")
        )
        return merged(tensors, self._args.lora) if self._args.lora.lora_rank else tensors

    def _adapters(self) -> Iterator[tuple[str, Tensor]]:
        """The adapters' tensors under peft's names. Collective."""
        trained = self.engine.full_parameters(only_trained=True)
        return alone((_hugging_face_name(name), tensor) for name, tensor in trained)

    def save(self, directory: Path, state: dict[str, Any]) -> None:
        """Write the model in Hugging Face's format and, beside it, `training_state/`. Collective.

        Every rank writes its shard of the optimizer, its random state and `state`. Raises DiskError
        when the disk is full.
        """
        with disk_errors_explained(directory), naming_a_full_disk(directory):
            self._save(directory, state)

    def _save(self, directory: Path, state: dict[str, Any]) -> None:
        self._save_weights(directory)
        self.engine.save(directory / "training_state")
        if self._args.policy.ref_refresh_steps and self.rank == 0:
            torch.save(self._reference.state_dict(), directory / "training_state" / REFERENCE)
        torch.save(
            {"random": _random_state(), "state": state},
            directory / "training_state" / f"rank_{self.rank}.pt",
        )

    def _copies(self, tensors: Iterator[tuple[str, Tensor]]) -> dict[str, Tensor]:
        """The tensors on the host, on rank 0; nothing on others. Collective where `tensors` is."""
        copies = {}
        for name, tensor in tensors:
            if self.rank == 0:
                copies[name] = tensor.to("cpu", copy=True)
        return copies

    def _save_weights(self, directory: Path) -> None:
        """Hugging Face directories of the language model, the value model or both, and the adapters'."""
        copies = self._copies(self.full_tensors(has_head=True))
        adapters = self._copies(self._adapters()) if self._args.lora.lora_rank else {}
        if self.rank != 0:
            return
        homes = [directory]
        if self._scoring.has_values:
            homes.insert(0, directory / VALUE_MODEL if self._scoring.has_logprobs else directory)
            homes[0].mkdir(exist_ok=True)
            activation = activation_name(self._args.value)
            save_value_model(homes[0], self._model, copies, activation)
        if self._scoring.has_logprobs:
            own = {name: c for name, c in copies.items() if not name.startswith(f"{HEAD}.")}
            self._model.save_pretrained(directory, state_dict=own)
            if adapters:
                lora, pretrain = self._args.lora, self._args.model.pretrain
                save_adapters(directory / SAVED, adapters, lora, pretrain)
        tokenizer = AutoTokenizer.from_pretrained(
            self._args.model.pretrain, trust_remote_code=self._args.model.trust_remote_code
        )
        for home in dict.fromkeys(homes):
            tokenizer.save_pretrained(home)

    def load(self, directory: Path) -> dict[str, Any]:
        """Continue from what `save` wrote, under the same flags; returns its `state`. Collective.

        Raises:
            ValueError: another number of ranks wrote it.
        """
        directory = directory / "training_state"
        num_ranks = len(list(directory.glob("rank_*.pt")))
        if num_ranks != self.engine.world_size:
            raise ValueError(
                f"--num_learners must be {num_ranks}, as when {directory} was written, got "
                f"{self.engine.world_size}: the optimizer's state is cut into that many parts"
            )
        self.engine.load(directory)
        if self.has_reference and (directory / REFERENCE).is_file():
            self._reference.load_state_dict(torch.load(directory / REFERENCE, map_location="cpu"))
        saved = torch.load(directory / f"rank_{self.rank}.pt", weights_only=False)
        _set_random_state(saved["random"])
        return saved["state"]

    def _trained(self) -> TokenLogprobs | TokenValues:
        scorer = TokenLogprobs(
            self._model,
            self._scoring.temperature,
            trains_entropy=self._args.policy.ent_coef > 0,
            offloads_activations=self._args.model.activation_offload,
        )
        if not self._scoring.has_values:
            return scorer
        head = value_head(
            self._model,
            self._args.model.pretrain,
            self._args.run.seed,
            activation=activation_name(self._args.value),
            is_critic=self._scoring.is_value_before,
        )
        # Adam would turn the rounding errors of a bias that the loss is blind to into steps.
        head.bias.requires_grad_(self._scoring.is_bias_seen)
        return TokenValues(scorer, head, has_logprobs=self._scoring.has_logprobs)

    @torch.no_grad()
    def _score(
        self, forward: Forward, batch: Batch, responses: np.ndarray, has_values: bool
    ) -> np.ndarray:
        scores = np.zeros((3 if has_values else 2, batch.num_tokens), np.float32)
        if len(responses) == 0:
            return scores
        for rows in plan(batch, responses, self.limits, self.engine.world_size)[self.rank]:
            micro_batch = collate(batch, rows)
            found = forward(*self._inputs(micro_batch, has_values))
            scores[:, micro_batch.tokens] = torch.stack(found).cpu().numpy()
        return scores

    def _inputs(self, micro_batch: MicroBatch, has_values: bool) -> list[Tensor | None]:
        arrays = [
            micro_batch.input_ids,
            micro_batch.sources,
            micro_batch.targets,
            micro_batch.position_ids,
            micro_batch.segments,
        ]
        if has_values:
            is_before = self._scoring.is_value_before
            arrays.append(micro_batch.sources if is_before else micro_batch.places)
        return [None if a is None else torch.from_numpy(a).to(self.engine.device) for a in arrays]


def _hugging_face_name(name: str) -> str:
    """The name inside the model that `TokenLogprobs` wraps, and `TokenValues` around it."""
    return name.removeprefix("scorer.").removeprefix("model.")


def _random_state() -> dict[str, Any]:
    return {
        "python": random.getstate(),
        "numpy": np.random.get_state(),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def _set_random_state(state: dict[str, Any]) -> None:
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    torch.set_rng_state(state["torch"])
    if state["cuda"]:
        torch.cuda.set_rng_state_all(state["cuda"])
