"""What each process holds in memory, estimated from the model's shape and the flags; pure functions."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from understand_r1_zero.args import Args
from understand_r1_zero.plan import Plan
from understand_r1_zero.sizes import ModelSize
from understand_r1_zero.values import trains_step_values

GIB = 2**30
GPU_SIZES_GIB = (24, 40, 80, 141)
USABLE = 0.95
"""Share of a GPU that fragmentation and other contexts leave."""
PROCESS_BYTES = GIB
"""Interpreter and libraries in host memory; on a GPU, the CUDA context and its workspaces."""
LOGITS_AT_ONCE = 3 * 2**24
"""As learners/head.py computes them, which must not be imported from here."""
LARGEST_BUCKET = 500_000_000
"""Gradient elements communicated at once, as learners/engine.py sets it; twice while overlapping."""
SAMPLER_WORKSPACE_BYTES = 2 * GIB
"""Activations, sampling buffers and CUDA graphs within vLLM's share of a GPU."""


@dataclass(frozen=True, slots=True)
class Part:
    """One thing a process holds, and when: all the time, while the reference model scores a batch, through
    an optimizer step, or in only one half of it, the passes (forward and backward) or the update."""

    name: str
    num_bytes: int
    on_gpu: bool
    when: Literal["always", "scoring", "step", "passes", "update"] = "always"


@dataclass(frozen=True, slots=True)
class GpuFit:
    """Whether one GPU of `size_gib` holds the run, and what it takes while sampling and training."""

    size_gib: int
    sampling_bytes: int
    training_bytes: int
    sequences: int
    """Longest sequences whose keys and values vLLM's share holds at once, an actor."""

    @property
    def fits(self) -> bool:
        """Both phases fit, and the sampler, where there is one, holds at least one sequence."""
        peak = max(self.sampling_bytes, self.training_bytes)
        has_room = self.sequences >= 1 or self.sampling_bytes == 0
        return has_room and peak <= self.size_gib * GIB * USABLE


@dataclass(frozen=True, slots=True)
class Memory:
    """The parts of one learner rank and of one actor, and how GPUs of common sizes would fit.

    `published_bytes` is the shared memory that published weights take, 0 where they go from GPU to GPU.
    """

    learner: tuple[Part, ...]
    actor: tuple[Part, ...]
    published_bytes: int
    fits: tuple[GpuFit, ...]


def estimate(
    args: Args, plan: Plan, size: ModelSize, critic_size: ModelSize | None = None
) -> Memory:
    """Estimate the memory of every process; a critic is as large as the policy unless its size is given.

    The states of training are counted as DeepSpeed keeps them, activations as PyTorch saves them for
    the backward pass of a Qwen2 layer with SDPA (both measured), the process itself as a constant.
    """
    on_gpu = args.cluster.gpus > 0
    learner = _learner_parts(args, size, critic_size or size, plan, on_gpu=on_gpu)
    actor = _actor_parts(args, size, on_gpu=on_gpu)
    is_shared = args.cluster.weight_transfer == "ray" or not on_gpu
    published = _width(args) * size.parameters if is_shared and plan.actors else 0
    fit = _fit if plan.actors else _fit_alone
    fits = tuple(fit(args, size, learner, gib) for gib in GPU_SIZES_GIB) if on_gpu else ()
    return Memory(learner, actor, published, fits)


def rest_bytes(parts: tuple[Part, ...], *, on_gpu: bool) -> int:
    """Bytes held all the time on the GPU (or in host memory)."""
    return _held(parts, on_gpu, "always")


def peak_bytes(parts: tuple[Part, ...], *, on_gpu: bool) -> int:
    """Bytes held in the larger half of an optimizer step, or in the scoring before it."""
    halves = (_held(parts, on_gpu, "passes"), _held(parts, on_gpu, "update"))
    in_step = _held(parts, on_gpu, "step") + max(halves)
    return rest_bytes(parts, on_gpu=on_gpu) + max(in_step, _held(parts, on_gpu, "scoring"))


def _held(parts: tuple[Part, ...], on_gpu: bool, when: str) -> int:
    return sum(part.num_bytes for part in parts if part.on_gpu == on_gpu and part.when == when)


def kv_bytes_per_token(args: Args, size: ModelSize) -> int:
    """Keys and values of one token on one GPU of a tensor-parallel actor."""
    return 2 * size.layers * size.kv_size * _width(args) // args.cluster.num_gpus_per_actor


def longest_sequence(args: Args) -> int:
    """The sampler's context in tokens: `--max_model_len`, or the longest prompt and generation."""
    longest = max(args.sampling.generate_max_length, args.evaluation.eval_generate_max_length)
    return args.model.max_model_len or args.data.prompt_max_length + longest


