"""Preference learning on the real engine: `preference_process.py` runs it, in one process and in two."""

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForTokenClassification

from tests.learners.agreement import assert_same_metrics, assert_same_weights
from tests.learners.preference_process import VALUED, make_valued_pairs

pytestmark = [pytest.mark.engine, pytest.mark.xdist_group("preference_process")]

LEARNING_RATE = 3e-3


def assert_same_learning(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """Metrics and weights agree but for rounding.

    The first optimizer step's margins are 0: which of them are above it, rounding alone decides.
    """
    first, *others = found["metrics"]
    share = {"train/acc_mean": expected["metrics"][0]["train/acc_mean"]}
    assert_same_metrics({"metrics": [first | share, *others]}, expected)
    assert_same_weights(found, expected, LEARNING_RATE, outliers=1e-3)


def test_the_first_step_equals_a_plain_loop_over_pairs(preference_alone):
    metrics, plain = preference_alone["splits"]["one"]["metrics"][0], preference_alone["plain"]
    assert plain["loss"] == pytest.approx(math.log(2), rel=1e-5)
    assert metrics["train/loss_mean"] == pytest.approx(plain["loss"], rel=1e-5)
    assert metrics["train/policy_grad_norm"] == pytest.approx(plain["grad_norm"], rel=1e-4)
    assert metrics["train/reward_margin"] == pytest.approx(0.0, abs=1e-5)


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_dpo_lowers_its_loss_and_raises_the_margin(preference_alone, stage):
    metrics = preference_alone["stages"][stage]["metrics"]
    losses = [each["train/loss_mean"] for each in metrics]
    margins = [each["train/reward_margin"] for each in metrics]
    assert losses == sorted(losses, reverse=True) and losses[-1] < 0.3 * losses[0]
    assert margins == sorted(margins) and margins[-1] > 1.0
    assert metrics[-1]["train/acc_mean"] == 1.0
    assert metrics[-1]["train/reward_margin"] == pytest.approx(
        metrics[-1]["train/chosen_reward"] - metrics[-1]["train/rejected_reward"], rel=1e-5
    )


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_zero_stages_and_ranks_learn_the_same(preference_alone, preference_pair, stage):
    expected = preference_alone["stages"][2]
    assert_same_learning(preference_alone["stages"][stage], expected)
    found = preference_pair[0]["stages"][stage]
    assert min(found["counts"]) > 1 and len(set(found["counts"])) == 2
    assert_same_learning(found, expected)


@pytest.mark.parametrize("name", ["many_steps", "reference_free", "precomputed", "lone"])
def test_two_ranks_learn_what_one_learns(preference_alone, preference_pair, name):
    assert_same_learning(preference_pair[0][name], preference_alone[name])


def test_a_lone_block_leaves_one_rank_without_a_share(preference_pair):
    assert sorted(preference_pair[0]["lone"]["counts"]) == [0, 1]


def test_both_ranks_report_the_same(preference_pair):
    first, second = (found["many_steps"]["metrics"] for found in preference_pair)
    assert first == second


@pytest.mark.parametrize("name", ["many", "two responses", "apart", "packed", "shuffled"])
def test_how_the_pairs_are_laid_out_and_ordered_changes_nothing(preference_alone, name):
    found, expected = preference_alone["splits"][name], preference_alone["splits"]["one"]
    assert (found["most_blocks"] > 1) == (name == "packed")
    assert_same_learning(found, expected)


def test_a_pass_is_cut_into_optimizer_steps(preference_alone):
    assert preference_alone["many_steps"]["metrics"][0]["train/num_optimizer_steps"] == 6
    assert preference_alone["stages"][2]["metrics"][0]["train/num_optimizer_steps"] == 1


def test_precomputed_reference_logprobs_are_those_of_the_reference(preference_alone):
    found, expected = preference_alone["precomputed"], preference_alone["splits"]["one"]
    assert found["values"].shape == (10, 2) and (found["values"] < 0).all()
    assert_same_learning(found, expected)


def test_simpo_learns_without_a_reference(preference_alone):
    metrics = preference_alone["reference_free"]["metrics"]
    assert metrics[-1]["train/loss_mean"] < metrics[0]["train/loss_mean"]
    assert metrics[-1]["train/reward_margin"] > metrics[0]["train/reward_margin"]


def test_nothing_to_learn_changes_no_weight(preference_alone):
    found = preference_alone["nothing"]
    assert found["empty"]["train/num_pairs"] == 0
    assert found["satisfied"]["train/loss_mean"] == 0
    assert found["satisfied"]["train/policy_grad_norm"] == 0
    for name, before in found["before"].items():
        assert np.array_equal(found["after"][name], before), name


def test_a_loss_that_is_not_finite_stops_the_run(preference_alone):
    assert "step 7" in preference_alone["not_finite"]


def assert_same_values(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """`assert_same_learning`, and what is found of held-out pairs."""
    for part in ("before", "after"):
        one = {key: value for key, value in found[part].items() if key in VALUE_METRICS}
        assert one.keys() == VALUE_METRICS
        assert one == pytest.approx({key: expected[part][key] for key in one}, rel=2e-3, abs=1e-4)
    assert_same_learning(found, expected)


VALUE_METRICS = {"eval/value_loss", "eval/value_margin_loss", "eval/value_accuracy"}


@pytest.mark.parametrize("stage", [2, 3])
def test_a_value_head_learns_beside_the_policy(preference_alone, stage):
    found = preference_alone["valued"][stage]
    before, after = found["before"], found["after"]
    assert after["eval/value_loss"] < 0.5 * before["eval/value_loss"]
    assert after["eval/value_margin_loss"] < 0.5 * before["eval/value_margin_loss"]
    assert after["eval/value_accuracy"] == 1.0
    assert after["eval/preference_loss"] < before["eval/preference_loss"]
    keys = {key.replace("eval/", "train/") for key in VALUE_METRICS}
    assert keys <= found["metrics"][0].keys()
    assert found["weights"]["score.weight"].shape == (1, 32)


@pytest.mark.parametrize("stage", [2, 3])
def test_values_too_are_learned_alike_on_two_ranks(preference_alone, preference_pair, stage):
    expected = preference_alone["valued"][2]
    assert_same_values(preference_alone["valued"][stage], expected)
    found = preference_pair[0]["valued"][stage]
    assert min(found["counts"]) > 1
    assert_same_values(found, expected)
    first, second = (each["valued"][stage]["metrics"] for each in preference_pair)
    assert first == second


@pytest.mark.parametrize("name", ["many", "apart", "packed", "shuffled"])
def test_how_pairs_with_values_are_laid_out_changes_nothing(preference_alone, name):
    found, expected = (preference_alone["valued_splits"][each] for each in (name, "one"))
    assert (found["most_blocks"] > 1) == (name == "packed")
    assert_same_values(found, expected)


def test_the_value_model_beside_the_policy_is_what_transformers_reads(preference_alone, laboratory):
    """Loss and accuracy of the saved value model, by a loop over whole sequences."""
    directory = laboratory / "preference" / "saved_valued_1"
    config = json.loads((directory / "value_model" / "config.json").read_text())
    assert config["architectures"] == ["Qwen2ForTokenClassification"]
    assert config["value_activation"] == "tanh"
    policy, loading = AutoModelForCausalLM.from_pretrained(directory, output_loading_info=True)
    assert not loading["missing_keys"] and not loading["unexpected_keys"]
    model, loading = AutoModelForTokenClassification.from_pretrained(
        directory / "value_model", output_loading_info=True
    )
    assert not loading["missing_keys"] and not loading["unexpected_keys"]
    for name, parameter in policy.base_model.named_parameters():
        assert torch.equal(parameter, model.base_model.get_parameter(name)), name
    errors, margins = [], []
    for pair in make_valued_pairs():
        values = []
        for response, end in zip(
            (pair.chosen_token_ids, pair.rejected_token_ids), pair.value_ends, strict=True
        ):
            ids = torch.from_numpy(np.concatenate([pair.prompt_token_ids, response])).long()
            logits = model.eval()(ids[None]).logits[0, len(pair.prompt_token_ids) + end]
            values.append(math.tanh(logits.item()))
        errors += [(v - y) ** 2 for v, y in zip(values, pair.values, strict=True)]
        margins.append(max(0.0, VALUED["pair_value_margin"] - (values[0] - values[1])))
    after = preference_alone["valued_saved"]["after"]
    assert after["eval/value_loss"] == pytest.approx(np.mean(errors), rel=1e-4)
    assert after["eval/value_margin_loss"] == pytest.approx(np.mean(margins), rel=1e-4, abs=1e-6)


def test_a_policy_with_its_value_head_goes_on_after_a_resume(preference_alone):
    found = preference_alone["valued_saved"]
    assert found["resumed"] == pytest.approx(found["straight"], rel=1e-5)


@pytest.mark.parametrize("name", ["again", "joint", "values"])
def test_the_head_beside_a_policy_is_gone_on_with(preference_alone, name):
    found = preference_alone["valued_saved"]
    for part in ("score.weight", "score.bias"):
        assert np.array_equal(found[name][part], found["weights"][part])
    assert np.abs(found["weights"]["score.bias"]).max() > 0


def test_a_head_that_is_read_otherwise_is_refused(preference_alone):
    refusal = preference_alone["valued_saved"]["refusal"]
    assert "\n" not in refusal
    assert "value_activation is tanh" in refusal and "--value_head" in refusal
