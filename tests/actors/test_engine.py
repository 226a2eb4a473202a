"""The engine on real vLLM, checked against transformers on the same weights."""

import asyncio
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from understand_r1_zero.args import TINY_MODEL
from understand_r1_zero.templates import render_qwen_math
from understand_r1_zero.types import Sampling, VersionSpan
from understand_r1_zero.weights import checksum, to_arrays

pytestmark = [pytest.mark.engine, pytest.mark.slow]

EOS_IDS = (0, 2)


def sampling(num_samples=4, temperature=1.0, max_tokens=32, seed=None):
    return Sampling(num_samples, temperature, 1.0, -1, max_tokens, seed)


def prompt(live, text="27 + 14 - 5"):
    return np.array(live.tokenizer(render_qwen_math(f"{text} =")).input_ids, np.int32)


@pytest.fixture(scope="module")
def model():
    torch.set_num_threads(1)  # two would wait for each other, and for the engine's
    return AutoModelForCausalLM.from_pretrained(TINY_MODEL, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def original(model):
    return to_arrays({name: value.clone() for name, value in model.named_parameters()})


@pytest.fixture(scope="module")
def other(original):
    """Another policy: a second layer of half the size, and another embedding (and head: it is tied)."""
    scales = {"layers.1.": 0.5, "embed_tokens": 1.3}
    return {
        name: array * np.float32(next((x for part, x in scales.items() if part in name), 1))
        for name, array in original.items()
    }


@pytest.fixture
def restored(live, original) -> Iterator[None]:
    yield
    live.run(live.engine.load_weights(0, original))


async def long_samples(live):
    """Long responses, some still being sampled but well under way: the task that gives them."""
    # Any of them may end early: 32 are many enough that some do not.
    ask = sampling(32, 2.0, 400)
    running = asyncio.create_task(live.engine.generate(prompt(live), ask))
    while not any(
        state.detokenizer.num_output_tokens() >= 40
        for state in live.engine._llm.output_processor.request_states.values()
    ):
        assert not running.done()
        await asyncio.sleep(0.001)
    return running


def set_weights(model, weights):
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(torch.from_numpy(weights[name]))


@torch.no_grad()
def logprobs_of(model, prompt_ids, response_ids, temperature):
    ids = torch.from_numpy(np.concatenate([prompt_ids, response_ids])).long()[None]
    logits = model(ids).logits[0, len(prompt_ids) - 1 : -1] / temperature
    chosen = torch.from_numpy(response_ids).long()[:, None]
    return logits.log_softmax(-1).gather(1, chosen)[:, 0].numpy()


def greedy(live, prompt_ids, max_tokens=24):
    samples = live.run(live.engine.generate(prompt_ids, sampling(1, 0.0, max_tokens)))
    return samples[0].token_ids


@torch.no_grad()
def greedy_of(model, prompt_ids, max_tokens=24):
    ids = torch.from_numpy(prompt_ids).long()[None]
    out = model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=max_tokens, do_sample=False
    )
    return out[0, len(prompt_ids) :].numpy()


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_sampler_logprobs_are_the_models_after_temperature(live, model, original, temperature):
    set_weights(model, original)
    ids = prompt(live)
    for sample in live.run(live.engine.generate(ids, sampling(8, temperature))):
        expected = logprobs_of(model, ids, sample.token_ids, temperature)
        assert sample.sampler_logprobs.dtype == np.float32
        assert np.abs(sample.sampler_logprobs - expected).max() < 1e-4


def test_samples_end_with_the_end_token_or_are_truncated(live):
    short = live.run(live.engine.generate(prompt(live), sampling(16, 1.0, 2)))
    long = live.run(live.engine.generate(prompt(live), sampling(64, 1.0, 200)))
    assert any(sample.is_truncated for sample in short)
    assert not all(sample.is_truncated for sample in long)
    for max_tokens, samples in ((2, short), (200, long)):
        for sample in samples:
            has_ended = sample.token_ids[-1] in EOS_IDS
            assert sample.is_truncated == (not has_ended)
            assert not sample.is_truncated or len(sample.token_ids) == max_tokens
            assert sample.token_ids.dtype == np.int32
            assert sample.text == live.tokenizer.decode(sample.token_ids, skip_special_tokens=True)
            assert sample.version_spans == (VersionSpan(0, len(sample.token_ids)),)


@pytest.mark.parametrize("seed", [None, 5])
def test_a_stop_string_ends_the_sample_and_stays_in_it(live, seed):
    ask = sampling(16, 1.0, 32, seed)
    samples = live.run(live.engine.generate(prompt(live), ask, ("boxed{", "= ")))
    stopped = [s for s in samples if s.text.endswith(("boxed{", "= "))]
    assert stopped
    for sample in stopped:
        assert not sample.is_truncated
        before = live.tokenizer.decode(sample.token_ids[:-1], skip_special_tokens=True)
        assert "boxed{" not in before and "= " not in before
        assert len(sample.sampler_logprobs) == len(sample.token_ids)


