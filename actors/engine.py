"""The engine that samples from the policy."""

import asyncio
import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from actors.adapters import adapter_request
from actors.gate import Gate
from actors.llm import CacheHits, EngineSettings, start_llm
from actors.nccl import transfer_api
from actors.samples import Sample, cut_after_stop
from actors.stop_tokens import StopTokens
from actors.versions import VersionLog
from actors.weight_transfer import WeightTransfer
from understand_r1_zero.types import Sampling, VersionSpan
from understand_r1_zero.weights import write_safetensors

# isort: split
# After `actors/llm.py`, which sets what vLLM reads while it is imported.
from vllm.exceptions import VLLMValidationError
from vllm.sampling_params import RequestOutputKind, SamplingParams


class Engine:
    """Samples from the policy that was published last.

    Belongs to the event loop that it is made in. Once the engine core has died, every method raises
    vLLM's `EngineDeadError`.
    """

    def __init__(self, settings: EngineSettings) -> None:
        self.cache_hits = CacheHits() if settings.counts_cache_hits else None
        self._llm = start_llm(settings, self.cache_hits)
        self._tokenizer: Any = self._llm.get_tokenizer()
        self._stop_tokens = StopTokens(self._tokenizer)
        self._request_numbers = itertools.count()
        self._max_model_len = settings.max_model_len
        self._versions = VersionLog()
        self._gate = Gate(self._llm.engine_core)
        self._adapters = settings.adapters
        self._adapter_request: Any = None
        self.transfer = WeightTransfer(self._llm, transfer_api())

    async def generate(
        self, prompt_token_ids: np.ndarray, sampling: Sampling, stop: Sequence[str] = ()
    ) -> list[Sample]:
        """Sample `num_samples` responses to one prompt.

        The ids include the end-of-sequence token, and text and ids the stop string that ended them.
        """
        async with self._gate.entered():
            request = await self._add(prompt_token_ids, sampling, stop)
        return await self._finish(request)

    async def generate_steps(
        self, prompt_token_ids: np.ndarray, sampling: Sampling, stop: Sequence[str]
    ) -> list[Sample]:
        """As `generate`, of pieces that end at a stop string soon, whether there is a seed or not.

        Their text has special tokens, which may mark steps, but not the end-of-sequence token.
        """
        async with self._gate.entered():
            request = await self._add_step(prompt_token_ids, sampling, stop)
        return await self._finish(request)

    async def generate_together(
        self, prompts: Sequence[tuple[np.ndarray, Sampling]], stop: Sequence[str] = ()
    ) -> list[asyncio.Task[list[Sample]]]:
        """Begin several prompts in one scheduler step, in order; the tasks give their responses.

        With seeds, and nothing else in flight, the responses then depend on nothing but the prompts
        and the policy, to the last bit: floating-point sums depend on what is computed together, and
        so on what the cache holds, which is emptied first.
        """
        async with self._gate.paused():
            requests = [await self._add(ids, sampling, stop) for ids, sampling in prompts]
        return [asyncio.create_task(self._finish(request)) for request in requests]

    async def next_logprobs(
        self, prompt_token_ids: Sequence[int], choices: Sequence[int]
    ) -> np.ndarray:
        """float64 (K,): log-probs in nats of K tokens as the next one, among these alone.

        NaN where the context has no room for a next one.
        """
        if len(prompt_token_ids) >= self._max_model_len:
            return np.full(len(choices), np.nan)
        params = SamplingParams(
            max_tokens=1,
            allowed_token_ids=list(choices),
            logprobs=len(choices),
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        prompt: Any = {"type": "token", "prompt_token_ids": list(prompt_token_ids)}
        async with self._gate.entered():
            request_id = str(next(self._request_numbers))
            outputs: Any = await self._llm.add_request(
                request_id, prompt, params, lora_request=self._adapter_request
            )
        [found] = (await outputs.get()).outputs[0].logprobs
        logprobs = np.array([found[choice].logprob for choice in choices], np.float64)
        return logprobs - np.logaddexp.reduce(logprobs)

    async def load_weights(self, version: int, weights: Mapping[str, np.ndarray]) -> str:
        """Sample from new weights from now on; returns the checksum of what the model was fed.

        Requests in flight go on with the tokens they have. Keys and values of the old policy are
        forgotten, theirs too, so that every later log-prob is the new policy's alone.
        """
        await self._stop()
        async with self._gate.opening:
            await self.transfer.wake_up()
            # An anonymous file in memory: nothing stays behind, even if this process is killed.
            with os.fdopen(os.memfd_create("weights"), "wb") as file:
                write_safetensors(file, weights)
                file.flush()
                path = f"/proc/{os.getpid()}/fd/{file.fileno()}"
                args = (path,) if self._adapters is None else (path, self._adapters.alpha)
                try:
                    checksums = await self._llm.collective_rpc("receive_file", args=args)
                except Exception as error:
                    # vLLM passes a worker's error on as a bare Exception with its text.
                    raise RuntimeError(f"policy version {version} was refused: {error}") from error
            return self._publish(version, checksums)

    async def begin_weights(self) -> None:
        """Stop, and be ready for what `transfer` receives until `end_weights`."""
        await self._stop()
        await self.transfer.begin()

    async def end_weights(self, version: int) -> str:
        """Go on with the weights received; returns the checksum of what the model was fed."""
        async with self._gate.opening:
            return self._publish(version, await self.transfer.end())

    async def sleep(self) -> None:
        """Give the GPU's memory away once nothing is in flight; requests wait until it is back."""
        await self._stop()
        await self.transfer.sleep()

    async def wake_up(self) -> None:
        """Take the memory back, if it was given away, and go on with the weights as they were."""
        if self.transfer.is_asleep:
            async with self._gate.opening:
                await self.transfer.wake_up()

    async def reset_prefix_cache(self) -> None:
        """Forget all keys and values; requests in flight compute theirs again."""
        async with self._gate.paused():
            pass

    async def abort_all(self) -> None:
        """Give up every request in flight; `generate` raises for each."""
        await self._llm.abort(list(self._llm.output_processor.external_req_ids))

    @property
    def is_dead(self) -> bool:
        """The engine core has ended, by itself or by `close`."""
        return self._llm.errored

    async def close(self) -> None:
        """End the engine core; requests in flight fail, and nothing can be asked any more."""
        await self.abort_all()
        self._llm.shutdown()

    async def _add(
        self, prompt_token_ids: np.ndarray, sampling: Sampling, stop: Sequence[str]
    ) -> "_Request":
        # When vLLM meets a stop string it takes the request out a step or so later, as time will
        # have it; where results must be reproducible the response is cut afterwards instead.
        cut_after = tuple(stop) if sampling.seed is not None else ()
        has_text = bool(stop) and not cut_after
        ends = {"stop": list(stop) if has_text else None, "detokenize": has_text}
        return await self._enter(prompt_token_ids, sampling, ends, has_text, cut_after)

    async def _add_step(
        self, prompt_token_ids: np.ndarray, sampling: Sampling, stop: Sequence[str]
    ) -> "_Request":
        # The core itself stops at tokens, and so computes none too many.
        tokens = self._stop_tokens.of(stop)
        strings = [] if tokens.are_all else list(stop)
        ends = {"stop": strings, "detokenize": bool(strings), "stop_token_ids": list(tokens.ids)}
        return await self._enter(prompt_token_ids, sampling, ends, False, tuple(stop), tokens.ids)

    async def _enter(
        self,
        prompt_token_ids: np.ndarray,
        sampling: Sampling,
        ends: Mapping[str, Any],
        has_text: bool,
        cut_after: tuple[str, ...],
        step_end_ids: frozenset[int] | None = None,
    ) -> "_Request":
        request_id = str(next(self._request_numbers))
        prompt: Any = {"type": "token", "prompt_token_ids": prompt_token_ids.tolist()}
        try:
            params = SamplingParams(
                n=sampling.num_samples,
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                top_k=sampling.top_k,
                max_tokens=sampling.max_tokens,
                seed=sampling.seed,
                include_stop_str_in_output=True,
                logprobs=0,
                flat_logprobs=True,
                output_kind=RequestOutputKind.FINAL_ONLY,
                **ends,
            )
            outputs = await self._llm.add_request(
                request_id, prompt, params, lora_request=self._adapter_request
            )
        except VLLMValidationError as error:
            raise ValueError(str(error)) from error
        self._versions.open(request_id)
        return _Request(request_id, outputs, has_text, cut_after, step_end_ids)

    async def _finish(self, request: "_Request") -> list[Sample]:
        try:
            output = await request.outputs.get()
        except BaseException:
            self._versions.drop(request.id)
            await self._llm.abort(request.id)
            raise
        completions = output.outputs
        lengths = [len(completion.token_ids) for completion in completions]
        spans = self._versions.close(request.id, lengths)
        return [
            self._sample(request, completion, spans[index])
            for index, completion in enumerate(completions)
        ]

    def _sample(
        self, request: "_Request", completion: Any, spans: tuple[VersionSpan, ...]
    ) -> Sample:
        if completion.finish_reason not in ("stop", "length"):
            raise RuntimeError(f"request {request.id} ended with {completion.finish_reason!r}")
        token_ids = np.array(completion.token_ids, np.int32)
        sampler_logprobs = np.array(completion.logprobs.logprobs, np.float32)
        assert len(token_ids) == len(sampler_logprobs)
        is_truncated = completion.finish_reason == "length"
        decode = self._decode
        if request.step_end_ids is not None:
            # The last token is the policy's end, unless it or its text is one of ours.
            reason = completion.stop_reason
            ended_itself = not isinstance(reason, str) and reason not in request.step_end_ids
            decode = self._step_decoder(token_ids, ended_itself and not is_truncated)
        text = completion.text if request.has_text else decode(token_ids)
        sample = Sample(text, token_ids, sampler_logprobs, is_truncated, spans)
        return cut_after_stop(sample, request.cut_after, decode)

    def _decode(self, token_ids: np.ndarray) -> str:
        return self._tokenizer.decode(
            token_ids.tolist(), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )

    def _step_decoder(
        self, token_ids: np.ndarray, ended_itself: bool
    ) -> Callable[[np.ndarray], str]:
        num_text = len(token_ids) - ended_itself

        def decode(token_ids: np.ndarray) -> str:
            return self._tokenizer.decode(
                token_ids[:num_text].tolist(),
                skip_special_tokens=False,
                clean_up_tokenization_spaces=False,
            )

        return decode

    async def _stop(self) -> None:
        """Close the gate; that of an engine that sleeps is closed already."""
        if not self.transfer.is_asleep:
            await self._gate.close()

    def _publish(self, version: int, checksums: Sequence[str]) -> str:
        if len(set(checksums)) != 1:
            raise RuntimeError(f"the engine's workers were fed different weights: {checksums}")
        num_tokens: dict[str, dict[int, int]] = {}
        under_way = self._llm.output_processor.request_states.values()
        if self._adapters is not None:
            if under_way and self._adapter_request is None:
                raise RuntimeError("requests without an adapter cannot go on with the first one")
            self._adapter_request = adapter_request(version)
        for state in under_way:
            assert state.detokenizer is not None
            counts = num_tokens.setdefault(state.external_req_id, {})
            counts[state.request_index] = state.detokenizer.num_output_tokens()
        self._versions.publish(version, num_tokens)
        return checksums[0]


@dataclass(frozen=True, slots=True)
class _Request:
    """A request in the engine: where its output comes, and what is left to do with it.

    `step_end_ids` are the tokens that end a step, where steps were asked for.
    """

    id: str
    outputs: Any
    has_text: bool
    cut_after: tuple[str, ...]
    step_end_ids: frozenset[int] | None
