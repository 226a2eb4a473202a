"""The memory model: formulas worked out by hand, a measurement of activations, and monotonicity."""

import functools
import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, Qwen2Config

from learners.adapters import add_adapters
from learners.head import MAX_LOGITS
from understand_r1_zero.args import Args, Dtype
from understand_r1_zero.args_lora import LoraArgs
from understand_r1_zero.cli import parse
from understand_r1_zero.memory import (
    GIB,
    LOGITS_AT_ONCE,
    Memory,
    ModelStates,
    Part,
    activation_bytes,
    estimate,
    kv_bytes_per_token,
    longest_sequence,
    offloaded_bytes,
    peak_bytes,
    rest_bytes,
    state_parts,
    trained_parameters,
)
from understand_r1_zero.plan import plan
from understand_r1_zero.sizes import ModelSize

SEVEN_B = ModelSize(7_615_616_512, 28, 3584, 18_944, 512, 152_064)
ONE_B = ModelSize(1_543_714_304, 28, 1536, 8960, 256, 151_936)
GPUS = (
    "--gpus 8 --bf16 --flash_attn --rollout_batch_size 128 --train_batch_size 128 "
    "--train_batch_size_per_device 1 --generate_max_length 3000 --vllm_gpu_ratio 0.35 "
)


@functools.cache
def memory(flags: str, size: ModelSize = SEVEN_B) -> Memory:
    args = parse(flags.split())
    return estimate(args, plan(args, num_cores=2), size)


def part(parts: tuple[Part, ...], name: str) -> Part:
    (found,) = [part for part in parts if part.name == name]
    return found


@pytest.mark.parametrize(
    ("stage", "weights", "gradients", "optimizer"),
    # Bytes a parameter on one of 8 ranks, bf16: weights 2, gradient sums 4, master and moments 12.
    [(1, 2, 4, 12 / 8), (2, 2, 4 / 8, 12 / 8), (3, 2 / 8, 4 / 8, 12 / 8)],
)
def test_zero_shards_one_thing_more_a_stage(
    stage: int, weights: float, gradients: float, optimizer: float
):
    learner = memory(f"{GPUS} --collocate --zero_stage {stage}").learner
    for name, expected in (
        ("weights", weights),
        ("gradients", gradients),
        ("optimizer", optimizer),
    ):
        found = part(learner, name)
        assert found.num_bytes == pytest.approx(expected * SEVEN_B.parameters, rel=1e-6)
        assert found.on_gpu


@pytest.mark.parametrize(
    ("flags", "at_rest", "at_peak"),
    # Resident memory of one rank training 101 M parameters in linear layers on the CPU, bytes a
    # parameter, DeepSpeed 0.19.8; the activations of its eight rows are nothing.
    [
        ("--zero_stage 0", 12.1, 20.8),
        ("--zero_stage 1", 16.6, 32.9),
        ("--zero_stage 2", 16.6, 29.0),
        ("--zero_stage 3", 24.9, 43.6),
        ("--zero_stage 1 --bf16", 18.6, 29.0),
        ("--zero_stage 2 --bf16", 14.6, 26.8),
        ("--zero_stage 3 --bf16", 20.8, 38.3),
    ],
)
def test_deepspeed_keeps_what_was_measured(flags: str, at_rest: float, at_peak: float):
    parameters = 101_000_000
    learner = memory(flags, ModelSize(parameters, 24, 2048, 2048, 2048, 1)).learner
    states = tuple(part for part in learner if part.when != "passes" and "Python" not in part.name)
    rest, peak = rest_bytes(states, on_gpu=False), peak_bytes(states, on_gpu=False)
    assert rest / parameters == pytest.approx(at_rest, rel=0.11)
    assert peak / parameters == pytest.approx(at_peak, rel=0.11)
    assert rest_bytes(learner, on_gpu=True) == 0


