"""Which tensors wait on the host, and that the gradient is none the worse."""

import pytest
import torch
from torch import nn

from learners import activations
from learners.activations import OnHost, on_host
from learners.adapters import add_adapters
from learners.model import TokenLogprobs
from tests.learners.conftest import make_qwen2
from understand_r1_zero.args_lora import LoraArgs

pytestmark = pytest.mark.usefixtures("one_thread")


def gradients(*, offloads: bool, checkpointing: bool, dtype: torch.dtype, lora_rank: int = 0):
    model = make_qwen2().to(dtype).train()
    if lora_rank:
        torch.manual_seed(1)
        add_adapters(model, LoraArgs(lora_rank))
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    scorer = TokenLogprobs(model, 0.8, max_logits=200, offloads_activations=offloads)
    ids = torch.arange(24).reshape(2, 12)
    logprobs, _ = scorer(ids, torch.arange(5, 20), torch.arange(15))
    logprobs.sum().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_gradients_are_the_same_to_the_bit(checkpointing, dtype):
    here, there = (
        gradients(offloads=offloads, checkpointing=checkpointing, dtype=dtype)
        for offloads in (False, True)
    )
    assert here.keys() == there.keys() and len(here) > 20
    for name, gradient in here.items():
        assert torch.equal(there[name], gradient), name


def test_adapters_have_their_gradients_through_checkpoints_and_the_host():
    """Nothing that enters the first layer has a gradient there: its embedding is frozen."""
    found = [
        gradients(offloads=both, checkpointing=both, dtype=torch.float32, lora_rank=4)
        for both in (False, True)
    ]
    assert len(found[0]) == 28 and all("lora_" in name for name in found[0])
    for name, gradient in found[0].items():
        assert torch.equal(found[1][name], gradient), name


def test_inputs_are_copied_with_their_strides_and_parameters_are_not(monkeypatch):
    made: list[OnHost] = []
    empty_like = torch.empty_like

    def recording(tensor, **options):
        made.append(OnHost(empty_like(tensor, **options), tensor.device))
        return made[-1].copy

    monkeypatch.setattr(activations.torch, "empty_like", recording)
    layer = nn.Linear(5, 3)
    inputs = torch.randn(5, 4, requires_grad=True)
    with on_host(layer):
        outputs = layer(inputs.t())
    (only,) = made
    assert torch.equal(only.copy, inputs.t()) and only.copy.stride() == inputs.t().stride()
    with torch.no_grad():
        only.copy.fill_(1.0)
    outputs.sum().backward()
    assert layer.weight.grad is not None
    # The backward pass read the copy.
    assert torch.equal(layer.weight.grad, torch.full((3, 5), 4.0))


def test_nothing_is_moved_unless_it_is_wanted(monkeypatch):
    monkeypatch.setattr(activations.torch, "empty_like", None)
    layer = nn.Linear(2, 2)
    with on_host(layer, is_wanted=False):
        layer(torch.randn(3, 2, requires_grad=True)).sum().backward()
    assert layer.weight.grad is not None
