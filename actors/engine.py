"""The vLLM engine: beside `actors/nccl.py` and `actors/adapters.py` the only file that imports vllm.

One `AsyncLLM` here and its core in a child process. Written for vLLM 0.23 to 0.32.
"""

import asyncio
import atexit
import itertools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from actors.adapters import Adapters, adapter_request
from actors.gate import Gate
from actors.lifeline import held_children
from actors.samples import Sample, cut_after_stop
from actors.versions import VersionLog
from actors.weight_transfer import WeightTransfer
from understand_r1_zero.types import Sampling, VersionSpan
from understand_r1_zero.weights import write_safetensors

# vLLM reads its variables while it is imported.
os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
# A fork would copy locks that other threads hold.
os.environ["VLLM_WORKER_MULTIPROC_METHOD"] = "spawn"

from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.exceptions import VLLMValidationError
from vllm.sampling_params import RequestOutputKind, SamplingParams
from vllm.usage.usage_lib import UsageContext
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.executor.uniproc_executor import UniProcExecutor

from actors.nccl import transfer_api
from understand_r1_zero.args import Dtype

CPU_BLOCK_TOKENS = 32
"""The smallest that vLLM's CPU attention takes: with its default, 128, short prompts share nothing."""
CPU_SEQUENCES = 512
CPU_BATCHED_TOKENS = 8192


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What an engine is started with.

    On GPUs (`num_threads` 0) vLLM takes `gpu_memory_share` of each; on the CPU it computes with
    `num_threads` threads and keeps keys and values in at most `max_cache_bytes`. `weight_transfer`
    is how weights will come; only from host memory (`ray`) can they everywhere. With `adapters` these
    alone come, from host memory, and until the first have come the model samples as it was loaded.
    """

    model: str
    dtype: Dtype
    max_model_len: int
    seed: int = 0
    num_threads: int = 1
    max_cache_bytes: int = 2**30
    gpu_memory_share: float = 0.9
    tensor_parallel_size: int = 1
    enable_prefix_caching: bool = True
    trust_remote_code: bool = False
    weight_transfer: Literal["ray", "nccl", "ipc"] = "ray"
    can_sleep: bool = False
    adapters: Adapters | None = None


class CoreInOneProcess(UniProcExecutor):
    """The model runs in the engine core's process, which ends with its parent."""

    def shutdown(self) -> None:
        """Called when the core ends as it should."""
        super().shutdown()
        # What is left is to take apart all that vLLM imported, which would last two seconds.
        atexit.register(os._exit, 0)


class Engine:
    """Samples from the policy that was published last.

    Belongs to the event loop that it is made in. Once the engine core has died, every method raises
    vLLM's `EngineDeadError`.
    """

    def __init__(self, settings: EngineSettings) -> None:
        self._llm = _start(settings)
        self._tokenizer: Any = self._llm.get_tokenizer()
        self._request_numbers = itertools.count()
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
        request_id = str(next(self._request_numbers))
        # When vLLM meets a stop string it takes the request out a step or so later, as time will
        # have it; where results must be reproducible the response is cut afterwards instead.
        cut_after = tuple(stop) if sampling.seed is not None else ()
        has_text = bool(stop) and not cut_after
        prompt: Any = {"type": "token", "prompt_token_ids": prompt_token_ids.tolist()}
        try:
            params = SamplingParams(
                n=sampling.num_samples,
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                top_k=sampling.top_k,
                max_tokens=sampling.max_tokens,
                seed=sampling.seed,
                stop=list(stop) if has_text else None,
                include_stop_str_in_output=True,
                detokenize=has_text,
                logprobs=0,
                flat_logprobs=True,
                output_kind=RequestOutputKind.FINAL_ONLY,
            )
            outputs = await self._llm.add_request(
                request_id, prompt, params, lora_request=self._adapter_request
            )
        except VLLMValidationError as error:
            raise ValueError(str(error)) from error
        self._versions.open(request_id)
        return _Request(request_id, outputs, has_text, cut_after)

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
        text = completion.text if request.has_text else self._decode(token_ids)
        is_truncated = completion.finish_reason == "length"
        sample = Sample(text, token_ids, sampler_logprobs, is_truncated, spans)
        return cut_after_stop(sample, request.cut_after, self._decode)

    def _decode(self, token_ids: np.ndarray) -> str:
        return self._tokenizer.decode(
            token_ids.tolist(), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )

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
    """A request in the engine: where its output comes, and what is left to do with it."""

    id: str
    outputs: Any
    has_text: bool
    cut_after: tuple[str, ...]


