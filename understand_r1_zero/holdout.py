"""Examples of a file that are not trained on (`--holdout`): their loss is evaluated."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

import numpy as np


class Prompted(Protocol):
    """An example that answers a prompt: of supervised fine-tuning, of a value model, or a pair."""

    @property
    def prompt_token_ids(self) -> np.ndarray:
        """int (P,)."""
        ...


E = TypeVar("E", bound=Prompted)


def hold_out(examples: Sequence[E], share: float, seed: int) -> tuple[list[E], list[E]]:
    """Examples to train on, and those that are held out; order is kept.

    `share` of the distinct prompts is drawn by `seed`, and examples with the same prompt go the same
    way, so that nothing held out was half seen.

    Raises:
        ValueError: with a share above 0 nothing would be left on one side.
    """
    prompts = [np.asarray(each.prompt_token_ids, np.int64).tobytes() for each in examples]
    distinct = list(dict.fromkeys(prompts))
    count = round(share * len(distinct))
    if share and not 0 < count < len(distinct):
        raise ValueError(
            f"--holdout {share:g} of {len(distinct)} different prompts leaves {count} held out and "
            f"{len(distinct) - count} to train on; give another share, or more prompts"
        )
    order = np.random.default_rng(seed).permutation(len(distinct))
    chosen = {distinct[i] for i in order[:count]}
    parts: tuple[list[E], list[E]] = ([], [])
    for example, prompt in zip(examples, prompts, strict=True):
        parts[prompt in chosen].append(example)
    return parts
