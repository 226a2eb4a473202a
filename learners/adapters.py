"""Low-rank adapters (LoRA): put into a model by peft, and merged into copies of its weights.

A weight W of the model stays as it was loaded; trained are B and A of `W + alpha / rank B A`.
Source: Hu et al. 2021, arXiv:2106.09685, section 4.1.
"""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor
from transformers import PreTrainedModel

from understand_r1_zero.args_lora import LoraArgs

ADAPTER = "default"
"""peft's name of the only one."""
TARGETS = {"linear": "all-linear", "attention": ["q_proj", "v_proj"]}


def add_adapters(model: PreTrainedModel, lora: LoraArgs) -> None:
    """Freeze the model and put adapters into its linear layers, which change nothing yet (B = 0)."""
    from peft import LoraConfig, inject_adapter_in_model

    model.requires_grad_(False)
    config = LoraConfig(
        r=lora.lora_rank,
        lora_alpha=lora.lora_alpha,  # pyright: ignore[reportArgumentType]
        lora_dropout=0.0,
        target_modules=TARGETS[lora.lora_targets],
        task_type="CAUSAL_LM",
    )
    inject_adapter_in_model(config, model, ADAPTER)


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
