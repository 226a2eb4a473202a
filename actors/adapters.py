"""Adapters that vLLM applies itself (`--lora_publish adapters`): the engine's settings, its requests, its worker.

There is one adapter, the policy's. A publication replaces it in place, so that requests under way go on
under the new version, as they do with merged weights. The model itself is never written to.
Written for vLLM 0.32.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MethodType
from typing import Any

from torch import Tensor

from understand_r1_zero.args_lora import ENGINE_RANKS
from understand_r1_zero.weights import checksum, read_safetensors

ADAPTER_ID = 1


@dataclass(frozen=True, slots=True)
class Adapters:
    """Low-rank adapters of `rank` scaled by `alpha / rank`, in all layers whose last name is in `layers`."""

    rank: int
    alpha: float
    layers: tuple[str, ...]

    def engine_arguments(self) -> dict[str, Any]:
        """What an engine is started with that has room for them."""
        return {
            "enable_lora": True,
            "max_loras": 1,
            "max_lora_rank": next(rank for rank in ENGINE_RANKS if rank >= self.rank),
            # Without it vLLM computes an adapter of the head for every model that could have one.
            "lora_target_modules": list(self.layers),
            "worker_extension_cls": "actors.adapters.AdapterReceiver",
        }


def adapter_request(version: int) -> Any:
    """What a request carries to be sampled from the policy of `version`.

    Keys and values are cached under the name, which no other version has.
    """
    from vllm.lora.request import LoRARequest

    return LoRARequest(f"policy_{version}", ADAPTER_ID, "published, never read")


class AdapterReceiver:
    """What `collective_rpc` calls on each worker to bring it new adapters."""

    model_runner: Any

    def receive_file(self, path: str, alpha: float) -> str:
        """Replace the adapter by that of a safetensors file; returns the checksum of what was fed.

        Raises:
            ValueError: a layer would go without its adapter, or an adapter without a layer.
        """
        manager = self.model_runner.lora_manager._adapter_manager
        tensors = {name: tensor.clone() for name, tensor in read_safetensors(path).items()}
        fed = checksum(tensors)
        adapter = _adapter_of(tensors, alpha, manager)
        manager.remove_adapter(ADAPTER_ID)
        manager.add_adapter(adapter)
        manager.activate_adapter(ADAPTER_ID)
        if manager.device.type == "cpu":
            _apply_at_once(manager)
        return fed


def _adapter_of(tensors: Mapping[str, Tensor], alpha: float, manager: Any) -> Any:
    """vLLM's adapter of peft's tensors, once it has exactly one for each layer that takes one."""
    from vllm.lora.lora_model import LoRAModel
    from vllm.lora.peft_helper import PEFTHelper

    ranks = {tensor.shape[0] for name, tensor in tensors.items() if ".lora_A." in name}
    if len(ranks) != 1:
        raise ValueError(f"the publication has adapters of ranks {sorted(ranks)}; it must be one")
    mapper = getattr(manager.model, "hf_to_vllm_mapper", None)
    adapter = LoRAModel.from_lora_tensors(
        ADAPTER_ID,
        dict(tensors),
        PEFTHelper(r=ranks.pop(), lora_alpha=alpha, target_modules="all-linear"),  # pyright: ignore[reportArgumentType]
        device="cpu",
        dtype=manager.lora_config.lora_dtype,
        weights_mapper=mapper and mapper.get_rename_mapper(),
    )
    whole = {
        name
        for name, lora in adapter.loras.items()
        if lora.lora_a is not None and lora.lora_b is not None
    }
    places = _places(manager)
    if homeless := whole - places:
        raise ValueError(
            f"the engine has no place for the adapters of {', '.join(sorted(homeless))}; "
            "use --lora_publish merged"
        )
    if missing := places - whole:
        raise ValueError(f"the publication lacks the adapters of {', '.join(sorted(missing))}")
    return adapter


def _places(manager: Any) -> set[str]:
    """The layers that take an adapter, those of a fused one (`qkv_proj`) under their own names."""
    layers = set(manager.lora_config.target_modules)
    names: list[str] = []
    for name in manager.modules:
        names += manager.packed_modules.get(name, [name])
    return {name for name in names if name.rpartition(".")[2] in layers}


def _apply_at_once(manager: Any) -> None:
    """On the CPU multiply all tokens by the one adapter, instead of a copy of it for each token.

    vLLM's operations for the CPU gather both factors once a token.
    """
    for wrapper in manager.punica_wrapper_mapping.values():
        wrapper.add_lora_linear = MethodType(_add_adapter, wrapper)


def _add_adapter(
    wrapper: Any,
    y: Tensor,
    x: Tensor,
    lora_a_stacked: tuple[Tensor, ...],
    lora_b_stacked: tuple[Tensor, ...],
    scale: float,
    output_slices: tuple[int, ...],
    **_: Any,
) -> None:
    """`y[:, slice] += scale x A^T B^T` for each slice of a fused layer; see `PunicaWrapperBase`."""
    if wrapper.no_lora:
        return
    start = 0
    for a, b, width in zip(lora_a_stacked, lora_b_stacked, output_slices, strict=True):
        change = x.float() @ a[0, 0].float().T @ b[0, 0].float().T
        y[:, start : start + width] += (scale * change).to(y.dtype)
        start += width
