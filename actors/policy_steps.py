"""What searches and their oracles ask of the policy's engine: steps, whole texts, completions."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from actors.engine import Engine
from actors.samples import Sample
from understand_r1_zero.search.step_sampler import Continuation
from understand_r1_zero.types import Sampling


@dataclass
class Meter:
    """Tokens that were sampled; those of a request that was given up are not known, and not counted."""

    num_tokens: int = 0


_METER: ContextVar[Meter | None] = ContextVar("meter", default=None)


@contextmanager
def metered() -> Iterator[Meter]:
    """Counts what is sampled for the steps and texts that are asked for inside, in tasks begun there too."""
    meter = Meter()
    token = _METER.set(meter)
    try:
        yield meter
    finally:
        _METER.reset(token)


class PolicySteps:
    """Steps, and texts that are none, from one engine.

    Args:
        engine: the policy's.
        tokenizer: the policy's.
        sampling: how steps are sampled; their number and seed are asked for one by one.
        stop: what ends a step.
        context_tokens: the engine's.
    """

    def __init__(
        self,
        engine: Engine,
        tokenizer: Any,
        sampling: Sampling,
        stop: Sequence[str],
        context_tokens: int,
    ) -> None:
        self._engine = engine
        self._tokenizer = tokenizer
        self._sampling = sampling
        self._stop = tuple(stop)
        self._context_tokens = context_tokens
        self.num_steps = 0
        self.num_tokens = 0
        """Sampled so far; a sample that is no step counts too."""

    def encode(self, text: str) -> list[int]:
        """A text that goes on."""
        return self._tokenizer(text, add_special_tokens=False).input_ids

    async def go_on(self, token_ids: Sequence[int], count: int, seed: int) -> list[Continuation]:
        """So many steps after a prompt; none where the context is full."""
        samples = await self._sample(token_ids, count, seed, self._stop)
        self.num_steps += len(samples)
        return [self._continuation(sample) for sample in samples]

    async def write(self, prompt: str, count: int, seed: int) -> list[str]:
        """So many texts after a prompt, each to its end."""
        samples = await self._sample(self._tokenizer(prompt).input_ids, count, seed, ())
        return [sample.text for sample in samples]

    async def _sample(
        self, token_ids: Sequence[int], count: int, seed: int, stop: Sequence[str]
    ) -> list[Sample]:
        room = self._context_tokens - len(token_ids)
        if room < 1:
            return []
        sampling = replace(
            self._sampling,
            num_samples=count,
            max_tokens=min(self._sampling.max_tokens, room),
            seed=seed,
        )
        samples = await self._engine.generate_steps(np.array(token_ids, np.int32), sampling, stop)
        num_tokens = sum(len(sample.token_ids) for sample in samples)
        self.num_tokens += num_tokens
        if (meter := _METER.get()) is not None:
            meter.num_tokens += num_tokens
        return samples

    def _continuation(self, sample: Sample) -> Continuation:
        stops = [string for string in self._stop if sample.text.endswith(string)]
        token_ids, end_ids = sample.token_ids.tolist(), []
        if not stops and not sample.is_truncated:
            token_ids, end_ids = token_ids[:-1], token_ids[-1:]
        elif stops and self._decode(token_ids) != sample.text:
            # The last token reaches past the stop string: the text is others' tokens.
            token_ids = self.encode(sample.text)
        return Continuation(
            text=sample.text,
            token_ids=tuple(token_ids),
            logprob=float(sample.sampler_logprobs.sum(dtype=np.float64)),
            num_tokens=len(sample.token_ids),
            end_ids=tuple(end_ids),
            stop_reason=max(stops, key=len, default=None),
            is_truncated=sample.is_truncated,
        )

    def _decode(self, token_ids: Sequence[int]) -> str:
        return self._tokenizer.decode(
            token_ids, skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
