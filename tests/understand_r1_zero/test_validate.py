"""Flags that cannot go together: every refusal names the flag, its value and what to do."""

from collections.abc import Callable

import pytest

from understand_r1_zero.args import RewardArgs
from understand_r1_zero.cli import parse

Refusal = Callable[..., str]


@pytest.mark.parametrize(
    ("argv", "parts"),
    [
        (
            "--rollout_batch_size 64 --num_samples 8 --train_batch_size 100",
            ["64 x --num_samples 8 = 512", "64 or 128"],
        ),
        (
            "--rollout_batch_size 64 --num_samples 8 --train_batch_size 1024",
            ["1024", "nearest possible: --train_batch_size 512"],
        ),
        ("--gpus 1", ["--gpus 1", "--collocate", "--gpus to 2"]),
        (
            "--gpus 3 --num_gpus_per_actor 2 --collocate --num_learners 1",
            ["--num_learners", "2 GPUs"],
        ),
        ("--gpus 2 --num_actors 3 --collocate", ["--num_actors", "at most 2 actors"]),
        ("--vllm_sleep --gpus 2", ["--vllm_sleep needs --collocate"]),
        ("--vllm_sleep --gpus 2 --collocate --max_staleness 1", ["--max_staleness 1"]),
        ("--weight_transfer nccl --gpus 2 --collocate", ["--weight_transfer nccl", "auto"]),
        ("--weight_transfer ipc --gpus 2", ["--weight_transfer ipc", "auto"]),
        (
            "--weight_transfer ipc --gpus 2 --collocate --num_learners 1",
            ["--weight_transfer ipc", "every GPU of an actor", "--num_learners 1", "auto"],
        ),
        ("--weight_transfer nccl", ["--weight_transfer nccl needs a GPU"]),
        ("--flash_attn", ["--flash_attn needs a GPU", "--gpus 0"]),
        ("--flash_attn --gpus 2", ["--flash_attn needs --bf16 or --fp16"]),
        ("--fp16", ["--fp16 needs a GPU", "--gpus 0"]),
        ("--activation_offload", ["--activation_offload needs a GPU", "--gpus 0"]),
        ("--adam_offload", ["--adam_offload needs a GPU", "--gpus 0"]),
        ("--ref_offload --beta 0.1", ["--ref_offload needs a GPU", "--gpus 0"]),
        ("--num_gpus_per_actor 2", ["--num_gpus_per_actor 2 needs a GPU"]),
        ("--vllm_gpu_ratio 0.5", ["--vllm_gpu_ratio 0.5 needs a GPU"]),
        ("--gpus 2 --fp16 --bf16", ["--bf16 and --fp16 cannot go together"]),
        (
            "--gpus 2 --fp16 --zero_stage 0",
            ["--zero_stage 0 with --fp16", "--zero_stage 1 or 2"],
        ),
        ("--gpus 2 --adam_offload --zero_stage 0", ["--adam_offload needs --zero_stage 1, 2 or 3"]),
        (
            "--gpus 2 --activation_offload --zero_stage 3",
            ["--activation_offload with --zero_stage 3", "--gradient_checkpointing"],
        ),
        ("--loss_scale_power 8", ["--loss_scale_power 8 changes nothing without --fp16"]),
        (
            "--gpus 2 --fp16 --loss_scale_power 40",
            ["--loss_scale_power must be at most 32, got 40"],
        ),
        ("--loss_scale_power 0", ["--loss_scale_power must be at least 1, got 0"]),
        (
            "--algo sft --sft_data a.jsonl --train_batch_size 128",
            ["--train_batch_size must be at most 64, got 128", "so many examples"],
        ),
        (
            "--algo dpo --train_batch_size 65",
            ["--train_batch_size must be at most 64, got 65", "at most so many pairs"],
        ),
        ("--bf16 --zero_stage 0", ["--zero_stage 0 with --bf16"]),
        (
            "--critic_type grpo --num_samples 1 --rollout_batch_size 64 --train_batch_size 64",
            ["--num_samples", "--critic_type grpo", "got 1"],
        ),
        ("--lora_rank -1", ["--lora_rank must be at least 0, got -1"]),
        ("--lora_alpha 0", ["--lora_alpha must be above 0", "got 0.0"]),
        ("--lora_publish adapters", ["--lora_publish adapters needs --lora_rank, got 0"]),
        (
            "--lora_publish adapters --lora_rank 513",
            ["--lora_rank must be at most 512", "got 513", "--lora_publish merged"],
        ),
        (
            "--lora_publish adapters --lora_rank 8 --gpus 2",
            ["needs --weight_transfer ray on GPUs, got auto"],
        ),
        ("--temperature 0", ["--temperature must be above 0, got 0.0"]),
        ("--eval_n 4", ["--eval_n must be 1 with --eval_temperature 0, got 4"]),
        (
            "--max_model_len 100 --prompt_max_length 1024 --generate_max_length 64",
            ["--max_model_len", "got 100", "1088"],
        ),
        ("--deterministic --max_staleness 1", ["--deterministic", "--max_staleness 1"]),
        ("--deterministic --bf16", ["--deterministic", "--bf16"]),
        ("--deterministic --gpus 2", ["--deterministic", "--gpus 2"]),
        ("--top_p 0", ["--top_p must be above 0 and at most 1, got 0.0"]),
        ("--eval_steps 0", ["--eval_steps must be at least 1, or -1", "got 0"]),
        ("--num_samples 0", ["--num_samples must be at least 1, got 0"]),
        ("--learning_rate nan", ["--learning_rate must be at least 0, got nan"]),
        (
            "--overlong_buffer_tokens 64 --generate_max_length 64",
            ["--overlong_buffer_tokens", "--generate_max_length 64, got 64", "here 12"],
        ),
        ("--overlong_buffer_tokens -1", ["--overlong_buffer_tokens must be at least 0, got -1"]),
        ("--overlong_penalty -1", ["--overlong_penalty must be at least 0, got -1.0"]),
        ("--overlong_penalty inf", ["--overlong_penalty must be a finite number, got inf"]),
        ("--correct_reward nan", ["--correct_reward must be a finite number, got nan"]),
        ("--format_reward -inf", ["--format_reward must be a finite number, got -inf"]),
        (
            "--audit_grader --oracle mine:Oracle",
            ["--audit_grader", "--oracle math", "mine:Oracle"],
        ),
        ("--cliprange 1.5", ["--cliprange must be at most 1, got 1.5"]),
        ("--cliprange_high -0.1", ["--cliprange_high must be at least 0, got -0.1"]),
        (
            "--dual_clip 0.5",
            ["--dual_clip must be above 1 + the upper clip, 1.2, or 0 for off, got 0.5"],
        ),
        ("--dual_clip 3 --policy_loss cispo", ["--dual_clip 3.0", "--policy_loss ppo or gspo"]),
        (
            "--policy_loss reinforce --cliprange_high 0.3",
            ["--cliprange_high 0.3", "--policy_loss that clips"],
        ),
        ("--kl_estimator k2", ["--kl_estimator k2", "--beta above 0"]),
        ("--ref_refresh_steps 5", ["--ref_refresh_steps 5", "--beta or --kl_penalty_coef above 0"]),
        ("--is_level sequence --tis_c 0", ["--is_level sequence", "--tis_c above 0"]),
        ("--is_mode mask --tis_c 0", ["--is_mode mask", "--tis_c above 0"]),
        (
            "--filter_zero_variance --num_samples 1 --critic_type reinforce",
            ["--filter_zero_variance", "--num_samples 2"],
        ),
        ("--max_refills 0", ["--max_refills must be at least 1, got 0"]),
        ("--ent_coef nan", ["--ent_coef must be at least 0, got nan"]),
        ("--reward_scale inf", ["--reward_scale must be a finite number, got inf"]),
        ("--gamma 1.5", ["--gamma must be above 0 and at most 1, got 1.5"]),
        ("--critic_type rloo --num_samples 1", ["--num_samples", "--critic_type rloo"]),
        (
            "--algo dpo --preference_beta 0",
            ["--preference_beta must be a finite number above 0, got 0.0"],
        ),
        (
            "--algo dpo --sft_weight -1",
            ["--sft_weight must be a finite number of at least 0, got -1.0"],
        ),
        ("--algo dpo --len_reg_alpha inf", ["--len_reg_alpha must be a finite number", "got inf"]),
        (
            "--algo dpo --preference_loss cdpo --label_smoothing 0.5",
            ["--label_smoothing must be at least 0 and below 0.5, got 0.5"],
        ),
        ("--algo dpo --max_pairs_per_group 0", ["--max_pairs_per_group must be at least 1, got 0"]),
        (
            "--algo dpo --label_smoothing 0.2",
            ["--label_smoothing 0.2 changes nothing", "dpo", "cdpo or robust_dpo"],
        ),
        (
            "--algo dpo --preference_loss simpo --len_reg_alpha 0.1",
            ["--len_reg_alpha 0.1 changes nothing with --preference_loss simpo"],
        ),
        (
            "--algo dpo --preference_loss dpo --soft_labels margin",
            ["--soft_labels margin changes nothing", "cdpo or robust_dpo"],
        ),
        (
            "--algo dpo --pair_weights visits",
            ["--pair_weights visits needs --preference_data", "margin"],
        ),
        ("--algo sft", ["--algo sft and --sft_data FILE go together"]),
        ("--value_data values.jsonl", ["--algo value and --value_data FILE go together"]),
        ("--preference_data pairs.jsonl", ["--preference_data is for --algo dpo"]),
        (
            "--algo dpo --precompute_ref_logprobs",
            ["--precompute_ref_logprobs needs --preference_data"],
        ),
        (
            "--precompute_ref_logprobs --preference_loss simpo --algo dpo --preference_data pairs.jsonl",
            ["--precompute_ref_logprobs changes nothing", "simpo, which has no reference"],
        ),
        (
            "--algo dpo --preference_data pairs.jsonl --pair_value_weight -1",
            ["--pair_value_weight must be a finite number of at least 0, got -1.0"],
        ),
        (
            "--algo dpo --preference_data pairs.jsonl --pair_margin_weight nan",
            ["--pair_margin_weight must be a finite number of at least 0, got nan"],
        ),
        (
            "--algo dpo --pair_value_weight 0.1",
            ["--pair_value_weight needs --preference_data", "drop it"],
        ),
        ("--algo dpo --pair_margin_weight 0.1", ["--pair_margin_weight needs --preference_data"]),
        (
            "--algo dpo --preference_data pairs.jsonl --pair_value_weight 1 --pair_value_margin 0.5",
            ["--pair_value_margin 0.5 changes nothing without --pair_margin_weight"],
        ),
        (
            "--algo dpo --preference_data pairs.jsonl --value_head tanh",
            ["--value_head tanh changes nothing", "--pair_value_weight or --pair_margin_weight"],
        ),
        (
            "--algo sft --sft_data a.jsonl --pair_value_weight 0.1 --preference_data b.jsonl",
            ["--preference_data is for --algo dpo"],
        ),
        ("--preference_loss ipo", ["--preference_loss ipo changes nothing", "--algo dpo"]),
        ("--algo dpo --beta 0.1", ["--beta 0.1 changes nothing with --algo dpo", "--algo ppo"]),
        ("--algo rft --critic_type ppo", ["--critic_type ppo changes nothing", "--algo ppo"]),
        ("--algo rft --value_joint", ["--value_joint True changes nothing", "--algo value"]),
        (
            "--algo sft --sft_data sums.jsonl --filter_zero_variance",
            ["--filter_zero_variance True changes nothing", "--algo ppo or dpo or rft"],
        ),
        ("--algo dpo --num_samples 1", ["--num_samples must be at least 2 for --algo dpo, got 1"]),
        ("--dual_clip 1.25 --cliprange_high 0.28", ["--dual_clip must be above 1 + ", "1.28"]),
        ("--lr_scheduler warmup", ["--lr_scheduler must be one of constant", "got warmup"]),
    ],
)
def test_flags_that_cannot_go_together_are_refused(refusal: Refusal, argv: str, parts: list[str]):
    message = refusal(*argv.split())
    assert "\n" not in message
    assert all(part in message for part in parts), message


