"""Flags of the policy gradient beyond those that Oat's scripts published (`args.AlgorithmArgs`)."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class PolicyArgs:
    """How rewards become advantages and advantages a loss (learners/policy_gradient.py and understand_r1_zero/collect.py)."""

    policy_loss: Literal["ppo", "gspo", "cispo", "reinforce"] = "ppo"
    """Clipped surrogate of token ratios, the same of sequence ratios (GSPO), clipped weights (CISPO), or no ratio at all."""
    cliprange_high: float = 0.0
    """Upper clip of the ratio, epsilon (DAPO's clip-higher; CISPO's cap is 1 + this); 0: as --cliprange."""
    dual_clip: float = 0.0
    """Bound of the loss of a token with a negative advantage A, at this times |A|, above 1; 0: off."""
    loss_aggregation: Literal["auto", "sequence", "token", "constant"] = "auto"
    """Mean over a response's tokens (GRPO), over all tokens of the optimizer step (DAPO), or a constant length (Dr. GRPO); auto: as the paper of the loss or of --critic_type."""
    kl_estimator: Literal["k1", "k2", "k3", "k3_is"] = "k3"
    """Estimator of the KL that --beta weighs; k3_is: k3 with the importance weight, whose gradient is unbiased."""
    ref_refresh_steps: int = 0
    """The policy becomes the reference every this many steps; 0: the reference stays --pretrain."""
    ent_coef: float = 0.0
    """Weight of the entropy bonus in the loss."""
    is_level: Literal["token", "sequence"] = "token"
    """Whether the importance weight between learner and sampler (--tis_c) is of a token or its response."""
    is_mode: Literal["truncate", "mask"] = "truncate"
    """What happens to an importance weight above --tis_c: cut to it, or the gradient is taken out."""
    reward_scale: float = 1.0
    """Multiplies rewards before advantages are taken."""
    whiten_adv: bool = False
    """Advantages of all tokens of a batch get mean 0 and standard deviation 1."""
    gamma: float = 1.0
    """Discount a token of what is earned later."""
    filter_zero_variance: bool = False
    """Groups whose rewards are all equal are thrown away, and fresh ones asked instead (DAPO)."""
    max_refills: int = 3
    """With --filter_zero_variance: at most this many batches of fresh groups a step; then groups of equal rewards are kept."""
