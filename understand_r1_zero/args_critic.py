"""Flags of the critic (`--critic_type ppo`)."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class CriticArgs:
    """What predicts returns in PPO (learners/critic.py)."""

    lam: float = 1.0
    """GAE's lambda: 0 trusts the critic alone, 1 the returns alone."""
    critic_trunk: Literal["separate", "shared"] = "separate"
    """A model and optimizer of its own, or a second head on the policy."""
    critic_pretrain: str = ""
    """Directory or hub id of the critic, a language or a value model; empty: as --pretrain."""
    critic_learning_rate: float = 0.0
    """Peak learning rate of a separate critic; 0: as --learning_rate."""
    critic_warmup_steps: int = 0
    """Train the critic alone in the first so many steps of the run."""
    vf_coef: float = 1.0
    """Weight of the value loss; beside the policy's with a shared trunk."""
    cliprange_value: float = 0.2
    """Values move no further than this from where they were before the update; 0: no clip."""
