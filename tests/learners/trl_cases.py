"""The cases of `test_against_trl.py`: our flags, TRL's options, and what is given to both.

Nothing here runs either side.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from learners.batching import optimizer_batches

NUM_GROUPS, NUM_SAMPLES, MAX_TOKENS = 8, 4, 16
NUM_RESPONSES = NUM_GROUPS * NUM_SAMPLES
EOS = 0
"""Of the model in `examples/tiny`."""

Rows = list[list[float]]
Given = dict[str, Any]


@dataclass(frozen=True)
class PolicyCase:
    """A policy gradient by our flags and by TRL's options; what is given is changed by `changes`."""

    flags: str
    options: dict[str, Any]
    trainer: str = "grpo"
    corrects_sampler: bool = False
    changes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PairCase:
    """A preference loss by our flags and by TRL's options, `at_once` pairs an optimizer step."""

    flags: str
    options: dict[str, Any]
    trainer: str = "dpo"
    at_once: int = 6


DR_GRPO = {"loss_type": "dr_grpo"}
# GRPO divides by std + 1e-8 here and std + 1e-4 in TRL: of rewards in thousands neither is felt.
GRPO_FLAGS = "--critic_type grpo --reward_scale 1000"
GRPO = {"loss_type": "grpo", "scale_rewards": "group", "reward_weights": [1000.0]}
DAPO_FLAGS = f"{GRPO_FLAGS} --loss_aggregation token --cliprange_high 0.28"
DAPO = GRPO | {"loss_type": "dapo", "epsilon_high": 0.28}
GSPO_FLAGS = f"{GRPO_FLAGS} --policy_loss gspo --cliprange 0.03 --cliprange_high 0.04"
GSPO = GRPO | {"importance_sampling_level": "sequence", "epsilon": 0.03, "epsilon_high": 0.04}
# TRL's epsilon_high is the cap of CISPO's weight itself; ours is 1 + the flag.
CISPO_FLAGS = f"{GRPO_FLAGS} --policy_loss cispo --cliprange_high 0.3"
CISPO = GRPO | {"loss_type": "cispo", "epsilon_high": 1.3}
# A reference pulls at responses of unknown reward in TRL, not here: where there is one, all are known.
KNOWN = {"has_unknown": False}
K3 = {"beta": 0.04, "use_bias_correction_kl": False}
ON_POLICY = {"num_iterations": 1}
HALVES = {"per_device_train_batch_size": NUM_RESPONSES // 2}


def tis(mode: str) -> dict[str, Any]:
    return {"vllm_importance_sampling_mode": mode, "vllm_importance_sampling_clip_max": 1.2}


POLICY = {
    "Dr. GRPO": PolicyCase("--critic_type drgrpo", DR_GRPO),
    "Dr. GRPO, on-policy": PolicyCase(
        "--critic_type drgrpo --num_ppo_epochs 1", DR_GRPO | ON_POLICY
    ),
    "GRPO": PolicyCase(GRPO_FLAGS, GRPO),
    "GRPO, KL": PolicyCase(f"{GRPO_FLAGS} --beta 0.04", GRPO | K3, changes=KNOWN),
    "GRPO, unbiased KL": PolicyCase(
        f"{GRPO_FLAGS} --beta 0.04 --kl_estimator k3_is",
        GRPO | K3 | {"use_bias_correction_kl": True},
        changes=KNOWN,
    ),
    "GRPO, truncated masked": PolicyCase(
        f"{GRPO_FLAGS} --ignore_no_eos", GRPO | {"mask_truncated_completions": True}
    ),
    "Dr. GRPO, truncated masked": PolicyCase(
        "--critic_type drgrpo --ignore_no_eos", DR_GRPO | {"mask_truncated_completions": True}
    ),
    "DAPO": PolicyCase(DAPO_FLAGS, DAPO),
    "DAPO, two micro-batches": PolicyCase(
        DAPO_FLAGS,
        DAPO | {"gradient_accumulation_steps": 2} | HALVES,
        changes={"num_micro_batches": 2},
    ),
    "GSPO": PolicyCase(GSPO_FLAGS, GSPO),
    "CISPO": PolicyCase(CISPO_FLAGS, CISPO),
    "dual clip": PolicyCase("--dual_clip 1.5", DR_GRPO | {"delta": 1.5}),
    **{
        f"TIS, {level}, {mode}": PolicyCase(
            f"--tis_c 1.2 --is_level {level} --is_mode {mode}",
            DR_GRPO | tis(f"{level}_{mode}"),
            corrects_sampler=True,
        )
        for level in ("token", "sequence")
        for mode in ("truncate", "mask")
    },
    "entropy bonus": PolicyCase(
        "--loss_aggregation token --ent_coef 0.01",
        {"loss_type": "dapo", "entropy_coef": 0.01},
        changes=KNOWN,
    ),
    "CISPO, TIS, KL": PolicyCase(
        f"{CISPO_FLAGS} --tis_c 1.2 --beta 0.04",
        CISPO | K3 | tis("token_truncate"),
        corrects_sampler=True,
        changes=KNOWN,
    ),
    "GSPO, TIS of sequences": PolicyCase(
        f"{GSPO_FLAGS} --tis_c 1.2 --is_level sequence",
        GSPO | tis("sequence_truncate"),
        corrects_sampler=True,
    ),
}
"""Where TRL and we say the same."""

DIFFERENT = {
    "DAPO, truncated masked": PolicyCase(
        f"{DAPO_FLAGS} --ignore_no_eos", DAPO | {"mask_truncated_completions": True}
    ),
    "DAPO, two optimizer steps": PolicyCase(
        f"{DAPO_FLAGS} --num_ppo_epochs 1 --train_batch_size {NUM_RESPONSES // 2}",
        DAPO | {"steps_per_generation": 2} | ON_POLICY | HALVES,
        changes={"num_steps": 2},
    ),
    "GSPO, TIS of tokens": PolicyCase(
        f"{GSPO_FLAGS} --tis_c 1.2", GSPO | tis("token_truncate"), corrects_sampler=True
    ),
    "KL of unknown": PolicyCase("--beta 0.04", DR_GRPO | K3),
    "RLOO": PolicyCase(
        "--critic_type rloo --kl_penalty_coef 0.05",
        {"beta": 0.05, "num_iterations": 1},
        trainer="rloo",
        changes=KNOWN | {"is_on_policy": True},
    ),
    "RLOO, unknown": PolicyCase("--critic_type rloo", {"beta": 0.0}, trainer="rloo"),
    "GRPO, small spread": PolicyCase(
        "--critic_type grpo", {"scale_rewards": "group"}, changes={"spread": 1e-3}
    ),
}
"""Where TRL's definition is another; each has a test of its own that says how."""

PAIRS = {
    "dpo": PairCase("--preference_loss dpo", {"loss_type": ["sigmoid"]}),
    # Of one pair at a time: TRL sorts the margins of a batch (AOT), and averages SFT over its tokens.
    "cdpo": PairCase(
        "--preference_loss cdpo --label_smoothing 0.2",
        {"loss_type": ["aot"], "label_smoothing": 0.2},
        at_once=1,
    ),
    "dpo, SFT": PairCase(
        "--preference_loss dpo --sft_weight 0.3",
        {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, 0.3]},
        at_once=1,
    ),
    "robust_dpo": PairCase(
        "--preference_loss robust_dpo --label_smoothing 0.2",
        {"loss_type": ["robust"], "label_smoothing": 0.2},
    ),
    "slic": PairCase("--preference_loss slic", {"loss_type": ["hinge"]}),
    "ipo": PairCase("--preference_loss ipo", {"loss_type": ["ipo"]}),
    "ln_dpo": PairCase("--preference_loss ln_dpo", {"loss_type": ["sigmoid_norm"]}),
    "simpo": PairCase(
        "--preference_loss simpo --preference_beta 2 --gamma_beta_ratio 0.25",
        {"loss_type": "simpo", "beta": 2.0, "simpo_gamma": 0.5, "cpo_alpha": 0.0},
        trainer="cpo",
    ),
}


