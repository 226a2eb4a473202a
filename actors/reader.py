"""The engine that reads values: vLLM's pooling runner on a token-classification model."""

import asyncio
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from actors.llm import EngineSettings, start_llm

# isort: split
# After `actors/llm.py`, which sets what vLLM reads while it is imported.
from vllm.exceptions import VLLMValidationError
from vllm.pooling_params import PoolingParams


class Reader:
    """Reads the bare outputs of the model's head, token by token.

    Belongs to the event loop that it is made in.
    """

    def __init__(self, settings: EngineSettings) -> None:
        assert settings.runner == "pooling", "a reader samples nothing"
        self._llm = start_llm(settings)
        self._max_model_len = settings.max_model_len
        self._request_numbers = itertools.count()

    async def read(self, token_ids: Sequence[int], first: int = 0) -> np.ndarray:
        """float32 (T - first, labels): the outputs at `token_ids[first:]`, NaN at those the context cannot hold.

        What a prefix shares with an earlier request is not computed again, unless its outputs are
        wanted too: the cache has keys and values, and no outputs.
        """
        held = token_ids[: self._max_model_len]
        outputs = await self._ask(held, is_cached=first > 0)
        if len(outputs) < len(held) - first:
            outputs = await self._ask(held, is_cached=False)
        beyond = np.full((len(token_ids) - len(held), outputs.shape[1]), np.nan, np.float32)
        outputs = np.concatenate([outputs, beyond])
        return outputs[len(outputs) - (len(token_ids) - first) :]

    @property
    def is_dead(self) -> bool:
        """The engine core has ended, by itself or by `close`."""
        return self._llm.errored

    async def close(self) -> None:
        """End the engine core."""
        self._llm.shutdown()

    async def _ask(self, token_ids: Sequence[int], is_cached: bool) -> np.ndarray:
        request_id = str(next(self._request_numbers))
        prompt: Any = {"type": "token", "prompt_token_ids": list(token_ids)}
        params = PoolingParams(
            task="token_classify",
            use_activation=False,
            # vLLM would never read the cache for this task, since outputs then lack at the front.
            skip_reading_prefix_cache=not is_cached,
        )
        try:
            outputs: Any = await self._llm.add_request(request_id, prompt, params)
        except VLLMValidationError as error:
            raise ValueError(str(error)) from error
        try:
            found = await outputs.get()
        except asyncio.CancelledError:
            await self._llm.abort(request_id)
            raise
        return found.outputs.data.float().numpy()
