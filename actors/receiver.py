"""The engine's side of a publication: takes in the new weights and tells what it was fed.

vLLM mixes `WeightReceiver` into its worker (`worker_extension_cls`), in the engine's own process.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from torch import Tensor

from understand_r1_zero.weights import Checksum, read_safetensors


class Receipt:
    """Stands before a vLLM model's `load_weights` and records every tensor that the model is fed.

    Args:
        model: the model.
        is_lent: the tensors' memory is used again after each `load_weights`. The model is fed copies
            then, since vLLM's loader keeps what it is fed until the layer is complete, and the parts of
            a fused layer may come in different calls. No checksum would show what it reads in the end.
    """

    def __init__(self, model: Any, *, is_lent: bool = False) -> None:
        self._model = model
        self._is_lent = is_lent
        self._checksum = Checksum()
        self._parameters = {name for name, _ in model.named_parameters()}
        self._fed: set[str] = set()
        self._loaded: set[str] = set()
        self._load_weights = type(model).load_weights.__get__(model)
        model.load_weights = self._record

    def close(self) -> str:
        """Step aside; returns the checksum of all that was fed.

        Raises:
            ValueError: some parameter, or a part of one, was not.
        """
        del self._model.load_weights
        missing = self._parameters - self._loaded
        for fused, parts in getattr(self._model, "packed_modules_mapping", {}).items():
            for parameter in self._parameters:
                missing |= _missing_parts(parameter, fused, parts, self._fed)
        if missing:
            raise ValueError(f"the publication lacks the weights of {', '.join(sorted(missing))}")
        return self._checksum.hexdigest()

    def _record(self, weights: Iterable[tuple[str, Tensor]], *args: Any, **kwargs: Any) -> Any:
        loaded = self._load_weights(self._pass_on(weights), *args, **kwargs)
        self._loaded |= self._parameters if loaded is None else set(loaded)
        return loaded

    def _pass_on(self, weights: Iterable[tuple[str, Tensor]]) -> Iterator[tuple[str, Tensor]]:
        for name, tensor in weights:
            self._checksum.add(name, tensor)
            self._fed.add(name)
            yield name, tensor.clone() if self._is_lent else tensor


class WeightReceiver:
    """What `collective_rpc` calls on each worker to bring it new weights."""

    model_runner: Any
    reload_weights: Callable[..., None]
    receipt: Receipt
    weight_transfer_engine: Any

    def receive_file(self, path: str) -> str:
        """Load a safetensors file; returns the checksum of what the model was fed."""
        weights = read_safetensors(path)
        self.receipt = Receipt(self.model_runner.get_model())
        self.reload_weights(weights_iterator=iter(weights.items()))
        _repack_heads(self.model_runner.get_model())
        return self.end_receiving()

    def begin_receiving(self) -> None:
        """Before weights come from a learner's GPU: record them."""
        self.receipt = Receipt(self.model_runner.get_model(), is_lent=True)

    def end_receiving(self) -> str:
        """After they came: the checksum of what the model was fed since `begin_receiving`."""
        return self.receipt.close()

    def leave_group(self) -> None:
        """Before this worker joins the learner's next NCCL group: free what the last one held.

        vLLM would forget the communicator, whose buffers then stay on the GPU.
        """
        group = getattr(self.weight_transfer_engine, "model_update_group", None)
        if group is not None:
            group.destroy()
            self.weight_transfer_engine.model_update_group = None


def _repack_heads(model: Any) -> None:
    """Pack embeddings and heads anew on the CPU.

    vLLM packs a copy of a head's matrix for its CPU kernels. A head that is tied to the embedding gets
    the new matrix with it, but is never packed again: it would go on with the old policy's.
    """
    for module in model.modules():
        is_packed = hasattr(module, "cpu_linear") and module.weight.numel() > 0
        if is_packed and hasattr(module, "quant_method"):
            module.quant_method.process_weights_after_loading(module)


def _missing_parts(parameter: str, fused: str, parts: Iterable[str], fed: set[str]) -> set[str]:
    """Checkpoint names that a fused parameter (`qkv_proj`) still needs when some of them were fed."""
    if f".{fused}." not in parameter:
        return set()
    names = {parameter.replace(f".{fused}.", f".{part}.") for part in parts}
    return names - fed if names & fed else set()
