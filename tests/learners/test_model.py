"""Token log-probs against the whole model's logits, one response at a time."""

import types

import numpy as np
import pytest
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from learners.batching import collate, plan
from learners.model import (
    TokenLogprobs,
    can_share_prompts,
    linear_cost,
    load_model,
    packing_of,
    row_mask,
)
from learners.rows import Block, Limits, Row
from tests.learners.conftest import make_qwen2
from understand_r1_zero.args import ModelArgs

SHARED, APART = 1e9, 0.0


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def model() -> Qwen2ForCausalLM:
    return make_qwen2(attn_implementation="sdpa")


def score(model, batch, limits, **options) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probs with gradient and entropies of every response token."""
    scorer = TokenLogprobs(model, **options)
    found = torch.zeros(2, batch.num_tokens)
    for rows in plan(batch, np.arange(len(batch.lengths)), limits, 1)[0]:
        micro = collate(batch, rows)
        arrays = micro.input_ids, micro.sources, micro.targets, micro.position_ids, micro.segments
        inputs = [None if a is None else torch.from_numpy(a) for a in arrays]
        found = found.index_copy(1, torch.from_numpy(micro.tokens), torch.stack(scorer(*inputs)))
    return found[0], found[1]


def score_one_by_one(model, batch, temperature) -> tuple[torch.Tensor, torch.Tensor]:
    logprobs, entropies = [], []
    for trajectory in batch.trajectories:
        prompt = torch.from_numpy(trajectory.prompt_token_ids)
        response = torch.from_numpy(trajectory.response_token_ids)
        logits = model(torch.cat([prompt, response])[None]).logits[0] / temperature
        distribution = torch.distributions.Categorical(logits=logits[len(prompt) - 1 : -1])
        logprobs.append(distribution.log_prob(response))
        entropies.append(distribution.entropy())
    return torch.cat(logprobs), torch.cat(entropies)


def gradient(model, logprobs) -> torch.Tensor:
    weights = torch.linspace(-1, 1, len(logprobs))
    gradients = torch.autograd.grad((weights * logprobs).sum(), list(model.parameters()))
    return torch.cat([g.flatten() for g in gradients])


@pytest.mark.parametrize("linear_cost", [APART, SHARED])
@pytest.mark.parametrize("packing", ["none", "masked"])
@pytest.mark.parametrize("max_tokens", [30, 10_000])
@pytest.mark.parametrize("options", [{}, {"max_logits": 0}, {"max_logits": 3 * 64}])
def test_scores_and_gradients_equal_one_response_at_a_time(
    model, batch, linear_cost, packing, max_tokens, options
):
    limits = Limits(max_tokens, 100, linear_cost, packing)
    logprobs, entropies = score(model, batch, limits, temperature=0.7, **options)
    expected, expected_entropies = score_one_by_one(model, batch, 0.7)
    torch.testing.assert_close(logprobs, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(entropies, expected_entropies, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        gradient(model, logprobs), gradient(model, expected), atol=1e-4, rtol=1e-4
    )


def test_prompts_of_several_groups_with_and_without_shared_prompts_in_one_row(model, batch):
    """Blocks of one, of several responses, and padding behind them."""
    rows = [
        Row((Block((0,), 12), Block((4, 5, 6, 7), 29), Block((8, 9), 9))),
        Row((Block((1, 2, 3), 19),)),
        Row((Block((10,), 12), Block((11,), 5))),
    ]
    micro = collate(batch, rows)
    arrays = micro.input_ids, micro.sources, micro.targets, micro.position_ids, micro.segments
    found = TokenLogprobs(model, 0.7)(*(torch.from_numpy(a) for a in arrays))
    expected = score_one_by_one(model, batch, 0.7)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other[torch.from_numpy(micro.tokens)], atol=1e-5, rtol=1e-5)


def test_the_mask_of_a_row():
    """Two blocks: a prompt of two with responses of one and two, a prompt with one; padding."""
    position_ids = torch.tensor([[0, 1, 2, 2, 3, 0, 1, 0, 0]])
    segments = torch.tensor([[0, 0, 1, 2, 2, 0, 1, -1, -1]])
    (((mask,),),) = (row_mask(position_ids, segments),)
    seen = [row.nonzero().ravel().tolist() for row in mask]
    assert seen == [[0], [0, 1], [0, 1, 2], [0, 1, 3], [0, 1, 3, 4], [5], [5, 6], [7], [8]]


def test_where_flash_attention_packs_positions_alone_keep_prompts_apart(model, batch):
    """No kernels here: transformers makes the same mask for SDPA from such positions."""
    limits = Limits(10_000, 100, 0.0, "by_positions")
    (((row,),),) = plan(batch, np.arange(len(batch.lengths)), limits, 1)
    assert len(row.blocks) == len(batch.lengths)
    micro = collate(batch, [row])
    scorer = TokenLogprobs(model, 0.7)
    scorer._takes_mask = False
    arrays = micro.input_ids, micro.sources, micro.targets, micro.position_ids, micro.segments
    found = scorer(*(torch.from_numpy(a) for a in arrays))
    expected = score_one_by_one(model, batch, 0.7)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other[torch.from_numpy(micro.tokens)], atol=1e-5, rtol=1e-5)


def test_an_empty_micro_batch_gives_every_parameter_a_zero_gradient(model, batch):
    micro = collate(batch, [])
    inputs = [torch.from_numpy(a) for a in (micro.input_ids, micro.sources, micro.targets)]
    logprobs, entropies = TokenLogprobs(model, 1.0)(*inputs)
    assert len(logprobs) == len(entropies) == 0
    assert gradient(model, logprobs).abs().max() == 0


def test_the_linear_cost_counts_matrices_not_embeddings(model):
    parameters = sum(p.numel() for n, p in model.named_parameters() if "embed" not in n)
    assert linear_cost(model) == parameters / (2 * 2 * 32)


def test_a_loaded_model_has_no_dropout(model, tmp_path):
    model.config.attention_dropout = 0.5
    model.save_pretrained(tmp_path)
    model.config.attention_dropout = 0.0
    loaded = load_model(str(tmp_path), ModelArgs(), device="cpu").train()
    ids = torch.arange(10)[None]
    assert torch.equal(loaded(ids).logits, loaded(ids).logits)


def test_how_a_model_packs(model):
    sliding = {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 0}
    hybrid = {"layer_types": ["linear_attention", "full_attention"]}
    for changes, implementation, packing in (
        ({}, "sdpa", "masked"),
        ({}, "flash_attention_2", "by_positions"),
        ({}, "eager", "none"),
        (sliding, "sdpa", "none"),
        (sliding, "flash_attention_2", "by_positions"),
        (hybrid, "sdpa", "none"),
        (hybrid, "flash_attention_2", "none"),
    ):
        values = model.config.to_dict()
        if changes:
            del values["layer_types"]
        config = Qwen2Config(**{**values, **changes})
        config._attn_implementation = implementation
        bare = types.SimpleNamespace(config=config)
        assert packing_of(bare) == packing
        assert can_share_prompts(bare) == (packing == "masked")


@pytest.mark.parametrize("max_logits", [0, 64 * 3])
def test_entropies_have_a_gradient_only_where_they_are_trained(model, batch, max_logits):
    """That of the whole model's entropies, also in pieces that are computed again."""
    limits = Limits(10_000, 100, APART)
    _, plain = score(model, batch, limits, temperature=0.7, max_logits=max_logits)
    assert gradient(model, plain).abs().max() == 0
    _, found = score(
        model, batch, limits, temperature=0.7, max_logits=max_logits, trains_entropy=True
    )
    _, expected = score_one_by_one(model, batch, 0.7)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        gradient(model, found), gradient(model, expected), rtol=1e-3, atol=1e-4
    )
