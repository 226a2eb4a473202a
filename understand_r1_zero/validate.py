"""Flags that cannot go together, refused before anything starts."""

import math
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from understand_r1_zero.args import Args, ClusterArgs, OptimArgs
from understand_r1_zero.args_critic import CriticArgs
from understand_r1_zero.args_lora import ENGINE_RANKS
from understand_r1_zero.grading.conventions import check_grading
from understand_r1_zero.plan import learners_cover_actors, process_counts
from understand_r1_zero.unread import unread_flags
from understand_r1_zero.validate_preference import preference_refusals
from understand_r1_zero.validate_search import search_refusals
from understand_r1_zero.workload import train_batch_refusal

_AT_LEAST: dict[str, dict[str, float]] = {
    "cluster": {"gpus": 0, "num_gpus_per_actor": 1, "num_actors": 0, "num_learners": 0},
    "data": {"max_train": 1, "num_prompt_epoch": 1, "prompt_max_length": 1},
    "sampling": {
        "rollout_batch_size": 1,
        "num_samples": 1,
        "generate_max_length": 1,
        "max_staleness": 0,
    },
    "reward": {"overlong_buffer_tokens": 0, "overlong_penalty": 0},
    "algorithm": {"num_ppo_epochs": 1, "cliprange": 0, "beta": 0, "kl_penalty_coef": 0, "tis_c": 0},
    "policy": {
        "cliprange_high": 0,
        "dual_clip": 0,
        "ref_refresh_steps": 0,
        "ent_coef": 0,
        "max_refills": 1,
    },
    "optim": {
        "learning_rate": 0,
        "train_batch_size": 0,
        "train_batch_size_per_device": 1,
        "max_tokens_per_micro_batch": 1,
        "max_norm": 0,
        "l2": 0,
        "sync_params_every": 1,
        "loss_scale_power": 1,
    },
    "critic": {
        "lam": 0,
        "critic_learning_rate": 0,
        "critic_warmup_steps": 0,
        "vf_coef": 0,
        "cliprange_value": 0,
    },
    "lora": {"lora_rank": 0},
    "checkpoint": {"max_save_num": 1},
    "supervised": {"sft_max_length": 0, "rft_max_per_problem": 0},
    "value": {"value_beta": 0},
    "evaluation": {"eval_n": 1, "eval_temperature": 0, "max_eval": 1},
}
_FINITE = {
    "reward": (
        "correct_reward",
        "incorrect_reward",
        "format_reward",
        "non_stop_fixed_reward",
        "overlong_penalty",
    ),
    "policy": ("reward_scale", "ent_coef"),
    "critic": ("critic_learning_rate", "vf_coef", "cliprange_value"),
}
_SHARES = {
    "cluster": ("vllm_gpu_ratio",),
    "sampling": ("top_p",),
    "policy": ("gamma",),
    "evaluation": ("eval_top_p",),
}
_COUNTS_OR_NEVER = {
    "run": ("max_steps",),
    "checkpoint": ("save_steps",),
    "evaluation": ("eval_steps",),
    "sampling": ("top_k",),
}
_NEED_A_GROUP = ("drgrpo", "grpo", "rloo", "reinforce_pp_baseline")
_LARGEST_SCALE_POWER = 32
"""DeepSpeed's own largest default."""
_SCHEDULERS = ("constant", "linear", "cosine", "cosine_with_min_lr")


def validate(args: Args) -> None:
    """Raise ValueError, one line a refusal, each with the flag, its value and what to do."""
    errors = list(_ranges(args))
    if not errors:
        errors += [*_devices(args), *_batches(args), *_sampling(args), *_determinism(args)]
        errors += [*_rewards(args), *_adapters(args), *_policy_gradient(args), *_critic(args)]
        errors += [*preference_refusals(args), *_supervised(args), *_precision(args)]
        errors += search_refusals(args)
    if not errors:
        errors += unread_flags(args)
    if errors:
        raise ValueError("\n".join(errors))


