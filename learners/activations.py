"""What the backward pass needs of the forward pass, kept in host memory (`--activation_offload`)."""

from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, nn


class OnHost(NamedTuple):
    """A tensor's copy in host memory, and where it came from."""

    copy: Tensor
    device: torch.device


def on_host(module: nn.Module, *, is_wanted: bool = True) -> AbstractContextManager[object]:
    """While it is open, tensors that autograd saves go to host memory, and back when they are needed.

    As `torch.autograd.graph.save_on_cpu`, but the parameters of `module` stay where they are, which a
    linear layer saves beside its input, and a copy keeps its strides: gradients are the same to the bit.
    The copies are page-locked, and made in the order of the GPU's own work.

    With gradient checkpointing only the inputs of layers are saved, hence moved. Under ZeRO-3 a gathered
    parameter is not known as one, and is copied: put only what is checkpointed under it.
    """
    if not is_wanted:
        return nullcontext()
    parameters = {parameter.untyped_storage().data_ptr() for parameter in module.parameters()}

    def pack(tensor: Tensor) -> Tensor | OnHost:
        if tensor.untyped_storage().data_ptr() in parameters:
            return tensor
        is_cuda = tensor.is_cuda
        copy = torch.empty_like(tensor, device="cpu", pin_memory=is_cuda)
        return OnHost(copy.copy_(tensor, non_blocking=is_cuda), tensor.device)

    def unpack(saved: Tensor | OnHost) -> Tensor:
        if isinstance(saved, OnHost):
            return saved.copy.to(saved.device, non_blocking=True)
        return saved

    return torch.autograd.graph.saved_tensors_hooks(pack, unpack)
