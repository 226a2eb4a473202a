"""Flags of rewards at the ends of steps, while training; see args.py."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class StepRewardArgs:
    """What an oracle of steps pays (actors/step_rewards.py)."""

    step_reward: Literal["value", "gain"] = "value"
    """A step earns its value, or what its value exceeds that of the step before it by."""
    step_reward_coef: float = 1.0
    """Multiplies the rewards of steps."""
    oracle_tokens_per_step: int = 0
    """Tokens that oracles may sample for one training step, over all actors; further responses earn their outcome alone; 0: no limit."""
    oracle_timeout_s: float = 60.0
    """Seconds an oracle may take for one response, which then earns its outcome alone."""