def _ranges(args: Args) -> Iterator[str]:
    for owner, bounds in _AT_LEAST.items():
        for name, least in bounds.items():
            value = getattr(getattr(args, owner), name)
            if not value >= least:
                yield f"--{name} must be at least {least}, got {value}"
    for name, value in _values(args, _SHARES):
        if not 0 < value <= 1:
            yield f"--{name} must be above 0 and at most 1, got {value}"
    for name, value in _values(args, _COUNTS_OR_NEVER):
        if value != -1 and value < 1:
            yield f"--{name} must be at least 1, or -1 (see --help), got {value}"
    if args.optim.lr_scheduler not in _SCHEDULERS:
        yield (
            f"--lr_scheduler must be one of {', '.join(_SCHEDULERS)}, got {args.optim.lr_scheduler}"
        )
    try:
        check_grading(args.grading)
    except ValueError as error:
        yield str(error)


def _values(args: Args, names: dict[str, tuple[str, ...]]) -> Iterator[tuple[str, Any]]:
    for owner, flags in names.items():
        for name in flags:
            yield name, getattr(getattr(args, owner), name)


def _devices(args: Args) -> Iterator[str]:
    cluster, transfer = args.cluster, args.cluster.weight_transfer
    try:
        process_counts(args)
    except ValueError as error:
        yield str(error)
    if cluster.gpus == 0:
        yield from _without_gpus(args)
        return
    if cluster.vllm_sleep and not cluster.collocate:
        yield "--vllm_sleep needs --collocate: a sampler on its own GPUs has no reason to sleep"
    if cluster.vllm_sleep and args.sampling.max_staleness:
        yield (
            f"--vllm_sleep cannot go with --max_staleness {args.sampling.max_staleness}: "
            "the sampler would have to work while it sleeps; drop one"
        )
    if transfer == ("nccl" if cluster.collocate else "ipc"):
        yield (
            f"--weight_transfer {transfer} is for {'split' if cluster.collocate else 'collocated'} "
            "GPUs; leave it at auto"
        )
    elif transfer == "ipc" and not learners_cover_actors(cluster):
        yield (
            f"--weight_transfer ipc needs a learner on every GPU of an actor, got --num_learners "
            f"{cluster.num_learners}; raise it, or leave --weight_transfer at auto"
        )
    if args.model.flash_attn and args.model.dtype == "float32":
        yield "--flash_attn needs --bf16 or --fp16: FlashAttention has no float32 kernels"
    if args.optim.adam_offload and args.optim.zero_stage == 0:
        yield "--adam_offload needs --zero_stage 1, 2 or 3: DeepSpeed leaves it out at stage 0, got 0"
    if (
        args.model.activation_offload
        and args.optim.zero_stage == 3
        and not args.model.gradient_checkpointing
    ):
        yield (
            "--activation_offload with --zero_stage 3 would move the gathered weights of every layer "
            "too; add --gradient_checkpointing, or use --zero_stage 2"
        )


def _precision(args: Args) -> Iterator[str]:
    model, optim = args.model, args.optim
    if model.bf16 and model.fp16:
        yield "--bf16 and --fp16 cannot go together; drop one"
    elif model.dtype != "float32" and optim.zero_stage == 0:
        fault = (
            "trains without float32 master weights and diverges"
            if model.bf16
            else "adds up the gradients of micro-batches in float16"
        )
        flag = "--bf16" if model.bf16 else "--fp16"
        yield f"--zero_stage 0 with {flag} {fault}; use --zero_stage 1 or 2"
    if optim.loss_scale_power > _LARGEST_SCALE_POWER:
        yield (
            f"--loss_scale_power must be at most {_LARGEST_SCALE_POWER}, got {optim.loss_scale_power}"
        )
    elif optim.loss_scale_power != OptimArgs().loss_scale_power and not model.fp16:
        yield f"--loss_scale_power {optim.loss_scale_power} changes nothing without --fp16; drop it"


def _without_gpus(args: Args) -> Iterator[str]:
    for flag, given in (
        ("--flash_attn", args.model.flash_attn),
        ("--fp16", args.model.fp16),
        ("--activation_offload", args.model.activation_offload),
        ("--adam_offload", args.optim.adam_offload),
        ("--ref_offload", args.optim.ref_offload),
        (
            f"--num_gpus_per_actor {args.cluster.num_gpus_per_actor}",
            args.cluster.num_gpus_per_actor > 1,
        ),
        (
            f"--vllm_gpu_ratio {args.cluster.vllm_gpu_ratio}",
            args.cluster.vllm_gpu_ratio != ClusterArgs().vllm_gpu_ratio,
        ),
        ("--vllm_sleep", args.cluster.vllm_sleep),
        (
            f"--weight_transfer {args.cluster.weight_transfer}",
            args.cluster.weight_transfer in ("nccl", "ipc"),
        ),
    ):
        if given:
            yield f"{flag} needs a GPU, got --gpus 0; drop it, or give --gpus"


