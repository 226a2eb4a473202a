"""Low-rank adapters (LoRA): put into a model by peft, merged into copies of its weights, or alone.

A weight W of the model stays as it was loaded; trained are B and A of `W + alpha / rank B A`.
Source: Hu et al. 2021, arXiv:2106.09685, section 4.1.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from understand_r1_zero.args_lora import ATTENTION_LAYERS, LoraArgs

ADAPTER = "default"
"""peft's name of the only one."""
TARGETS = {"linear": "all-linear", "attention": list(ATTENTION_LAYERS)}
SAVED = "adapter"
"""Directory of the adapters alone inside a checkpoint."""


def add_adapters(model: PreTrainedModel, lora: LoraArgs) -> None:
    """Freeze the model and put adapters into its linear layers, which change nothing yet (B = 0)."""
    from peft import inject_adapter_in_model

    model.requires_grad_(False)
    inject_adapter_in_model(_config(lora, TARGETS[lora.lora_targets]), model, ADAPTER)


def merged(tensors: Iterable[tuple[str, Tensor]], lora: LoraArgs) -> Iterator[tuple[str, Tensor]]:
    """The model's own tensors with the adapters added to copies of them, under the model's names.

    `W + (alpha / r) B A`, with A (r, in) and B (out, r).

    Args:
        tensors: (name, tensor) of the model with its adapters, each layer's own weight before its A and
            that before its B, as `named_parameters` gives them; each valid until the next is asked
            for.
        lora: the adapters' flags.

    The sum is computed in float32 and rounded once: no rounding ever enters the model itself.

    Source: LoRA, Hu et al. 2021, arXiv:2106.09685, section 4.1.
    """
    weight = down = torch.empty(0)
    waiting = ""
    for full_name, tensor in tensors:
        layer, _, rest = full_name.partition(".base_layer.")
        if rest == "weight":
            waiting, weight = f"{layer}.weight", tensor.clone()
        elif f".lora_A.{ADAPTER}." in full_name:
            down = tensor.clone()
        elif f".lora_B.{ADAPTER}." in full_name:
            assert full_name.startswith(waiting.removesuffix("weight")), (full_name, waiting)
            change = tensor.float() @ down.float() * (lora.lora_alpha / lora.lora_rank)
            yield waiting, (weight.float() + change).to(weight.dtype)
        else:
            yield (f"{layer}.{rest}" if rest else full_name), tensor


def alone(tensors: Iterable[tuple[str, Tensor]]) -> Iterator[tuple[str, Tensor]]:
    """A and B of every layer under peft's names, of the tensors of a model with its adapters."""
    for name, tensor in tensors:
        if ".lora_" in name:
            yield f"base_model.model.{name.replace(f'.{ADAPTER}.', '.')}", tensor


def save_adapters(
    directory: Path, adapters: Mapping[str, Tensor], lora: LoraArgs, pretrain: str
) -> None:
    """Write what `alone` gave in peft's format, for `PeftModel.from_pretrained` on `pretrain`."""
    from safetensors.torch import save_file

    directory.mkdir(exist_ok=True)
    layers = sorted({name.rsplit(".", 3)[1] for name in adapters})
    config = _config(lora, layers)
    config.base_model_name_or_path = (
        str(Path(pretrain).resolve()) if Path(pretrain).is_dir() else pretrain
    )
    config.inference_mode = True
    config.save_pretrained(str(directory))
    save_file(dict(adapters), directory / "adapter_model.safetensors", {"format": "pt"})


def _config(lora: LoraArgs, layers: str | list[str]) -> Any:
    from peft import LoraConfig

    return LoraConfig(
        r=lora.lora_rank,
        lora_alpha=lora.lora_alpha,  # pyright: ignore[reportArgumentType]
        lora_dropout=0.0,
        target_modules=layers,
        task_type="CAUSAL_LM",
    )
