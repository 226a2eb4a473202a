"""Adapters that vLLM applies, on the real engine and against peft's model."""

import dataclasses
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from actors import adapters
from actors.start_engine import adapters as adapters_of
from learners.adapters import add_adapters, alone
from tests.actors.conftest import Live
from tests.actors.test_engine import logprobs_of, long_samples, prompt, sampling
from understand_r1_zero.args import TINY_MODEL, Args
from understand_r1_zero.args_lora import LoraArgs
from understand_r1_zero.types import VersionSpan
from understand_r1_zero.weights import checksum, to_arrays

pytestmark = [pytest.mark.engine, pytest.mark.slow]

LORA = LoraArgs(lora_rank=6, lora_alpha=9.0, lora_publish="adapters")
LARGEST_GAP = 1e-5
"""Mean nats a token. In float32 peft's model itself departs from float64 by 2e-6, and by 2e-4 on single
tokens of log-prob -17; one token of the wrong policy in a thousand shows."""
K_PROJ = "base_model.model.model.layers.1.self_attn.k_proj.lora_A.weight"


@pytest.fixture(scope="module")
def adapting() -> Iterator[Live]:
    live = Live(dataclasses.replace(Args(), lora=LORA))
    yield live
    live.close()


@pytest.fixture(scope="module")
def model():
    torch.set_num_threads(1)  # two would wait for each other, and for the engine's
    model = AutoModelForCausalLM.from_pretrained(TINY_MODEL, dtype=torch.float32).eval()
    add_adapters(model, LORA)
    return model


@torch.no_grad()
def draw(model, seed, scale=0.1):
    """Other adapters in the model; what is published of them."""
    torch.manual_seed(seed)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.normal_(0, scale)
    return to_arrays({name: tensor.clone() for name, tensor in alone(model.named_parameters())})


def set_adapters(model, published):
    with torch.no_grad():
        for name, parameter in alone(model.named_parameters()):
            parameter.copy_(torch.from_numpy(published[name]))


def long_prompt(live):
    ids = prompt(live, " + ".join("17" for _ in range(30)))
    assert len(ids) > 64  # several blocks of keys and values that must be forgotten
    return ids


def greedy(live, num_tokens=24):
    """Ids and log-probs of greedy responses: the engine's function, to the last bit."""
    (sample,) = live.run(live.engine.generate(long_prompt(live), sampling(1, 0.0, num_tokens)))
    return sample.token_ids.tolist(), sample.sampler_logprobs.tolist()


def gap(live, model, version):
    """Mean |sampler - peft's model| log-prob in nats of responses of one version."""
    ids = long_prompt(live)
    samples = live.run(live.engine.generate(ids, sampling(16)))
    for sample in samples:
        assert sample.version_spans == (VersionSpan(version, len(sample.token_ids)),)
    gaps = [s.sampler_logprobs - logprobs_of(model, ids, s.token_ids, 1.0) for s in samples]
    return np.abs(np.concatenate(gaps)).mean()


def test_the_engine_samples_from_the_adapters_published_last_and_its_base_never_changes(
    adapting, model
):
    base = greedy(adapting)
    for version in (1, 2, 3):
        published = draw(model, version)
        assert adapting.run(adapting.engine.load_weights(version, published)) == checksum(published)
        assert gap(adapting, model, version) < LARGEST_GAP
        assert greedy(adapting) != base
    loaded = adapting.run(adapting.engine._llm.list_loras())
    assert list(loaded) == [adapters.ADAPTER_ID]
    nothing = {name: np.zeros_like(array) for name, array in published.items()}
    adapting.run(adapting.engine.load_weights(4, nothing))
    assert greedy(adapting) == base


def test_a_publication_in_flight_divides_each_response(adapting, model):
    ids = prompt(adapting)
    first, second = draw(model, 1), draw(model, 2)

    async def publish_amid():
        await adapting.engine.load_weights(5, first)
        running = await long_samples(adapting)
        await adapting.engine.load_weights(6, second)
        return await running

    samples = adapting.run(publish_amid())
    assert any(len(sample.version_spans) == 2 for sample in samples)
    expected = {}
    for version, published in ((5, first), (6, second)):
        set_adapters(model, published)
        expected[version] = [logprobs_of(model, ids, s.token_ids, 2.0) for s in samples]
    gaps = []
    for index, sample in enumerate(samples):
        start = 0
        for span in sample.version_spans:
            own = slice(start, start + span.num_tokens)
            gaps.append(sample.sampler_logprobs[own] - expected[span.version][index][own])
            start += span.num_tokens
        assert start == len(sample.token_ids)
    assert np.abs(np.concatenate(gaps)).mean() < LARGEST_GAP


def test_one_changed_bit_shows_in_the_checksum(adapting, model):
    published = draw(model, 1)
    changed = published[K_PROJ].copy()
    changed.view(np.uint32)[3, 5] ^= 1
    fed = adapting.run(adapting.engine.load_weights(7, {**published, K_PROJ: changed}))
    assert fed != checksum(published)