def test_offloaded_states_move_to_the_host():
    flags = f"{GPUS} --collocate --beta 0.1"
    at_home, offloaded = (
        memory(flags).learner,
        memory(f"{flags} --adam_offload --ref_offload").learner,
    )
    for name in ("optimizer", "update", "reference model"):
        assert part(at_home, name).on_gpu and not part(offloaded, name).on_gpu
    held = [
        sum(p.num_bytes for p in parts if p.when != "scoring") for parts in (at_home, offloaded)
    ]
    assert held[0] == held[1]
    in_use = part(offloaded, "reference model in use")
    assert in_use.on_gpu and in_use.num_bytes == part(at_home, "reference model").num_bytes
    assert peak_bytes(offloaded, on_gpu=True) < peak_bytes(at_home, on_gpu=True)


def test_scoring_counts_where_it_needs_more_than_a_step():
    parts = (
        Part("weights", 10, True),
        Part("reference", 7, True, "scoring"),
        Part("gradients", 2, True, "step"),
        Part("activations", 3, True, "passes"),
        Part("update", 4, True, "update"),
    )
    assert peak_bytes(parts, on_gpu=True) == 10 + 7
    assert peak_bytes(parts[:1] + parts[2:], on_gpu=True) == 10 + 2 + 4


def test_the_reference_is_whole_on_every_rank():
    learner = memory(f"{GPUS} --collocate --zero_stage 3 --beta 0.1").learner
    assert part(learner, "reference model").num_bytes == 2 * SEVEN_B.parameters
    assert part(learner, "weights").num_bytes == 2 * SEVEN_B.parameters // 8


def test_a_reference_model_is_held_only_when_a_loss_or_reward_asks_for_it():
    stored = "--algo dpo --preference_data pairs.jsonl --train_batch_size 0"
    for flags, is_held in (
        ("", False),
        ("--beta 0.1", True),
        ("--kl_penalty_coef 0.1", True),
        ("--algo dpo --train_batch_size 64", True),
        ("--algo dpo --train_batch_size 64 --preference_loss simpo", False),
        (stored, True),
        (f"{stored} --precompute_ref_logprobs", False),
        ("--algo sft --sft_data a.jsonl", False),
        ("--algo value --value_data a.jsonl", False),
    ):
        names = [part.name for part in memory(f"{GPUS} --collocate {flags}").learner]
        assert ("reference model" in names) == is_held


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_activations_are_what_pytorch_saves(dtype: Dtype, checkpointing: bool):
    """Bytes that a Qwen2 forward pass saves, a layer (difference of two depths).

    Of distinct tensors, and of all copies as page-locked memory is given out.
    """
    hidden, intermediate, heads, kv_heads, tokens = 64, 160, 4, 2, 32

    def saved(layers: int) -> tuple[int, int]:
        config = Qwen2Config(
            hidden_size=hidden,
            intermediate_size=intermediate,
            num_attention_heads=heads,
            num_key_value_heads=kv_heads,
            num_hidden_layers=layers,
            vocab_size=64,
            use_cache=False,
        )
        model = AutoModelForCausalLM.from_config(
            config, attn_implementation="sdpa", dtype=getattr(torch, dtype)
        )
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}
        storages: dict[int, int] = {}
        kept = []
        copies = []

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            storage = tensor.untyped_storage()
            kept.append(tensor)
            if storage.data_ptr() not in parameters:
                storages[storage.data_ptr()] = storage.nbytes()
                copies.append(1 << (tensor.nbytes - 1).bit_length())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            model.train().base_model(torch.zeros(1, tokens, dtype=torch.long))
        return sum(storages.values()), sum(copies)

    kv_size = hidden // heads * kv_heads
    size = ModelSize(1, 1, hidden, intermediate, kv_size, 64)
    args = parse([])
    is_half, is_brain = dtype == "float16", dtype == "bfloat16"
    model = replace(args.model, bf16=is_brain, fp16=is_half, gradient_checkpointing=checkpointing)
    args = replace(args, model=model)
    found = np.subtract(saved(6), saved(2))
    for place, estimated in enumerate((activation_bytes, offloaded_bytes)):
        few, many = (estimated(args, replace(size, layers=layers), tokens) for layers in (2, 6))
        # Cosines, sines and the norms' factors, little in a model of another size, are not counted.
        assert found[place] == pytest.approx(many - few, rel=(0.03, 0.05)[place])


