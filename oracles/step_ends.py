"""What a token-classification model says at the ends of steps."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from understand_r1_zero.encoding import last_tokens
from understand_r1_zero.search.step_oracle import ReadOutputs


async def read_step_ends(
    tokenizer: Any, prompt: str, texts: Sequence[str], first: int, read: ReadOutputs
) -> tuple[np.ndarray, list[int]]:
    """The bare outputs (S - first, labels) at the last token of each of S steps, and the ids of these tokens.

    The prompt is tokenised alone and the steps together, as `value_examples.py` does it for training.
    """
    prompt_ids = tokenizer(prompt).input_ids
    ids, ends = last_tokens(tokenizer, texts)
    start = len(prompt_ids) + ends[first]
    outputs = await read([*prompt_ids, *ids[: ends[-1] + 1]], start)
    places = [end - ends[first] for end in ends[first:]]
    return outputs[places], [ids[end] for end in ends]
