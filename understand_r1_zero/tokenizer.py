"""The policy's tokenizer, loaded when first needed: importing transformers takes seconds."""

import functools
from collections.abc import Callable
from typing import Any

from understand_r1_zero.args import ModelArgs


def load_tokenizer(model: ModelArgs) -> Any:
    """The tokenizer of `--pretrain`.

    Raises ValueError when there is none to load.
    """
    return tokenizer_at(model.pretrain, model.trust_remote_code, "--pretrain")


@functools.cache
def tokenizer_at(path: str, trust_remote_code: bool = False, flag: str = "--value_model") -> Any:
    """The tokenizer of the model that a flag names.

    Raises ValueError when there is none to load.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(path, trust_remote_code=trust_remote_code)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{flag} {path} has no tokenizer that can be loaded: {reason}") from error


def token_decoder(model: ModelArgs) -> Callable[[int], str]:
    """Token id to text; loads the tokenizer at the first token."""
    return lambda token_id: load_tokenizer(model).decode([token_id])