def _batches(args: Args) -> Iterator[str]:
    refusal = train_batch_refusal(args)
    if refusal:
        yield refusal


def _sampling(args: Args) -> Iterator[str]:
    sampling, evaluation = args.sampling, args.evaluation
    needs_group = args.algorithm.algo == "ppo" and args.algorithm.critic_type in _NEED_A_GROUP
    if sampling.num_samples < 2 and needs_group:
        yield (
            f"--num_samples must be at least 2 for --critic_type {args.algorithm.critic_type}, got "
            f"{sampling.num_samples}: the advantage of a response alone in its group is always 0"
        )
    if sampling.num_samples < 2 and args.algorithm.algo == "dpo" and not args.learns_from_file:
        yield (
            f"--num_samples must be at least 2 for --algo dpo, got {sampling.num_samples}: a pair is of "
            "one group; raise it, or give --preference_data"
        )
    if not sampling.temperature > 0:
        yield (
            f"--temperature must be above 0, got {sampling.temperature}: greedy responses of a "
            "group are all the same; use 1"
        )
    if evaluation.eval_n > 1 and evaluation.eval_temperature == 0:
        yield (
            f"--eval_n must be 1 with --eval_temperature 0, got {evaluation.eval_n}: greedy "
            "responses are all the same; set --eval_temperature, to 0.6 for example"
        )
    generation = max(sampling.generate_max_length, evaluation.eval_generate_max_length)
    longest = args.data.prompt_max_length + generation
    if 0 < args.model.max_model_len < longest:
        yield (
            f"--max_model_len must hold --prompt_max_length {args.data.prompt_max_length} and the "
            f"longest generation, {generation}, got {args.model.max_model_len}; raise it to "
            f"{longest}, or leave it out"
        )


def _adapters(args: Args) -> Iterator[str]:
    if not args.lora.lora_alpha > 0:
        yield f"--lora_alpha must be above 0, got {args.lora.lora_alpha}; use 16"
    if args.lora.lora_publish == "merged":
        return
    if args.lora.lora_rank == 0:
        yield "--lora_publish adapters needs --lora_rank, got 0; give one, or drop --lora_publish"
    if args.lora.lora_rank > ENGINE_RANKS[-1]:
        yield (
            f"--lora_rank must be at most {ENGINE_RANKS[-1]} with --lora_publish adapters, got "
            f"{args.lora.lora_rank}: vLLM takes no more; lower it, or use --lora_publish merged"
        )
    if args.cluster.gpus and args.cluster.weight_transfer != "ray":
        yield (
            "--lora_publish adapters needs --weight_transfer ray on GPUs, got "
            f"{args.cluster.weight_transfer}: adapters go through host memory, being small; add it"
        )


def _policy_gradient(args: Args) -> Iterator[str]:
    algorithm, policy = args.algorithm, args.policy
    loss = policy.policy_loss
    if not algorithm.cliprange <= 1:
        yield f"--cliprange must be at most 1, got {algorithm.cliprange}: ratios are not negative"
    highest = 1 + (policy.cliprange_high or algorithm.cliprange)
    if 0 < policy.dual_clip <= highest:
        yield (
            f"--dual_clip must be above 1 + the upper clip, {highest:g}, or 0 for off, got "
            f"{policy.dual_clip}; use 3"
        )
    has_reference = algorithm.beta > 0 or algorithm.kl_penalty_coef > 0
    for name, default, wanted, is_met in (
        ("dual_clip", 0, "--policy_loss ppo or gspo", loss in ("ppo", "gspo")),
        ("cliprange_high", 0, "a --policy_loss that clips", loss != "reinforce"),
        ("kl_estimator", "k3", "--beta above 0", algorithm.beta > 0),
        ("ref_refresh_steps", 0, "--beta or --kl_penalty_coef above 0", has_reference),
        ("is_level", "token", "--tis_c above 0", algorithm.tis_c > 0),
        ("is_mode", "truncate", "--tis_c above 0", algorithm.tis_c > 0),
        ("filter_zero_variance", False, "a group (--num_samples 2)", args.sampling.num_samples > 1),
    ):
        value = getattr(policy, name)
        if value != default and not is_met:
            yield f"--{name} {value} needs {wanted}, without which it changes nothing; drop it"


