"""Flags of low-rank adapters."""

from dataclasses import dataclass
from typing import Literal

ATTENTION_LAYERS = ("q_proj", "v_proj")
"""Names of what `--lora_targets attention` means."""
ENGINE_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""Ranks that vLLM makes room for; an adapter of another takes the room of the next."""


@dataclass(frozen=True)
class LoraArgs:
    """Low-rank adapters in place of all weights (learners/adapters.py)."""

    lora_rank: int = 0
    """Train adapters of this rank through peft, the model's own weights frozen; 0: train all weights."""
    lora_alpha: float = 16.0
    """Adapters are scaled by this over --lora_rank."""
    lora_targets: Literal["linear", "attention"] = "linear"
    """What has adapters: every linear layer but the head, or the query and value projections."""
    lora_publish: Literal["merged", "adapters"] = "merged"
    """What reaches the actors: the model's weights with the adapters added, or the adapters alone, which vLLM then applies to the --pretrain it loaded."""