def test_offloaded_activations_move_to_the_host():
    flags = f"{GPUS} --collocate --gradient_checkpointing"
    at_home, offloaded = memory(flags).learner, memory(f"{flags} --activation_offload").learner
    assert part(at_home, "activations").on_gpu
    assert not part(offloaded, "activations").on_gpu
    whole = part(at_home, "activations").num_bytes
    one_layer = part(offloaded, "activations of one layer")
    assert one_layer.on_gpu and one_layer.num_bytes == whole - 4024 * 2 * 28 * 3584
    # 4024 x 3584 x 2 bytes are 27.5 MiB, of which 32 are given out, for each of 28 layers.
    assert part(offloaded, "activations").num_bytes == 28 * 2**25


@pytest.mark.parametrize("is_tied", [False, True])
def test_a_value_model_trains_its_own_head_and_not_that_of_the_vocabulary(is_tied: bool):
    size = replace(ONE_B, is_tied=is_tied)
    args = parse(["--algo", "value", "--value_data", "a.jsonl"])
    frozen = 0 if is_tied else 151_936 * 1536
    assert trained_parameters(args, size) == size.parameters + 1537 - frozen
    joint = replace(args, value=replace(args.value, value_joint=True))
    assert trained_parameters(joint, size) == size.parameters + 1537
    names = [part.name for part in estimate(args, plan(args, num_cores=2), size).learner]
    assert "logits" not in names
    adapters = replace(args, lora=LoraArgs(lora_rank=4))
    without_head = trained_parameters(parse(["--lora_rank", "4"]), size)
    assert trained_parameters(adapters, size) == without_head + 1537


def test_a_value_head_beside_preference_learning_is_counted():
    flags = ["--algo", "dpo", "--preference_data", "pairs.jsonl"]
    assert trained_parameters(parse(flags), ONE_B) == ONE_B.parameters
    valued = parse([*flags, "--pair_value_weight", "0.1"])
    assert trained_parameters(valued, ONE_B) == ONE_B.parameters + 1537


def test_a_second_model_is_counted_by_its_own_parameters():
    args = parse(f"{GPUS} --collocate".split())
    parts = state_parts(args, ModelStates(1000, 1000, "critic"), 8, on_gpu=True)
    assert [part.name for part in parts] == [
        f"critic {name}"
        for name in ("weights", "optimizer", "gradients", "communication", "update")
    ]
    assert part(parts, "critic weights").num_bytes == 2000
    assert part(parts, "critic optimizer").num_bytes == 12 * 1000 // 8


def test_a_separate_critic_is_counted_with_its_own_size_and_a_shared_one_as_a_head():
    flags = "--critic_type ppo --zero_stage 0".split()
    args = parse(flags)
    found = estimate(args, plan(args, num_cores=2), SEVEN_B, ONE_B).learner
    assert part(found, "critic's weights").num_bytes == 4 * (ONE_B.parameters + ONE_B.hidden + 1)
    vocabulary = 0 if ONE_B.is_tied else ONE_B.vocabulary * ONE_B.hidden
    trained = ONE_B.parameters + ONE_B.hidden + 1 - vocabulary
    assert part(found, "critic's optimizer").num_bytes == 8 * trained
    shared = parse([*flags, "--critic_trunk", "shared"])
    names = [each.name for each in estimate(shared, plan(shared, num_cores=2), SEVEN_B).learner]
    assert not any("critic" in name for name in names)
    assert trained_parameters(shared, SEVEN_B) == SEVEN_B.parameters + SEVEN_B.hidden + 1


def test_logits_are_bounded_as_the_learner_bounds_them():
    assert LOGITS_AT_ONCE == MAX_LOGITS
    head = 4 * SEVEN_B.vocabulary * SEVEN_B.hidden
    for flags in ("", "--zero_stage 3"):
        found = part(memory(f"{GPUS} --collocate {flags}").learner, "logits")
        assert found.num_bytes == 4 * MAX_LOGITS + 2 * head
    args = parse([])
    tokens = plan(args, num_cores=2).batches.micro_batch_tokens
    few = part(memory("", replace(SEVEN_B, vocabulary=512)).learner, "logits")
    assert tokens * 512 < MAX_LOGITS
    assert few.num_bytes == 4 * 512 * tokens + 4 * 512 * SEVEN_B.hidden


