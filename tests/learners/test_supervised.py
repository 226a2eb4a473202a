"""Supervised and value objectives on the real engine: `supervised_process.py` runs them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoModelForCausalLM, AutoModelForTokenClassification

from tests.learners.agreement import assert_same_metrics, assert_same_weights
from tests.learners.conftest import beside, run_ranks
from tests.learners.supervised_process import OBJECTIVES, PLAIN_VALUES, STAGES_OF

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.xdist_group("supervised_process")]

LEARNING_RATE = 1e-2
PROGRAM = Path(__file__).with_name("supervised_process.py")


@pytest.fixture(scope="module")
def workshop(laboratory) -> Path:
    return beside(laboratory, "supervised")


@pytest.fixture(scope="module")
def alone(workshop) -> dict[str, Any]:
    return run_ranks(workshop, 1, PROGRAM)[0]


@pytest.fixture(scope="module")
def pair(workshop) -> list[dict[str, Any]]:
    return run_ranks(workshop, 2, PROGRAM)


def assert_same_learning(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """Held-out losses, metrics and weights agree but for rounding."""
    for part in ("before", "after"):
        assert found[part] == pytest.approx(expected[part], rel=2e-3, abs=1e-4, nan_ok=True)
    assert_same_metrics(found, expected)
    assert_same_weights(found, expected, LEARNING_RATE)


@pytest.mark.parametrize("aggregation", ["token", "sequence"])
@pytest.mark.parametrize("on_prompt", [False, True])
def test_a_supervised_step_equals_a_plain_loop_over_tokens(alone, aggregation, on_prompt):
    metrics, plain = alone["aggregations"][aggregation, on_prompt]
    assert metrics["train/sft_loss"] == pytest.approx(plain["loss"], rel=1e-4)
    assert metrics["train/policy_grad_norm"] == pytest.approx(plain["norm"], rel=1e-4)
    assert metrics["train/sft_tokens"] == plain["tokens"]
    assert np.log(metrics["train/sft_perplexity"]) == pytest.approx(plain["nll"], rel=1e-4)


def test_the_aggregations_differ(alone):
    losses = {metrics["train/sft_loss"] for metrics, _ in alone["aggregations"].values()}
    assert len(losses) == 4


@pytest.mark.parametrize("name", PLAIN_VALUES)
def test_a_value_step_equals_whole_sequences_one_by_one(alone, name):
    metrics, plain = alone["plain_values"][name]
    assert metrics["train/policy_grad_norm"] == pytest.approx(plain["norm"], rel=1e-4)
    assert metrics["train/value_loss"] == pytest.approx(plain["value"], rel=1e-4)
    if name.startswith("joint"):
        assert metrics["train/sft_loss"] == pytest.approx(plain["policy"], rel=1e-4)


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("split", ["many", "five", "apart", "packed", "shuffled"])
def test_how_the_batch_is_laid_out_and_ordered_changes_nothing(alone, name, split):
    found, expected = (alone["splits"][f"{name} {each}"] for each in (split, "one"))
    if split == "packed":
        assert found["most_blocks"] > expected["most_blocks"]
    if split == "apart":
        assert found["most_blocks"] == 1
    assert_same_learning(found, expected)


@pytest.mark.parametrize("name", ["sft", "ranking", "joint"])
def test_two_ranks_learn_what_one_learns_over_many_steps(alone, pair, name):
    assert_same_learning(pair[0]["steps"][name], alone["steps"][name])


@pytest.mark.parametrize(("name", "stage"), STAGES_OF)
def test_zero_stages_and_ranks_learn_the_same(alone, pair, name, stage):
    expected = alone["stages"][f"{name} 2"]
    assert_same_learning(alone["stages"][f"{name} {stage}"], expected)
    for found in pair:
        first, second = found["stages"][f"{name} {stage}"]["counts"]
        assert min(first, second) > 1 and first != second
        assert_same_learning(found["stages"][f"{name} {stage}"], expected)


@pytest.mark.parametrize("name", ["sft", "bce", "joint"])
def test_a_rank_without_a_share_learns_what_the_other_does(alone, pair, name):
    for found in pair:
        assert sorted(found["lone"][name]["counts"]) == [0, 1]
        assert_same_learning(found["lone"][name], alone["lone"][name])


@pytest.mark.parametrize("name", OBJECTIVES)
def test_held_out_loss_of_what_is_learnt_falls(alone, name):
    run = alone["stages"][f"{name} 2"]
    key = "eval/sft_loss" if name == "sft" else "eval/value_loss"
    assert run["after"][key] < run["before"][key]


@pytest.mark.parametrize("name", ["mse", "bce", "ranking"])
def test_a_value_head_tells_right_from_wrong(alone, name):
    before, after = alone["separation"][name]
    assert 0.35 < before["eval/value_auc"] < 0.65
    assert after["eval/value_auc"] > 0.8


def test_supervised_tuning_of_the_tiny_model_lowers_held_out_loss(alone):
    before, after = alone["demonstrations"]
    assert after["eval/sft_loss"] < 0.8 * before["eval/sft_loss"]


@pytest.mark.parametrize("num_ranks", [1, 2])
@pytest.mark.parametrize("name", ["bce", "joint"])
def test_a_saved_value_model_goes_on_as_it_was(alone, pair, num_ranks, name):
    straight, resumed = (alone if num_ranks == 1 else pair[0])["saved"][name]
    assert resumed == pytest.approx(straight, rel=1e-5)


def test_a_value_model_alone_is_saved_as_one(alone, workshop):
    directory = workshop / "saved_bce_1"
    config = json.loads((directory / "config.json").read_text())
    assert config["architectures"] == ["Qwen2ForTokenClassification"]
    assert config["value_activation"] == "sigmoid"
    _, loading = AutoModelForTokenClassification.from_pretrained(
        directory, output_loading_info=True
    )
    assert not loading["missing_keys"]
    assert not loading["unexpected_keys"]


def test_a_policy_with_a_value_head_is_saved_as_both(alone, workshop):
    directory = workshop / "saved_joint_1"
    policy, loading = AutoModelForCausalLM.from_pretrained(directory, output_loading_info=True)
    assert not loading["unexpected_keys"]
    value_directory = directory / "value_model"
    assert (value_directory / "tokenizer.json").exists()
    value_model = AutoModelForTokenClassification.from_pretrained(value_directory)
    for name, parameter in policy.base_model.named_parameters():
        assert np.array_equal(
            parameter.detach(), value_model.base_model.get_parameter(name).detach()
        )
