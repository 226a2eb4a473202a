from types import SimpleNamespace

import pytest
import torch
from torch import nn

from actors.receiver import Receipt, WeightReceiver
from understand_r1_zero.weights import checksum


class FusedModel(nn.Module):
    """As vLLM's models: fuses two checkpoint tensors, passes over what it does not need."""

    def __init__(self):
        super().__init__()
        self.packed_modules_mapping = {"gate_up_proj": ["gate_proj", "up_proj"]}
        self.mlp = nn.Module()
        self.mlp.gate_up_proj = nn.Linear(2, 4, bias=False)
        self.norm = nn.Linear(2, 1, bias=False)
        self.fed = []

    def load_weights(self, weights):
        loaded = set()
        for name, _ in weights:
            self.fed.append(name)
            if name != "lm_head.weight":
                for part in ("gate_proj", "up_proj"):
                    name = name.replace(part, "gate_up_proj")
                loaded.add(name)
        return loaded


def publication():
    return {
        "mlp.gate_proj.weight": torch.randn(2, 2),
        "mlp.up_proj.weight": torch.randn(2, 2),
        "norm.weight": torch.randn(1, 2),
        "lm_head.weight": torch.randn(3),
    }


def feed(weights):
    model = FusedModel()
    receipt = Receipt(model)
    model.load_weights(iter(weights.items()))
    return model, receipt


def test_the_checksum_is_that_of_what_was_fed():
    weights = publication()
    model, receipt = feed(weights)
    assert receipt.close() == checksum(weights)
    assert model.fed == list(weights)


def test_weights_may_come_in_several_parts():
    weights = publication()
    model = FusedModel()
    receipt = Receipt(model)
    for item in weights.items():
        model.load_weights([item])
    assert receipt.close() == checksum(weights)


def test_a_changed_value_changes_the_checksum():
    weights = publication()
    expected = checksum(weights)
    weights["norm.weight"][0, 1] += 1e-6
    _, receipt = feed(weights)
    assert receipt.close() != expected


@pytest.mark.parametrize("name", ["norm.weight", "mlp.gate_proj.weight", "mlp.up_proj.weight"])
def test_a_parameter_or_part_of_one_that_was_not_fed_is_named(name):
    weights = publication()
    del weights[name]
    _, receipt = feed(weights)
    with pytest.raises(ValueError, match=name):
        receipt.close()


def test_afterwards_the_model_is_as_before():
    weights = publication()
    model, receipt = feed(weights)
    receipt.close()
    assert "load_weights" not in vars(model)
    second = Receipt(model)
    model.load_weights(weights.items())
    assert second.close() == checksum(weights)


class WaitingModel(FusedModel):
    """As vLLM's layerwise loader: keeps what it is fed until the layer is complete."""

    def __init__(self):
        super().__init__()
        self.kept = {}

    def load_weights(self, weights):
        weights = list(weights)
        self.kept |= dict(weights)
        return super().load_weights(weights)


def worker(model, group=None):
    receiver = WeightReceiver()
    receiver.model_runner = SimpleNamespace(get_model=lambda: model)
    receiver.weight_transfer_engine = SimpleNamespace(model_update_group=group)
    return receiver


def test_what_a_learner_lends_may_change_before_the_layer_is_complete():
    model, weights = WaitingModel(), publication()
    receiver = worker(model)
    receiver.begin_receiving()
    for name, weight in weights.items():
        lent = weight.clone()
        model.load_weights([(name, lent)])
        lent.fill_(-1)
    assert receiver.end_receiving() == checksum(weights)
    assert all(torch.equal(model.kept[name], weights[name]) for name in weights)


def test_what_is_not_lent_is_fed_without_a_copy():
    model, weights = WaitingModel(), publication()
    Receipt(model)
    model.load_weights(weights.items())
    assert all(model.kept[name] is weights[name] for name in weights)


def test_a_worker_frees_its_last_group_before_it_joins_another():
    left = []
    receiver = worker(FusedModel(), SimpleNamespace(destroy=lambda: left.append(True)))
    receiver.leave_group()
    receiver.leave_group()
    assert left == [True]
    assert receiver.weight_transfer_engine.model_update_group is None