def _critic(args: Args) -> Iterator[str]:
    critic, default = args.critic, CriticArgs()
    given = [f.name for f in fields(critic) if getattr(critic, f.name) != getattr(default, f.name)]
    if args.algorithm.critic_type != "ppo":
        for name in given:
            yield f"--{name} {getattr(critic, name)} needs --critic_type ppo: no other has a critic"
        return
    if not critic.lam <= 1:
        yield f"--lam must be at most 1, got {critic.lam}"
    if critic.vf_coef == 0:
        yield "--vf_coef must be above 0, or the critic learns nothing; use 1"
    if critic.critic_trunk == "shared":
        for name in ("critic_pretrain", "critic_learning_rate", "critic_warmup_steps"):
            if name in given:
                yield (
                    f"--{name} {getattr(critic, name)} needs --critic_trunk separate: a shared one is "
                    "the policy's model, trained with it"
                )


def _rewards(args: Args) -> Iterator[str]:
    for name, value in _values(args, _FINITE):
        if not math.isfinite(value):
            yield f"--{name} must be a finite number, got {value}"
    buffer_tokens = args.reward.overlong_buffer_tokens
    max_tokens = args.sampling.generate_max_length
    if buffer_tokens and buffer_tokens >= max_tokens:
        yield (
            f"--overlong_buffer_tokens must be below --generate_max_length {max_tokens}, got "
            f"{buffer_tokens}; DAPO's is a fifth of it, here {max_tokens // 5}"
        )
    if args.oracle.audit_grader and not args.oracle.is_rule_based:
        yield (
            f"--audit_grader compares the presets of --oracle math, got --oracle "
            f"{args.oracle.oracle}; drop one"
        )


def _supervised(args: Args) -> Iterator[str]:
    for algo, flag, given in (
        ("sft", "sft_data", args.supervised.sft_data),
        ("value", "value_data", args.value.value_data),
    ):
        if (args.algorithm.algo == algo) != bool(given):
            yield f"--algo {algo} and --{flag} FILE go together; give both or neither"
    if args.preference.preference_data and args.algorithm.algo != "dpo":
        yield "--preference_data is for --algo dpo; add it, or drop the file"
    yield from _holdout(args)
    value = args.value
    if value.value_loss == "bce" and value.value_head == "tanh":
        yield (
            "--value_loss bce takes the bare output as the logit of a probability, got --value_head "
            "tanh; use --value_head linear, or --value_loss mse"
        )
    if value.value_joint and value.value_loss == "ranking":
        yield (
            "--value_joint goes with --value_loss mse or bce, got ranking, which compares solutions "
            "and has no policy loss of its own; drop one"
        )


def _holdout(args: Args) -> Iterator[str]:
    share = args.evaluation.holdout
    if not 0 <= share < 1:
        yield f"--holdout must be at least 0 and below 1, got {share}"
    elif share and not args.learns_from_file:
        yield (
            f"--holdout {share} needs examples of a file (--sft_data, --value_data or "
            "--preference_data): nothing that is sampled can be held out; drop it"
        )
    elif share and args.evaluation.eval_steps == -1:
        yield f"--holdout {share} is evaluated every --eval_steps, got -1; give these, or drop it"


def _determinism(args: Args) -> Iterator[str]:
    if not args.run.deterministic:
        return
    for flag, given in (
        (f"--gpus {args.cluster.gpus}", args.cluster.gpus > 0),
        (f"--max_staleness {args.sampling.max_staleness}", args.sampling.max_staleness > 0),
        ("--bf16", args.model.bf16),
        ("--fp16", args.model.fp16),
    ):
        if given:
            yield f"--deterministic cannot go with {flag}; drop one of them"