def activation_bytes(args: Args, size: ModelSize, tokens: int) -> int:
    """What a forward pass over `tokens` keeps for the backward pass, the language-model head aside.

    A layer keeps (8h + 2kv + 4f) elements a token in float32 and 2h more in 16 bits (RMSNorm computes in
    float32), h hidden, kv key-value and f intermediate size: measured with saved-tensor hooks on Qwen2.
    Checkpointing keeps h a layer, and one layer in full.
    """
    layer = _layer_bytes(args, size, tokens)
    if args.model.gradient_checkpointing:
        return layer + tokens * _width(args) * size.layers * size.hidden
    return layer * size.layers


def _layer_bytes(args: Args, size: ModelSize, tokens: int) -> int:
    norms = 8 if _width(args) == 4 else 10
    return tokens * _width(args) * (norms * size.hidden + 2 * size.kv_size + 4 * size.intermediate)


def offloaded_bytes(args: Args, size: ModelSize, tokens: int) -> int:
    """What `--activation_offload` copies of a forward pass over `tokens` to the host.

    A tensor that several operations save is copied for each: 14h + 2kv + 4f elements a token and layer,
    4h of them float32 always (measured as above); with checkpointing the h of a layer's input. Page-locked
    memory is given out in powers of two.
    """

    def copies(count: int, elements: int, width: int) -> int:
        return count << max(0, tokens * elements * width - 1).bit_length()

    width = _width(args)
    if args.model.gradient_checkpointing:
        return size.layers * copies(1, size.hidden, width)
    return size.layers * (
        copies(4, size.hidden, 4)
        + copies(10, size.hidden, width)
        + copies(2, size.kv_size, width)
        + copies(4, size.intermediate, width)
    )


def trained_parameters(args: Args, size: ModelSize) -> int:
    """Of the policy: all, or with `--lora_rank` r those of the adapters, r (in + out) a linear layer.

    A value model has a head of its own besides, and does not train that of the vocabulary.
    """
    if args.algorithm.algo == "value" and not args.value.value_joint:
        return _trained_with_values(args, size)
    has_head = trains_step_values(args) or args.critic_kind == "shared"
    value_head = size.hidden + 1 if has_head else 0
    return _trained(args, size) + value_head


def _trained_with_values(args: Args, size: ModelSize) -> int:
    """Of a value model without log-probs, which a separate critic is too."""
    is_frozen = args.lora.lora_rank == 0 and not size.is_tied
    return _trained(args, size) + size.hidden + 1 - is_frozen * size.vocabulary * size.hidden


def _trained(args: Args, size: ModelSize) -> int:
    rank, hidden, kv = args.lora.lora_rank, size.hidden, size.kv_size
    if rank == 0:
        return size.parameters
    ends = 3 * hidden + kv
    if args.lora.lora_targets == "linear":
        ends = 9 * hidden + 2 * kv + 3 * size.intermediate
    return rank * ends * size.layers


def _width(args: Args) -> int:
    return 4 if args.model.dtype == "float32" else 2


def _learner_parts(
    args: Args, size: ModelSize, critic_size: ModelSize, plan: Plan, *, on_gpu: bool
) -> tuple[Part, ...]:
    tokens = plan.batches.micro_batch_tokens
    process = [Part("Python and libraries", PROCESS_BYTES, False)]
    if on_gpu:
        process.append(Part("CUDA context", PROCESS_BYTES, True))
    ranks = len(plan.learners)
    models = [ModelStates(size.parameters, trained_parameters(args, size))]
    if args.critic_kind == "separate":
        trained = _trained_with_values(args, critic_size)
        models.append(
            ModelStates(critic_size.parameters + critic_size.hidden + 1, trained, "critic's")
        )
    return (
        *(part for model in models for part in state_parts(args, model, ranks, on_gpu=on_gpu)),
        *_reference_parts(args, size, ranks, on_gpu=on_gpu),
        *_pass_parts(args, size, tokens, on_gpu=on_gpu),
        *process,
    )


def _reference_parts(args: Args, size: ModelSize, ranks: int, *, on_gpu: bool) -> Iterator[Part]:
    """The reference model, whole on every rank."""
    if args.needs_reference_model:
        is_home = on_gpu and not args.optim.ref_offload
        yield Part("reference model", _width(args) * size.parameters, is_home)
        if on_gpu and not is_home:
            yield Part("reference model in use", _width(args) * size.parameters, True, "scoring")


