"""Starts vLLM: one `AsyncLLM` here and its core in a child process. Written for vLLM 0.23 to 0.32."""

import atexit
import os
from dataclasses import dataclass
from typing import Any, Literal

from actors.adapters import Adapters
from actors.lifeline import held_children
from understand_r1_zero.args import Dtype

# vLLM reads its variables while it is imported.
os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
# A fork would copy locks that other threads hold.
os.environ["VLLM_WORKER_MULTIPROC_METHOD"] = "spawn"

from vllm.config import PoolerConfig
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.usage.usage_lib import UsageContext
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.executor.uniproc_executor import UniProcExecutor
from vllm.v1.metrics.loggers import StatLoggerBase

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
    A `pooling` engine reads a token-classification model, whose weights stay as they are.
    """

    model: str
    dtype: Dtype
    max_model_len: int
    runner: Literal["generate", "pooling"] = "generate"
    seed: int = 0
    num_threads: int = 1
    max_cache_bytes: int = 2**30
    gpu_memory_share: float = 0.9
    tensor_parallel_size: int = 1
    enable_prefix_caching: bool = True
    trust_remote_code: bool = False
    weight_transfer: Literal["ray", "nccl", "ipc"] = "ray"
    can_sleep: bool = False
    counts_cache_hits: bool = False
    adapters: Adapters | None = None


class CoreInOneProcess(UniProcExecutor):
    """The model runs in the engine core's process, which ends with its parent."""

    def shutdown(self) -> None:
        """Called when the core ends as it should."""
        super().shutdown()
        # What is left is to take apart all that vLLM imported, which would last two seconds.
        atexit.register(os._exit, 0)


class CacheHits(StatLoggerBase):
    """Prompt tokens that were asked for so far, and those whose keys and values the cache had."""

    def __init__(self) -> None:
        self.num_asked = 0
        self.num_hits = 0

    def record(
        self,
        scheduler_stats: Any,
        iteration_stats: Any,
        mm_cache_stats: Any = None,
        engine_idx: int = 0,
    ) -> None:
        """Called by vLLM after each step of its core."""
        if scheduler_stats is not None:
            self.num_asked += scheduler_stats.prefix_cache_stats.queries
            self.num_hits += scheduler_stats.prefix_cache_stats.hits

    def log_engine_initialized(self) -> None:
        """Nothing is said of the start."""


def start_llm(settings: EngineSettings, cache_hits: CacheHits | None = None) -> AsyncLLM:
    """Load the model and start its core; blocks until it is ready. `cache_hits` is kept up to date."""
    # Outputs of one step are then counted together, without a pause in between.
    os.environ["VLLM_V1_OUTPUT_PROC_CHUNK_SIZE"] = str(2**20)
    is_cpu = settings.num_threads > 0
    device = _cpu_arguments(settings) if is_cpu else _gpu_arguments(settings)
    kind = _generating(settings) if settings.runner == "generate" else _pooling()
    config = AsyncEngineArgs(
        model=settings.model,
        dtype=settings.dtype,
        max_model_len=settings.max_model_len,
        seed=settings.seed,
        enable_prefix_caching=settings.enable_prefix_caching,
        trust_remote_code=settings.trust_remote_code,
        **device,
        **kind,
    ).create_engine_config(UsageContext.LLM_CLASS)  # sized for throughput
    if is_cpu:
        cache = config.cache_config
        cache.kv_cache_memory_bytes = min(_cache_bytes(config), settings.max_cache_bytes)
    with held_children("actors.core_main"):
        if cache_hits is None:
            return AsyncLLM.from_vllm_config(config, disable_log_stats=True)
        return AsyncLLM.from_vllm_config(
            config, stat_loggers=[lambda config, engine_index: cache_hits], disable_log_stats=False
        )


def _generating(settings: EngineSettings) -> dict[str, Any]:
    receiver: dict[str, Any] = {"worker_extension_cls": "actors.receiver.WeightReceiver"}
    if settings.adapters is not None:
        receiver = settings.adapters.engine_arguments()
    return {
        "logprobs_mode": "processed_logprobs",
        "enable_sleep_mode": settings.can_sleep,
        **receiver,
    }


def _pooling() -> dict[str, Any]:
    return {"runner": "pooling", "pooler_config": PoolerConfig(use_activation=False)}


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