def test_published_weights_are_what_samples(live, model, original, other, restored):
    long_prompt = prompt(live, " + ".join("17" for _ in range(30)))
    assert len(long_prompt) > 64  # several blocks of keys and values that must be forgotten
    set_weights(model, original)
    assert greedy(live, long_prompt).tolist() == greedy_of(model, long_prompt).tolist()
    fed = live.run(live.engine.load_weights(1, other))
    assert fed == checksum(other)
    set_weights(model, other)
    assert greedy(live, long_prompt).tolist() == greedy_of(model, long_prompt).tolist()
    (sample,) = live.run(live.engine.generate(long_prompt, sampling(1)))
    expected = logprobs_of(model, long_prompt, sample.token_ids, 1.0)
    assert np.abs(sample.sampler_logprobs - expected).max() < 1e-4
    assert {span.version for span in sample.version_spans} == {1}


def test_read_only_weights_are_taken(live, original):
    frozen = {name: array.copy() for name, array in original.items()}
    for array in frozen.values():
        array.flags.writeable = False  # as Ray's shared memory is
    assert live.run(live.engine.load_weights(0, frozen)) == checksum(original)


def test_one_changed_bit_shows_in_the_checksum(live, original, restored):
    expected = checksum(original)
    name = "model.layers.0.mlp.down_proj.weight"
    changed = original[name].copy()
    changed.view(np.uint32)[3, 5] ^= 1
    assert live.run(live.engine.load_weights(1, {**original, name: changed})) != expected


def test_an_incomplete_publication_is_an_error_and_a_complete_one_mends_it(live, original):
    name = "model.layers.1.self_attn.k_proj.weight"
    incomplete = {key: array for key, array in original.items() if key != name}
    with pytest.raises(RuntimeError, match=name):
        live.run(live.engine.load_weights(1, incomplete))
    assert live.run(live.engine.load_weights(0, original)) == checksum(original)
    assert len(greedy(live, prompt(live))) > 0


def test_a_publication_in_flight_divides_each_response(live, model, original, other, restored):
    ids = prompt(live)

    async def publish_amid():
        running = await long_samples(live)
        await live.engine.load_weights(1, other)
        return await running

    samples = live.run(publish_amid())
    divided = [sample for sample in samples if len(sample.version_spans) == 2]
    assert divided
    set_weights(model, original)
    old = [logprobs_of(model, ids, sample.token_ids, 2.0) for sample in samples]
    set_weights(model, other)
    new = [logprobs_of(model, ids, sample.token_ids, 2.0) for sample in samples]
    for sample, before, after in zip(samples, old, new, strict=True):
        assert sum(span.num_tokens for span in sample.version_spans) == len(sample.token_ids)
        versions = np.repeat(
            [span.version for span in sample.version_spans],
            [span.num_tokens for span in sample.version_spans],
        )
        expected = np.where(versions == 0, before, after)
        assert np.abs(sample.sampler_logprobs - expected).max() < 1e-4


def test_nothing_is_sampled_while_weights_are_received(live, restored, monkeypatch):
    class Received:
        is_asleep = False

        async def begin(self):
            assert self.is_open is False
            self.is_open = True

        async def end(self):
            self.is_open = False
            return ["ab"]

        is_open = False

    async def receive():
        before = await long_samples(live)
        await live.engine.begin_weights()
        after = asyncio.create_task(live.engine.generate(prompt(live), sampling(4)))
        await asyncio.sleep(0.5)
        is_done = before.done() or after.done()
        assert await live.engine.end_weights(5) == "ab"
        assert not is_done
        return await before, await after

    monkeypatch.setattr(live.engine, "transfer", Received())
    before, after = live.run(receive())
    assert {span.version for sample in after for span in sample.version_spans} == {5}
    assert {span.version for sample in before for span in sample.version_spans} == {0, 5}


def test_requests_given_up_raise_and_others_go_on(live):
    async def give_up():
        running = await long_samples(live)
        await live.engine.abort_all()
        with pytest.raises(RuntimeError, match="abort"):
            await running
        return await live.engine.generate(prompt(live), sampling())

    assert len(live.run(give_up())) == 4


def test_a_prompt_longer_than_the_context_is_refused(live):
    too_long = np.full(2000, 5, np.int32)
    with pytest.raises(ValueError, match="1088"):
        live.run(live.engine.generate(too_long, sampling()))
    with pytest.raises(ValueError, match="1088"):
        live.run(live.engine.generate_together([(too_long, sampling())]))
    assert len(live.run(live.engine.generate(prompt(live), sampling()))) == 4
