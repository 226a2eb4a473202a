"""How values are read, and how well they separate."""

import json
import math
import random

import numpy as np
import pytest

from understand_r1_zero.args_supervised import ValueArgs
from understand_r1_zero.cli import parse
from understand_r1_zero.values import (
    ACTIVATIONS,
    activation_name,
    activation_of,
    area_under_roc,
    trains_step_values,
    value_model_beside,
)


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        (ValueArgs(), "none"),
        (ValueArgs(value_loss="ranking"), "none"),
        (ValueArgs(value_loss="bce"), "sigmoid"),
        (ValueArgs(value_head="tanh"), "tanh"),
        (ValueArgs(value_head="tanh", value_loss="ranking"), "tanh"),
    ],
)
def test_the_flags_say_the_activation(flags, name):
    assert activation_name(flags) == name


def test_activations():
    outputs = np.array([-800.0, -1.0, 0.0, 2.0, 800.0])
    assert ACTIVATIONS["none"](outputs).tolist() == outputs.tolist()
    assert ACTIVATIONS["tanh"](outputs) == pytest.approx([math.tanh(x) for x in outputs])
    expected = [0.0, 1 / (1 + math.e), 0.5, 1 / (1 + math.exp(-2)), 1.0]
    assert ACTIVATIONS["sigmoid"](outputs) == pytest.approx(expected)


def test_a_checkpoint_says_its_activation(tmp_path):
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"value_activation": "tanh"}))
    assert ACTIVATIONS[activation_of(tmp_path)](np.array([1.0])) == pytest.approx([math.tanh(1)])
    config.write_text("{}")
    assert ACTIVATIONS[activation_of(tmp_path)](np.array([5.0])).tolist() == [5.0]
    config.write_text(json.dumps({"value_activation": "relu"}))
    with pytest.raises(ValueError, match="value_activation must be one of none, tanh, sigmoid"):
        activation_of(tmp_path)


def test_a_value_model_beside_a_policy_must_be_read_alike(tmp_path):
    assert value_model_beside("", "none") is None
    assert value_model_beside(str(tmp_path), "none") is None
    config = {"architectures": ["Qwen2ForTokenClassification"], "id2label": {"0": "LABEL_0"}}
    (tmp_path / "value_model").mkdir()
    path = tmp_path / "value_model" / "config.json"
    path.write_text(json.dumps(config | {"value_activation": "sigmoid"}))
    assert value_model_beside(str(tmp_path), "sigmoid") == tmp_path / "value_model"
    for other in ("none", "tanh"):
        with pytest.raises(
            ValueError, match=f"is sigmoid, but --value_head and .* ask for {other};"
        ):
            value_model_beside(str(tmp_path), other)
    for change in ({"id2label": {"0": "a", "1": "b"}}, {"architectures": ["Qwen2ForCausalLM"]}):
        path.write_text(json.dumps(config | change))
        assert value_model_beside(str(tmp_path), "tanh") is None


@pytest.mark.parametrize(
    ("argv", "is_trained"),
    [
        ("", False),
        ("--algo dpo", False),
        ("--algo dpo --preference_data a.jsonl --pair_value_weight 1", True),
        ("--algo dpo --preference_data a.jsonl --pair_margin_weight 1", True),
        ("--algo value --value_data a.jsonl", True),
        ("--algo sft --sft_data a.jsonl", False),
    ],
)
def test_who_trains_step_values(argv, is_trained):
    assert trains_step_values(parse(argv.split())) == is_trained


@pytest.mark.parametrize("seed", range(5))
def test_the_area_is_the_share_of_pairs_in_order(seed):
    rng = random.Random(seed)
    values = [rng.randint(0, 6) / 3 for _ in range(40)]
    is_right = [rng.random() < 0.4 for _ in values]
    points = [
        1.0 if right > wrong else 0.5 if right == wrong else 0.0
        for right, is_one in zip(values, is_right, strict=True)
        for wrong, is_other in zip(values, is_right, strict=True)
        if is_one and not is_other
    ]
    found = area_under_roc(np.array(values), np.array(is_right))
    assert found == pytest.approx(sum(points) / len(points))


def test_the_area_needs_both():
    assert math.isnan(area_under_roc(np.array([1.0, 2.0]), np.array([True, True])))
    assert math.isnan(area_under_roc(np.zeros(0), np.zeros(0, bool)))
