"""From the flags to a running engine."""

import gc
from typing import TYPE_CHECKING

import psutil
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

from actors.adapters import Adapters
from understand_r1_zero.args import Args
from understand_r1_zero.args_lora import ATTENTION_LAYERS
from understand_r1_zero.memory import longest_sequence
from understand_r1_zero.sizes import model_size
from understand_r1_zero.weights import transfer_backend

if TYPE_CHECKING:
    from actors.engine import Engine

SMALL_MODEL = 20_000_000
"""Parameters below which threads wait for each other longer than they save."""


def start_engine(args: Args, actor_index: int, num_cores: int) -> "Engine":
    """Start the engine of one actor, on `num_cores` cores, or on its GPUs if there are none."""
    from actors.engine import Engine
    from actors.llm import EngineSettings

    # Importing vLLM made a million objects that stay: the collector need not look at them.
    gc.freeze()
    num_actors = max(1, args.cluster.num_actors)
    return Engine(
        EngineSettings(
            model=args.model.pretrain,
            dtype=args.model.dtype,
            max_model_len=context_tokens(args, args.model.pretrain),
            seed=(args.run.seed + actor_index) % 2**32,
            num_threads=engine_threads(args.model.pretrain, num_cores),
            max_cache_bytes=psutil.virtual_memory().available // (4 * num_actors),
            gpu_memory_share=args.cluster.vllm_gpu_ratio,
            tensor_parallel_size=args.cluster.num_gpus_per_actor,
            enable_prefix_caching=args.sampling.enable_prefix_caching,
            trust_remote_code=args.model.trust_remote_code,
            weight_transfer=transfer_backend(args.cluster),
            can_sleep=args.cluster.vllm_sleep,
            counts_cache_hits=args.is_searched,
            adapters=adapters(args),
        )
    )


def adapters(args: Args) -> Adapters | None:
    """The adapters that will be published as such; None: whole weights will be."""
    lora = args.lora
    if lora.lora_publish == "merged":
        return None
    layers = ATTENTION_LAYERS if lora.lora_targets == "attention" else _linear_layers(args)
    return Adapters(lora.lora_rank, lora.lora_alpha, layers)


def _linear_layers(args: Args) -> tuple[str, ...]:
    """The last names of all linear layers but the head, which is what peft takes for `all-linear`."""
    trust = args.model.trust_remote_code
    config = AutoConfig.from_pretrained(args.model.pretrain, trust_remote_code=trust)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, trust_remote_code=trust)
    head = model.get_output_embeddings()
    linear = [n for n, m in model.named_modules() if isinstance(m, nn.Linear) and m is not head]
    return tuple(sorted({name.rpartition(".")[2] for name in linear}))


def engine_threads(model: str, num_cores: int) -> int:
    """Threads that compute: one a core, but one in all for a small model."""
    size = model_size(model)
    return min(1, num_cores) if size and size.parameters < SMALL_MODEL else num_cores


def context_tokens(args: Args, model: str, num_needed: int = 0) -> int:
    """The longest prompt and response together, or as much of it as the model takes.

    Where the texts are there already, `num_needed` of them takes its place, unless `--max_model_len` is given.

    Raises:
        ValueError: `--max_model_len` is more than the model takes.
    """
    config = AutoConfig.from_pretrained(
        model, trust_remote_code=args.model.trust_remote_code
    ).get_text_config()
    longest = (not args.model.max_model_len and num_needed) or longest_sequence(args)
    limit = getattr(config, "max_position_embeddings", None) or longest
    if args.model.max_model_len > limit:
        raise ValueError(
            f"--max_model_len must be at most {limit}, which {model} takes, got "
            f"{args.model.max_model_len}"
        )
    return min(longest, limit)