def draw_policy(
    seed: int,
    *,
    has_unknown: bool = True,
    is_on_policy: bool = False,
    num_micro_batches: int = 1,
    num_steps: int = 1,
    spread: float = 1.0,
) -> Given:
    """Ragged responses, some truncated, and what models and samplers found of them.

    Rewards are 0 or 1 in the first groups, real then, and equal in the last.
    """
    rng = np.random.default_rng(seed)
    is_truncated = rng.random(NUM_RESPONSES) < 0.3
    lengths = rng.integers(np.where(is_truncated, 1, 2), MAX_TOKENS + 1)
    responses = [
        [20 + i] * (n - 1) + [20 + i if is_cut else EOS]
        for i, (n, is_cut) in enumerate(zip(lengths.tolist(), is_truncated, strict=True))
    ]
    rewards = rng.normal(size=(NUM_GROUPS, NUM_SAMPLES)).round(2)
    rewards[:2] = [[0, 1, 1, 0], [0, 0, 1, 0]]
    rewards[-1] = 0.5
    rewards = (spread * rewards).ravel().tolist()
    if has_unknown:
        rewards[2] = rewards[9] = None

    def noisy(around: Rows, std: float) -> Rows:
        """Each token moves on its own, and each response as a whole: sequence ratios move too."""
        return [
            (np.array(row) + rng.normal(0, std, len(row)) + rng.normal(0, std / 3)).tolist()
            for row in around
        ]

    old = [(-0.05 - rng.exponential(1.5, n)).tolist() for n in lengths]
    order = np.concatenate(optimizer_batches(NUM_RESPONSES, NUM_RESPONSES // num_steps, 1, (0, 0)))
    steps = np.split(order, num_steps)
    return {
        "prompts": [str(i // NUM_SAMPLES) for i in range(NUM_RESPONSES)],
        "responses": responses,
        "is_truncated": is_truncated.tolist(),
        "rewards": rewards,
        "old": as_float32(old),
        "new": as_float32(old if is_on_policy else noisy(old, 0.3)),
        "ref": as_float32(noisy(old, 0.5)),
        "sampler": as_float32(noisy(old, 0.2)),
        "entropies": as_float32([rng.exponential(1.0, n).tolist() for n in lengths]),
        "steps": [[part.tolist() for part in np.split(s, num_micro_batches)] for s in steps],
    }


def as_float32(rows: Rows) -> Rows:
    return [np.float32(row).tolist() for row in rows]


def draw_pairs(seed: int, at_once: int) -> Given:
    """Six ragged pairs whose margins have either sign, and reach the hinge."""
    rng = np.random.default_rng(seed)
    pairs = []
    for i, margin in enumerate((-18.0, -1.0, 0.0, 1.0, 6.0, 18.0)):
        pair: dict[str, Any] = {"prompt": [5 + i] * int(rng.integers(1, 5))}
        for sign, side in ((0.5, "chosen"), (-0.5, "rejected")):
            n = int(rng.integers(1, MAX_TOKENS))
            ref = -0.5 - rng.exponential(1.0, n) - abs(margin) / n
            new = ref + rng.normal(0, 0.05, n) + sign * margin / n
            pair[side] = [20 + 2 * i + (side == "chosen")] * n
            pair[f"new_{side}"], pair[f"ref_{side}"] = as_float32([new.tolist(), ref.tolist()])
        pairs.append(pair)
    return {"pairs": pairs, "steps": np.arange(len(pairs)).reshape(-1, at_once).tolist()}