def test_an_incomplete_publication_is_an_error_and_a_complete_one_mends_it(adapting, model):
    published = draw(model, 1)
    incomplete = {name: array for name, array in published.items() if name != K_PROJ}
    with pytest.raises(
        RuntimeError, match=r"lacks the adapters of .*layers\.1\.self_attn\.k_proj$"
    ):
        adapting.run(adapting.engine.load_weights(8, incomplete))
    assert adapting.run(adapting.engine.load_weights(8, published)) == checksum(published)
    assert gap(adapting, model, 8) < LARGEST_GAP


def test_an_adapter_of_a_layer_that_vllm_does_not_adapt_is_an_error(adapting, model):
    published = draw(model, 1)
    for factor in "AB":
        like = published[K_PROJ.replace("lora_A", f"lora_{factor}")]
        published[f"base_model.model.lm_head.lora_{factor}.weight"] = like
    with pytest.raises(RuntimeError, match=r"no place for the adapters of lm_head; use --lora_pub"):
        adapting.run(adapting.engine.load_weights(9, published))
    adapting.run(adapting.engine.load_weights(9, draw(model, 1)))


def test_the_first_adapters_cannot_come_amid_requests_of_the_base(adapting, model):
    engine = adapting.engine

    async def publish_amid():
        running = await long_samples(adapting)
        with pytest.raises(RuntimeError, match="without an adapter cannot go on"):
            await engine.load_weights(10, draw(model, 1))
        await engine.abort_all()
        with pytest.raises(RuntimeError, match="abort"):
            await running

    engine._adapter_request = None
    adapting.run(publish_amid())
    adapting.run(engine.load_weights(10, draw(model, 1)))
    assert gap(adapting, model, 10) < LARGEST_GAP


@pytest.mark.parametrize("slices", [(24,), (16, 8, 8)])
def test_all_tokens_at_once_is_what_vllm_adds_token_by_token(slices):
    from vllm.lora.layers import LoRAMapping
    from vllm.lora.punica_wrapper.punica_cpu import PunicaWrapperCPU

    torch.manual_seed(0)
    wrapper = PunicaWrapperCPU(32, 8, "cpu")
    x, base = torch.randn(11, 20), torch.randn(11, sum(slices))
    a = tuple(torch.randn(1, 1, 8, 20) for _ in slices)
    b = tuple(torch.randn(1, 1, width, 8) for width in slices)
    for has_adapter in (True, False):
        carried = adapters.ADAPTER_ID if has_adapter else 0
        mapping = LoRAMapping((carried,) * 11, (carried,) * 2, is_prefill=True)
        wrapper.update_metadata(mapping, [adapters.ADAPTER_ID], 2, 64)
        expected, found = base.clone(), base.clone()
        wrapper.add_lora_linear(expected, x, a, b, 1.5, slices)
        adapters._add_adapter(wrapper, found, x, a, b, 1.5, slices)
        assert torch.equal(expected, base) != has_adapter
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_the_rank_is_rounded_up_to_one_that_vllm_takes():
    from vllm.config.lora import LoRAConfig

    for rank, expected in ((1, 1), (6, 8), (8, 8), (9, 16), (512, 512)):
        found = adapters.Adapters(rank, 1.0, ("q_proj",)).engine_arguments()["max_lora_rank"]
        assert found == expected
        LoRAConfig(max_lora_rank=found)


def test_places_are_the_adapted_layers_under_their_own_names():
    manager = SimpleNamespace(
        lora_config=SimpleNamespace(target_modules=["q_proj", "v_proj"]),
        modules={"layers.0.qkv_proj": None, "layers.0.o_proj": None},
        packed_modules={"layers.0.qkv_proj": [f"layers.0.{x}_proj" for x in "qkv"]},
    )
    assert adapters._places(manager) == {"layers.0.q_proj", "layers.0.v_proj"}


@pytest.mark.parametrize(
    ("targets", "layers"),
    [
        ("attention", {"q_proj", "v_proj"}),
        (
            "linear",
            {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"},
        ),
    ],
)
def test_layers_that_are_adapted_are_those_that_peft_adapts(targets, layers):
    lora = dataclasses.replace(LORA, lora_targets=targets)
    found = adapters_of(dataclasses.replace(Args(), lora=lora))
    assert found is not None and set(found.layers) == layers
    model = AutoModelForCausalLM.from_pretrained(TINY_MODEL)
    add_adapters(model, lora)
    names = [name.rsplit(".", 3)[1] for name, _ in alone(model.named_parameters())]
    assert set(names) == layers


def test_merged_publication_needs_no_adapters_in_the_engine():
    lora = LoraArgs(lora_rank=6)
    assert adapters_of(dataclasses.replace(Args(), lora=lora)) is None
