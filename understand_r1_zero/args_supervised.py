"""Flags of supervised fine-tuning, rejection sampling and value models; see args.py."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class SupervisedArgs:
    """Supervised and rejection-sampling fine-tuning (supervised.py, rejection.py, learners/supervised.py)."""

    sft_data: str = ""
    """Examples, as --prompt_data; rows are messages, prompt and completion, query and response, problem and solution or answer, or content, summary and label."""
    sft_split: str = "train"
    """Split of --sft_data."""
    sft_max_length: int = 0
    """Longer examples (tokens, prompt and completion) are left out and counted; 0: none."""
    sft_end_token: str = ""
    """Token that ends a completion, or a whole response of a stored pair; empty: the tokenizer's end-of-sequence token."""
    sft_aggregation: Literal["token", "sequence"] = "token"
    """Mean over the tokens of an optimizer step, or over its examples of each one's mean."""
    loss_on_prompt: bool = False
    """Train on the prompt's tokens too, all but the first."""
    rft_max_per_problem: int = 4
    """Keep at most so many correct responses a problem; 0: all."""
    rft_deduplicate: Literal["text", "equations", "none"] = "text"
    """Correct responses that are the same by their words, or by the equations they use, which must hold, are kept once."""


@dataclass(frozen=True)
class ValueArgs:
    """Value models (value_examples.py and learners/value.py)."""

    value_data: str = ""
    """Examples, as --prompt_data; rows have a prompt or problem, steps and values, or pos and neg steps, or are Math-Shepherd's, ReST-MCTS*'s or OmegaPRM's."""
    value_split: str = "train"
    """Split of --value_data."""
    value_head: Literal["linear", "tanh"] = "linear"
    """A linear layer on the last hidden state, bare or through tanh."""
    value_loss: Literal["mse", "bce", "ranking"] = "mse"
    """Squared error, binary cross-entropy on labels in [0, 1], or right above wrong steps of a problem."""
    value_aggregation: Literal["step", "sequence"] = "step"
    """Mean over the step ends of an optimizer step, or over its examples of each one's mean (--value_loss ranking: over groups)."""
    value_joint: bool = False
    """Train the policy too: cross-entropy on right solutions + --value_beta times the value loss."""
    value_beta: float = 0.1
    """Weight of the value loss beside the policy's, with --value_joint."""
