"""Flags of low-rank adapters."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class LoraArgs:
    """Low-rank adapters in place of all weights (learners/adapters.py)."""

    lora_rank: int = 0
    """Train adapters of this rank through peft, the model's own weights frozen; 0: train all weights."""
    lora_alpha: float = 16.0
    """Adapters are scaled by this over --lora_rank."""
    lora_targets: Literal["linear", "attention"] = "linear"
    """What has adapters: every linear layer but the head, or the query and value projections."""
