"""Steps, next tokens and values on real vLLM, checked against transformers on the same weights."""

import asyncio

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForTokenClassification

from actors.policy_steps import PolicySteps
from actors.stop_tokens import StopTokens
from understand_r1_zero.args import TINY_MODEL
from understand_r1_zero.templates import render_qwen_math
from understand_r1_zero.types import Sampling

pytestmark = [pytest.mark.engine, pytest.mark.slow]

END = "<|im_end|>"


def sampling(num_samples=48, temperature=1.0, max_tokens=48, seed=5):
    return Sampling(num_samples, temperature, 1.0, -1, max_tokens, seed)


def prompt(live, text="7 + 4 - 5 + 1"):
    return np.array(live.tokenizer(render_qwen_math(f"{text} =")).input_ids, np.int32)


def steps(live, stop, **options):
    return live.run(live.engine.generate_steps(prompt(live), sampling(**options), stop))


def test_steps_end_at_a_line_end_and_no_token_later(live):
    found = steps(live, ("\n",))
    lines = [sample for sample in found if sample.text.endswith("\n")]
    assert lines
    for sample in lines:
        assert sample.text.count("\n") == 1 and not sample.is_truncated
        assert live.tokenizer.decode(sample.token_ids) == sample.text
        assert len(sample.token_ids) == len(sample.sampler_logprobs)


def test_a_policy_that_ends_itself_has_the_end_token_and_not_its_text(live):
    ended = [s for s in steps(live, ("\n",)) if "\n" not in s.text and not s.is_truncated]
    assert ended
    for sample in ended:
        assert END not in sample.text
        assert live.tokenizer.decode(sample.token_ids) == sample.text + END


def test_a_stop_string_of_several_tokens_cuts_text_and_tokens(live):
    whole = {s.text for s in steps(live, ()) if "=" in s.text}
    stop = "}" + END
    assert whole and not any(END in text for text in whole)
    cut = [s for s in steps(live, ("=1", "=2")) if s.text.endswith(("=1", "=2"))]
    assert cut and all(s.text.count("=") == 1 for s in cut)
    with_end = [s for s in steps(live, (stop,)) if s.text.endswith(stop)]
    assert not with_end, "the end token is no text"


def test_the_same_seed_gives_the_same_steps(live):
    first, second, other = ([s.text for s in steps(live, ("\n",), seed=seed)] for seed in (5, 5, 6))
    assert first == second != other


def test_stop_tokens_are_those_that_contain_a_stop_string(live):
    found = StopTokens(live.tokenizer)
    line_ends = found.of(("\n",))
    assert line_ends.are_all and live.tokenizer("\n").input_ids[0] in line_ends.ids
    assert not found.of(("\n\n",)).are_all
    assert found.of(()).ids == frozenset()


def test_next_logprobs_are_the_models_among_the_choices(live):
    model = AutoModelForCausalLM.from_pretrained(TINY_MODEL, dtype=torch.float32).eval()
    ids = prompt(live)
    choices = [live.tokenizer(text).input_ids[0] for text in ("1", "7", "\\")]
    with torch.no_grad():
        logits = model(torch.tensor(ids[None].astype(np.int64))).logits[0, -1, choices]
    expected = torch.log_softmax(logits, -1).numpy()
    found = live.run(live.engine.next_logprobs(ids.tolist(), choices))
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_full_context_has_no_next_logprobs(live):
    limit = live.engine._max_model_len
    one_left, full = (
        live.run(live.engine.next_logprobs([5] * length, [3, 4])) for length in (limit - 1, limit)
    )
    assert np.exp(one_left).sum() == pytest.approx(1) and np.isnan(full).all()


def test_a_continuation_has_the_tokens_of_its_text(live):
    asked = PolicySteps(live.engine, live.tokenizer, sampling(), ("\n",), 200)
    found = live.run(asked.go_on(prompt(live).tolist(), 48, 5))
    assert {each.stop_reason for each in found} == {"\n", None}
    for each in found:
        assert live.tokenizer.decode(each.token_ids) == each.text
        has_ended = each.stop_reason is None and not each.is_truncated
        assert live.tokenizer.decode(each.end_ids) == (END if has_ended else "")
        assert each.num_tokens == len(each.token_ids) + len(each.end_ids) and each.logprob < 0
    assert asked.num_tokens == sum(each.num_tokens for each in found)


def test_a_full_context_gives_no_step(live):
    asked = PolicySteps(live.engine, live.tokenizer, sampling(), ("\n",), 30)
    assert live.run(asked.go_on([5] * 30, 4, 1)) == []
    assert all(each.num_tokens <= 2 for each in live.run(asked.go_on([5] * 28, 4, 1)))


@pytest.fixture(scope="module")
def value_model(tmp_path_factory, live):
    directory = tmp_path_factory.mktemp("value")
    torch.manual_seed(0)
    model = AutoModelForTokenClassification.from_pretrained(TINY_MODEL, num_labels=1).eval()
    torch.nn.init.normal_(model.score.weight, std=0.1)  # outputs of the size of values
    model.save_pretrained(directory)
    live.tokenizer.save_pretrained(directory)
    return directory, model


def test_values_are_transformers_also_behind_a_cached_prefix(live, value_model):
    from actors.llm import EngineSettings
    from actors.reader import Reader

    directory, model = value_model
    rng = np.random.default_rng(0)
    shared = rng.integers(5, 400, 70).tolist()
    sequences = [[*shared, *rng.integers(5, 400, 10).tolist()] for _ in range(8)]
    with torch.no_grad():
        expected = [model(torch.tensor([ids])).logits[0].numpy() for ids in sequences]

    async def read():
        reader = Reader(EngineSettings(str(directory), "float32", 200, runner="pooling"))
        try:
            whole = [await reader.read(sequences[0])]
            whole += await asyncio.gather(*(reader.read(ids, 0) for ids in sequences[1:]))
            tails = await asyncio.gather(*(reader.read(ids, 75) for ids in sequences))
            # Outputs of what the cache holds are wanted too.
            middles = await asyncio.gather(*(reader.read(ids, 20) for ids in sequences))
            [long, full] = [[*shared, *shared, *shared[:n]] for n in (70, 60)]
            return whole, tails, middles, [await reader.read(ids, 190) for ids in (long, full)]
        finally:
            await reader.close()

    whole, tails, middles, (beyond, full) = live.run(read())
    for found, tail, middle, right in zip(whole, tails, middles, expected, strict=True):
        assert found.shape == (80, 1) and tail.shape == (5, 1) and middle.shape == (60, 1)
        np.testing.assert_allclose(found, right, atol=1e-4)
        np.testing.assert_allclose(tail, right[75:], atol=1e-4)
        np.testing.assert_allclose(middle, right[20:], atol=1e-4)
    assert beyond.shape == (20, 1) and full.shape == (10, 1)
    assert np.isnan(beyond[:, 0]).tolist() == [False] * 10 + [True] * 10
    np.testing.assert_allclose(beyond[:10], full, atol=1e-4)
