"""Adapters, on the real engine (`rank_process.py`) and alone."""

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.numpy import load_file
from transformers import AutoModelForCausalLM

from learners import adapters
from learners.adapters import add_adapters, merged, save_adapters
from understand_r1_zero.args_lora import LoraArgs

LORA = LoraArgs(lora_rank=4, lora_alpha=6.0)


def with_random_adapters(laboratory, lora):
    """Models without and with adapters, of which both factors are random."""
    plain, model = (
        AutoModelForCausalLM.from_pretrained(laboratory / "model", dtype=torch.float32)
        for _ in range(2)
    )
    add_adapters(model, lora)
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.normal_(0, 0.1)
    return plain, model


@pytest.mark.parametrize(("targets", "count"), [("linear", 14), ("attention", 4)])
def test_merged_weights_compute_what_the_adapters_do(laboratory, targets, count):
    lora = LoraArgs(4, 6.0, targets)
    plain, model = with_random_adapters(laboratory, lora)
    ids = torch.arange(10)[None]
    expected = model(ids).logits
    assert (plain(ids).logits - expected).abs().max() > 0.1
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    found = dict(merged(model.named_parameters(), lora))
    assert {name: t.shape for name, t in found.items()} == {
        name: parameter.shape for name, parameter in plain.named_parameters()
    }
    plain.load_state_dict(found, strict=False)
    torch.testing.assert_close(plain(ids).logits, expected, atol=1e-5, rtol=1e-5)
    trained = [name for name, p in model.named_parameters() if p.requires_grad]
    assert len(trained) == 2 * count and all("lora_" in name for name in trained)
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, before[name])


@pytest.mark.parametrize("targets", ["linear", "attention"])
def test_saved_adapters_are_peft_s_own(laboratory, tmp_path, targets):
    lora = LoraArgs(4, 6.0, targets)
    plain, model = with_random_adapters(laboratory, lora)
    own = {name: tensor.detach() for name, tensor in adapters.alone(model.named_parameters())}
    save_adapters(tmp_path / "adapter", own, lora, str(laboratory / "model"))
    assert {path.name for path in (tmp_path / "adapter").iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    loaded = PeftModel.from_pretrained(plain, tmp_path / "adapter")
    ids = torch.arange(10)[None]
    assert torch.equal(loaded(ids).logits, model(ids).logits)
    config = loaded.peft_config["default"]
    assert config.base_model_name_or_path == str((laboratory / "model").resolve())


def test_adapters_change_nothing_at_first(laboratory):
    plain, model = (
        AutoModelForCausalLM.from_pretrained(laboratory / "model", dtype=torch.float32)
        for _ in range(2)
    )
    add_adapters(model, LORA)
    ids = torch.arange(10)[None]
    assert torch.equal(plain(ids).logits, model(ids).logits)


@pytest.mark.engine
@pytest.mark.xdist_group("rank_process")
@pytest.mark.parametrize("stage", [0, 2, 3])
def test_only_adapters_are_trained_and_merged_weights_are_published(alone, laboratory, stage):
    found = alone["adapters"][stage]
    original = load_file(laboratory / "model" / "model.safetensors")
    assert found["at first"].keys() == found["weights"].keys() == original.keys()
    for name, weight in original.items():
        np.testing.assert_array_equal(found["at first"][name], weight)
        is_adapted = "proj.weight" in name
        assert np.array_equal(found["weights"][name], weight) != is_adapted
    for name, own in found["own"].items():
        if "lora_" not in name:
            name = name.removeprefix("model.").replace(".base_layer", "")
            np.testing.assert_array_equal(own, original[name])


@pytest.mark.engine
@pytest.mark.xdist_group("rank_process")
@pytest.mark.parametrize("stage", [0, 2, 3])
def test_adapters_learn_the_same_on_two_ranks(alone, pair, stage):
    expected = alone["adapters"][2]
    for found in (alone["adapters"][stage], pair[0]["adapters"][stage]):
        for one, other in zip(found["metrics"], expected["metrics"], strict=True):
            assert one == pytest.approx(other, rel=5e-3, abs=1e-3)
        for name, weight in expected["weights"].items():
            assert np.abs(found["weights"][name] - weight).mean() < 1e-3, name


@pytest.mark.engine
@pytest.mark.xdist_group("rank_process")
@pytest.mark.parametrize("num_ranks", [1, 2])
def test_adapters_aloneare_published_and_saved_and_give_the_merged_model(
    alone, pair, laboratory, num_ranks
):
    found = (alone if num_ranks == 1 else pair[0])["adapters"]
    checkpoint = laboratory / f"adapters_{num_ranks}"
    saved = load_file(checkpoint / "adapter" / "adapter_model.safetensors")
    assert saved.keys() == found["published alone"].keys()
    for name, array in saved.items():
        np.testing.assert_array_equal(found["published alone"][name], array)
    base, merged_model = (
        AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
        for path in (laboratory / "model", checkpoint)
    )
    ids = torch.arange(10)[None]
    before = base(ids).logits
    loaded = PeftModel.from_pretrained(base, checkpoint / "adapter")(ids).logits
    assert (loaded - before).abs().max() > 1e-2
    torch.testing.assert_close(loaded, merged_model(ids).logits, atol=1e-5, rtol=1e-5)


@pytest.mark.engine
@pytest.mark.parametrize("num_ranks", [1, 2])
def test_adapters_resume_and_their_checkpoint_is_merged(alone, pair, laboratory, num_ranks):
    found = (alone if num_ranks == 1 else pair[0])["adapters"]
    assert found["resumed"]["metrics"] == found["straight"]["metrics"]
    for name, weight in found["straight"]["weights"].items():
        np.testing.assert_array_equal(found["resumed"]["weights"][name], weight)
    saved = load_file(laboratory / f"adapters_{num_ranks}" / "model.safetensors")
    assert saved.keys() == found[3]["weights"].keys()
    for name, weight in found[3]["weights"].items():
        np.testing.assert_array_equal(saved[name], weight)
