"""The policy's tokenizer, loaded when first needed: importing transformers takes seconds."""

import functools
from collections.abc import Callable
from typing import Any

from understand_r1_zero.args import ModelArgs


@functools.cache
def load_tokenizer(model: ModelArgs) -> Any:
    """The tokenizer of `--pretrain`.

    Raises ValueError when there is none to load.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(
            model.pretrain, trust_remote_code=model.trust_remote_code
        )
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"--pretrain {model.pretrain} has no tokenizer that can be loaded: {reason}"
        ) from error


def token_decoder(model: ModelArgs) -> Callable[[int], str]:
    """Token id to text; loads the tokenizer at the first token."""
    return lambda token_id: load_tokenizer(model).decode([token_id])
