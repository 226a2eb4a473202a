"""The value head against Hugging Face's own token classification of the same weights."""

import json

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForTokenClassification,
    GPT2Config,
    GPT2LMHeadModel,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from learners.batching import collate, plan
from learners.model import TokenLogprobs, load_model
from learners.rows import Limits
from learners.value_model import TokenValues, save_value_model, value_head
from tests.learners.conftest import make_qwen2
from understand_r1_zero.args import ModelArgs

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def model() -> Qwen2ForCausalLM:
    return make_qwen2(attn_implementation="sdpa")


@pytest.fixture
def head(model):
    head = value_head(model, "", seed=1)
    torch.nn.init.constant_(head.bias, 0.7)
    return head


def read(module, batch, limits) -> torch.Tensor:
    """(3, T): log-probs, entropies and outputs of every response token."""
    found = torch.zeros(3, batch.num_tokens)
    for rows in plan(batch, np.arange(len(batch.lengths)), limits, 1)[0]:
        micro = collate(batch, rows)
        inputs = micro.input_ids, micro.sources, micro.targets, micro.position_ids, micro.segments
        tensors = [None if a is None else torch.from_numpy(a) for a in (*inputs, micro.places)]
        found = found.index_copy(1, torch.from_numpy(micro.tokens), torch.stack(module(*tensors)))
    return found


def hugging_face(directory, batch) -> torch.Tensor:
    model = AutoModelForTokenClassification.from_pretrained(directory).eval()
    outputs = []
    for trajectory in batch.trajectories:
        ids = np.concatenate([trajectory.prompt_token_ids, trajectory.response_token_ids])
        found = model(torch.from_numpy(ids)[None]).logits[0, :, 0]
        outputs.append(found[len(trajectory.prompt_token_ids) :])
    return torch.cat(outputs).detach()


def save(directory, model, head, activation="none"):
    score = {f"score.{name}": value for name, value in head.state_dict().items()}
    save_value_model(directory, model, model.state_dict() | score, activation)


@pytest.mark.parametrize("linear_cost", [0.0, 1e9])
@pytest.mark.parametrize("max_tokens", [30, 10_000])
def test_outputs_are_those_of_the_saved_checkpoint(
    model, head, batch, tmp_path, linear_cost, max_tokens
):
    save(tmp_path, model, head)
    module = TokenValues(TokenLogprobs(model, 1.0), head, has_logprobs=True)
    outputs = read(module, batch, Limits(max_tokens, 100, linear_cost))[2]
    torch.testing.assert_close(outputs, hugging_face(tmp_path, batch), atol=1e-5, rtol=1e-5)


def test_logprobs_are_as_without_a_head(model, head, batch):
    scorer, limits = TokenLogprobs(model, 0.7), Limits(100, 100, 1e9)
    module = TokenValues(scorer, head, has_logprobs=True)
    alone = read(lambda *inputs: (*scorer(*inputs[:5]), torch.zeros(len(inputs[1]))), batch, limits)
    assert torch.equal(read(module, batch, limits)[:2], alone[:2])


def test_without_logprobs_the_vocabulary_is_left_alone(batch):
    model = make_qwen2(tie_word_embeddings=False, attn_implementation="sdpa")
    head = value_head(model, "", seed=1)
    module = TokenValues(TokenLogprobs(model, 1.0), head, has_logprobs=False)
    found = read(module, batch, Limits(100, 100))
    assert found[:2].abs().max() == 0
    assert not model.lm_head.weight.requires_grad
    found[2].sum().backward()
    missing = [name for name, p in module.named_parameters() if p.grad is None]
    assert missing == ["scorer.model.lm_head.weight"]


def test_an_empty_micro_batch_gives_every_parameter_a_zero_gradient(model, head, batch):
    micro = collate(batch, [])
    inputs = [torch.from_numpy(a) for a in (micro.input_ids, micro.sources, micro.targets)]
    module = TokenValues(TokenLogprobs(model, 1.0), head, has_logprobs=True)
    logprobs, _, outputs = module(*inputs, None, None, torch.from_numpy(micro.places))
    (logprobs.sum() + outputs.sum()).backward()
    assert all(p.grad is not None and p.grad.abs().max() == 0 for p in module.parameters())


def test_the_checkpoint_says_how_it_is_read_and_can_be_gone_on_from(model, head, tmp_path):
    save(tmp_path, model, head, "tanh")
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["architectures"] == ["Qwen2ForTokenClassification"]
    assert config["value_activation"] == "tanh"
    assert len(config["id2label"]) == 1
    loaded = load_model(str(tmp_path), ModelArgs(), device="cpu")
    again = value_head(loaded, str(tmp_path), seed=2)
    assert torch.equal(again.weight, head.weight)
    assert torch.equal(again.bias, head.bias)
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name


@pytest.mark.parametrize("shard", ["1GB", "20KB"])
def test_the_head_beside_a_policy_goes_on(model, head, tmp_path, shard):
    beside = tmp_path / "value_model"
    beside.mkdir()
    save(beside, model, head, "tanh")
    whole = AutoModelForTokenClassification.from_pretrained(beside)
    whole.config.value_activation = "tanh"
    (beside / "model.safetensors").unlink()
    whole.save_pretrained(beside, max_shard_size=shard)
    assert len(list(beside.glob("*.safetensors"))) > 1 or shard == "1GB"
    again = value_head(model, str(tmp_path), seed=2, activation="tanh")
    assert torch.equal(again.weight, head.weight)
    assert torch.equal(again.bias, head.bias)
    new = value_head(model, str(tmp_path), seed=2, is_critic=True)
    assert new.weight.abs().max() == 0 and new.bias.item() == 0
    with pytest.raises(ValueError) as refusal:
        value_head(model, str(tmp_path), seed=2, activation="none")
    assert "\n" not in str(refusal.value)
    for part in (
        f"--pretrain {tmp_path}",
        "value_activation is tanh",
        "--value_head",
        "ask for none",
    ):
        assert part in str(refusal.value)


def test_a_classifier_beside_a_policy_is_no_value_head(model, tmp_path):
    config = Qwen2Config(**{**model.config.to_dict(), "num_labels": 3})
    other = AutoModelForTokenClassification.from_config(config)
    other.save_pretrained(tmp_path / "value_model")
    found = value_head(model, str(tmp_path), seed=2)
    assert torch.equal(found.weight, value_head(model, "", seed=2).weight)


def test_a_new_head_follows_from_the_seed(model):
    one, same, other = (value_head(model, "", seed) for seed in (1, 1, 2))
    assert torch.equal(one.weight, same.weight)
    assert not torch.equal(one.weight, other.weight)
    assert one.bias.item() == 0
    assert one.weight.std().item() == pytest.approx(0.2, rel=0.5)


def test_an_architecture_without_a_linear_score_is_refused():
    config = GPT2Config(vocab_size=8, n_embd=8, n_layer=1, n_head=1)
    with pytest.raises(ValueError, match="no token classification with a linear layer 'score'"):
        value_head(GPT2LMHeadModel(config), "", seed=0)


def test_a_checkpoint_with_several_labels_is_refused(model, tmp_path):
    config = Qwen2Config(**{**model.config.to_dict(), "num_labels": 3})
    AutoModelForTokenClassification.from_config(config).save_pretrained(tmp_path)
    loaded = load_model(str(tmp_path), ModelArgs(), device="cpu")
    with pytest.raises(ValueError, match="one label to be a value model, got 3"):
        value_head(loaded, str(tmp_path), seed=0)