@pytest.mark.parametrize("targets", ["linear", "attention"])
def test_adapters_are_counted_as_peft_makes_them(targets: str):
    config = Qwen2Config(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    model = AutoModelForCausalLM.from_config(config)
    args = parse(["--lora_rank", "4", "--lora_targets", targets])
    add_adapters(model, args.lora)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert trained_parameters(args, ModelSize(1, 2, 32, 96, 16, 64)) == trained


def test_adapters_need_little_besides_the_weights():
    whole, adapters = (memory(f"{GPUS} --collocate {lora}") for lora in ("", "--lora_rank 16"))
    assert part(adapters.learner, "weights") == part(whole.learner, "weights")
    for name in ("optimizer", "gradients", "update"):
        share = part(adapters.learner, name).num_bytes / part(whole.learner, name).num_bytes
        assert share < 0.01


def test_keys_and_values_of_published_models():
    """Qwen2.5-7B: 28 layers x 2 x 4 heads x 128 x 2 bytes = 56 KiB a token."""
    args = parse([*GPUS.split(), "--collocate"])
    assert kv_bytes_per_token(args, SEVEN_B) == 56 * 1024
    assert longest_sequence(args) == 4024
    split = replace(args, cluster=replace(args.cluster, num_gpus_per_actor=2))
    assert kv_bytes_per_token(split, SEVEN_B) == 28 * 1024


def test_the_published_runs_fit_where_they_ran_and_not_where_they_cannot():
    """1.5B ran on A100s of 40 GB; at --vllm_gpu_ratio 0.35 the 7B's weights alone exceed the share."""
    flags = f"{GPUS} --collocate --vllm_sleep --gradient_checkpointing"
    small = {fit.size_gib: fit.fits for fit in memory(flags, ONE_B).fits}
    large = {fit.size_gib: fit.fits for fit in memory(flags, SEVEN_B).fits}
    assert small[40] and small[80] and small[141]
    assert not large[24] and not large[40] and large[80]


def test_sleeping_makes_room_for_training_and_splitting_for_both():
    flags = f"{GPUS} --gradient_checkpointing"
    awake, asleep, split = (
        memory(f"{flags} {more}").fits[2]
        for more in ("--collocate", "--collocate --vllm_sleep", "")
    )
    assert asleep.training_bytes < awake.training_bytes
    assert asleep.sampling_bytes == awake.sampling_bytes
    assert split.sampling_bytes < awake.sampling_bytes
    assert split.training_bytes < awake.training_bytes


def test_more_of_anything_never_takes_less():
    def peak(flags: str) -> int:
        return peak_bytes(memory(f"{GPUS} --collocate {flags}").learner, on_gpu=True)

    for ladder in (
        ("--zero_stage 2", "--zero_stage 1"),
        ("--gradient_checkpointing", "--no-gradient_checkpointing"),
        ("--generate_max_length 100", "--generate_max_length 3000", "--generate_max_length 8000"),
        ("--train_batch_size_per_device 1", "--train_batch_size_per_device 4"),
        ("--gpus 16", "--gpus 8", "--gpus 4"),
    ):
        peaks = [peak(flags) for flags in ladder]
        assert all(less < more for less, more in itertools.pairwise(peaks)), ladder


def test_weights_are_published_through_shared_memory_only_where_they_must():
    for flags, expected in (("", 0), ("--weight_transfer ray", 2 * SEVEN_B.parameters)):
        assert memory(f"{GPUS} --collocate {flags}").published_bytes == expected


def test_a_fit_needs_room_for_one_sequence():
    fit = memory(f"{GPUS} --collocate").fits[0]
    assert fit.size_gib * GIB > 0 and fit.sequences == 0 and not fit.fits


def test_defaults_are_estimated_without_a_gpu():
    args = Args()
    found = estimate(args, plan(args, num_cores=2), ONE_B)
    assert found.fits == ()
    assert found.published_bytes == 4 * ONE_B.parameters
    assert peak_bytes(found.actor, on_gpu=True) == 0