def _pass_parts(args: Args, size: ModelSize, tokens: int, *, on_gpu: bool) -> Iterator[Part]:
    """What one micro-batch takes forward and backward."""
    if on_gpu and args.model.activation_offload:
        layer = _layer_bytes(args, size, tokens)
        yield Part("activations of one layer", layer, True, "passes")
        yield Part("activations", offloaded_bytes(args, size, tokens), False, "passes")
    else:
        yield Part("activations", activation_bytes(args, size, tokens), on_gpu, "passes")
    if args.algorithm.algo != "value" or args.value.value_joint:
        yield Part("logits", _logit_bytes(args, size, tokens), on_gpu, "passes")


@dataclass(frozen=True, slots=True)
class ModelStates:
    """A model that is trained: its parameters, how many of them are trained, and what tells it apart."""

    parameters: int
    trained: int
    name: str = ""


def state_parts(args: Args, model: ModelStates, ranks: int, *, on_gpu: bool) -> tuple[Part, ...]:
    """What DeepSpeed holds of a model on one rank, ZeRO sharding optimizer (stage 1), gradients (2), weights (3).

    Bytes a parameter on one rank are within 10% of the process's resident memory, at rest and at the
    peak, for 100 M parameters on the CPU under DeepSpeed 0.19.8: AdamW's moments take 8 and a float32
    master copy, kept of float32 weights too from stage 1 on, 4; float32 gradient sums take 4, freed by
    the update except in stage 1 with 16 bits and in stage 3, which also keeps its communication bucket.
    """
    stage, width, parameters = args.optim.zero_stage, _width(args), model.trained
    shards = [1 if stage < least else ranks for least in (1, 2, 3)]
    state, update = {0: (8, 4), 1: (12, 8), 2: (12, 8), 3: (12, 18)}[stage]
    keeps_gradients = stage == 3 or (stage == 1 and width == 2)
    is_offloaded = on_gpu and args.optim.adam_offload
    parts = [
        Part("weights", width * model.parameters // shards[2], on_gpu),
        Part("optimizer", state * parameters // shards[0], on_gpu and not is_offloaded),
        Part(
            "gradients",
            4 * parameters // shards[1],
            on_gpu,
            "always" if keeps_gradients else "step",
        ),
    ]
    if stage > 0:
        buckets = (2 if on_gpu else 1) * width * min(parameters, LARGEST_BUCKET)
        parts.append(Part("communication", buckets, on_gpu, "always" if stage == 3 else "step"))
    parts.append(
        Part("update", update * parameters // shards[0], on_gpu and not is_offloaded, "update")
    )
    return tuple(replace(part, name=f"{model.name} {part.name}".strip()) for part in parts)


def _logit_bytes(args: Args, size: ModelSize, tokens: int) -> int:
    """Logits of one piece, overwritten by what follows, and the head's gradient, summed in float32.

    In 16 bits the gradient of a piece is a second matrix of its size.
    """
    gradients = (1 if _width(args) == 4 else 2) * size.vocabulary * size.hidden
    if args.lora.lora_rank:
        gradients = 0
    return 4 * min(tokens * size.vocabulary, LOGITS_AT_ONCE) + 4 * gradients


def _actor_parts(args: Args, size: ModelSize, *, on_gpu: bool) -> tuple[Part, ...]:
    """One actor's share on each of its GPUs; the keys and values are of one step's longest case."""
    weights = _width(args) * size.parameters // args.cluster.num_gpus_per_actor
    sequence = kv_bytes_per_token(args, size) * longest_sequence(args)
    parts = [
        Part("weights", weights, on_gpu),
        Part("keys and values of one sequence", sequence, on_gpu),
        Part("Python and libraries", PROCESS_BYTES, False),
    ]
    if on_gpu:
        parts.append(Part("workspace", SAMPLER_WORKSPACE_BYTES, True))
        if args.cluster.vllm_sleep:
            parts.append(Part("weights while asleep", weights, False))
    return tuple(parts)


def _fit(args: Args, size: ModelSize, learner: tuple[Part, ...], gib: int) -> GpuFit:
    share = round(args.cluster.vllm_gpu_ratio * gib * GIB)
    weights = _width(args) * size.parameters // args.cluster.num_gpus_per_actor
    room = share - weights - SAMPLER_WORKSPACE_BYTES
    sequences = room // (kv_bytes_per_token(args, size) * longest_sequence(args))
    peak = peak_bytes(learner, on_gpu=True)
    if not args.cluster.collocate:
        return GpuFit(gib, share, peak, max(0, sequences))
    at_rest = rest_bytes(learner, on_gpu=True)
    awake = PROCESS_BYTES if args.cluster.vllm_sleep else share
    return GpuFit(gib, share + at_rest, awake + peak, max(0, sequences))


def _fit_alone(args: Args, size: ModelSize, learner: tuple[Part, ...], gib: int) -> GpuFit:
    """A learner that shares its GPU with no sampler."""
    return GpuFit(gib, 0, peak_bytes(learner, on_gpu=True), 0)