def _start(settings: EngineSettings) -> AsyncLLM:
    # Outputs of one step are then counted together, without a pause in between.
    os.environ["VLLM_V1_OUTPUT_PROC_CHUNK_SIZE"] = str(2**20)
    is_cpu = settings.num_threads > 0
    device = _cpu_arguments(settings) if is_cpu else _gpu_arguments(settings)
    receiver: dict[str, Any] = {"worker_extension_cls": "actors.receiver.WeightReceiver"}
    if settings.adapters is not None:
        receiver = settings.adapters.engine_arguments()
    config = AsyncEngineArgs(
        model=settings.model,
        dtype=settings.dtype,
        max_model_len=settings.max_model_len,
        seed=settings.seed,
        enable_prefix_caching=settings.enable_prefix_caching,
        trust_remote_code=settings.trust_remote_code,
        logprobs_mode="processed_logprobs",
        enable_sleep_mode=settings.can_sleep,
        **device,
        **receiver,
    ).create_engine_config(UsageContext.LLM_CLASS)  # sized for throughput
    if is_cpu:
        cache = config.cache_config
        cache.kv_cache_memory_bytes = min(_cache_bytes(config), settings.max_cache_bytes)
    with held_children("actors.core_main"):
        return AsyncLLM.from_vllm_config(config, disable_log_stats=True)


def _cpu_arguments(settings: EngineSettings) -> dict[str, Any]:
    os.environ["OMP_NUM_THREADS"] = str(settings.num_threads)
    # Threads that wait by turning would take the cores from graders and from this process.
    os.environ["OMP_WAIT_POLICY"] = "passive"
    # One small function would be compiled in every run, in two seconds, and gain nothing.
    os.environ["TORCH_COMPILE_DISABLE"] = "1"
    return {
        "enforce_eager": True,
        "block_size": CPU_BLOCK_TOKENS,
        "max_num_seqs": CPU_SEQUENCES,
        "max_num_batched_tokens": max(CPU_BATCHED_TOKENS, settings.max_model_len),
        # With it a seeded request whose prompt is cut in two ends the engine ("gen.get_offset").
        "enable_chunked_prefill": False,
        # By name, vLLM would put a worker process between, for the sake of binding threads.
        "distributed_executor_backend": CoreInOneProcess,
    }


def _gpu_arguments(settings: EngineSettings) -> dict[str, Any]:
    width = settings.tensor_parallel_size
    transfer: dict[str, Any] = {}
    if settings.weight_transfer != "ray":
        transfer = {"weight_transfer_config": {"backend": settings.weight_transfer}}
    if settings.weight_transfer == "ipc":
        # Handles of CUDA memory travel pickled, from this process to its own child.
        os.environ["VLLM_ALLOW_INSECURE_SERIALIZATION"] = "1"
    return {
        **transfer,
        "gpu_memory_utilization": settings.gpu_memory_share,
        "tensor_parallel_size": width,
        "distributed_executor_backend": CoreInOneProcess if width == 1 else "mp",
    }


def _cache_bytes(config: Any) -> int:
    """What `CPU_SEQUENCES` of the longest responses would need."""
    model, parallel = config.model_config, config.parallel_config
    heads = model.get_num_layers(parallel) * model.get_num_kv_heads(parallel)
    token = 2 * heads * model.get_head_size() * model.dtype.itemsize
    blocks = -(-model.max_model_len // CPU_BLOCK_TOKENS)
    return CPU_SEQUENCES * blocks * CPU_BLOCK_TOKENS * token