def test_any_finite_rewards_are_allowed():
    odd = "--correct_reward -1 --incorrect_reward 2 --format_reward -3 --non_stop_fixed_reward 9"
    args = parse([*odd.split(), "--overlong_buffer_tokens", "63", "--overlong_penalty", "0"])
    assert args.reward == RewardArgs(-1.0, 2.0, -3.0, 9.0, 63, 0.0)


@pytest.mark.parametrize("critic_type", ["reinforce", "reinforce_pp", "remax"])
def test_a_group_of_one_is_enough_where_the_baseline_is_not_the_groups(critic_type: str):
    args = parse(["--critic_type", critic_type, "--num_samples", "1"])
    assert args.responses_per_step == 64


@pytest.mark.parametrize(
    "argv",
    [
        "--algo dpo --preference_loss cdpo --label_smoothing 0.2 --len_reg_alpha 0.1",
        "--preference_loss robust_dpo --soft_labels visits --algo dpo --preference_data pairs.jsonl",
        "--algo dpo --preference_loss dpop --dpo_positive_lambda 5 --sft_weight 0.2",
        "--algo dpo --preference_loss simpo --gamma_beta_ratio 0.3 --preference_beta 2.5 --label_smoothing 0",
        "--precompute_ref_logprobs --algo dpo --preference_data pairs.jsonl --pair_weights visits",
        "--algo dpo --pairs correct_incorrect --max_pairs_per_group 1 --pair_weights margin",
        "--algo dpo --preference_data pairs.jsonl --pair_value_weight 0.1 --value_head tanh --sft_weight 1",
        "--algo dpo --preference_data pairs.jsonl --pair_margin_weight 0.1 --pair_value_margin 0.5 --precompute_ref_logprobs",
    ],
)
def test_preference_flags_that_go_together(argv: str):
    parse(argv.split())


def test_all_refusals_come_at_once(refusal: Refusal):
    message = refusal("--temperature", "0", "--train_batch_size", "7", "--flash_attn")
    assert len(message.splitlines()) == 3


@pytest.mark.parametrize(
    "argv",
    [
        "--gpus 2 --fp16 --flash_attn --zero_stage 3 --loss_scale_power 12",
        "--gpus 2 --activation_offload",
        "--gpus 2 --activation_offload --gradient_checkpointing --zero_stage 3",
        "--gpus 2 --adam_offload --ref_offload --beta 0.1",
        "--algo rft --train_batch_size 100",
        "--algo dpo --pairs correct_incorrect --train_batch_size 100 --num_ppo_epochs 2",
    ],
)
def test_precision_offloading_and_batches_that_go_together(argv: str):
    parse(argv.split())
