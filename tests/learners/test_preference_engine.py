"""Preference learning on the real engine: `preference_process.py` runs it, in one process and in two."""

import math
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.engine

LEARNING_RATE = 3e-3
ONE_PAIR = 1 / 24
"""The weight of one pair in the mean over the optimizer steps, of at most three pairs each."""


def assert_same_learning(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """Metrics and weights agree but for rounding; where a gradient is all but zero, Adam enlarges it.

    The share of pairs with a positive margin may differ by the one pair whose margin is nearly zero.
    """
    for one, other in zip(found["metrics"], expected["metrics"], strict=True):
        share = one["train/acc_mean"]
        assert share == pytest.approx(other["train/acc_mean"], abs=1.01 * ONE_PAIR)
        assert one == pytest.approx(other | {"train/acc_mean": share}, rel=2e-3, abs=2e-4)
    for name, weight in expected["weights"].items():
        difference = np.abs(found["weights"][name] - weight)
        assert difference.mean() < 1e-3 * LEARNING_RATE, name
        assert difference.max() < 0.3 * LEARNING_RATE, name


def test_the_first_step_equals_a_plain_loop_over_pairs(preference_alone):
    metrics, plain = preference_alone["stages"][2]["metrics"][0], preference_alone["plain"]
    assert plain["loss"] == pytest.approx(math.log(2), rel=1e-5)
    assert metrics["train/loss_mean"] == pytest.approx(plain["loss"], rel=1e-5)
    assert metrics["train/policy_grad_norm"] == pytest.approx(plain["grad_norm"], rel=1e-4)
    assert metrics["train/reward_margin"] == pytest.approx(0.0, abs=1e-5)


@pytest.mark.parametrize("stage", [2, 3])
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


@pytest.mark.parametrize("name", ["stages", "many_steps", "reference_free", "precomputed"])
def test_two_ranks_learn_what_one_learns(preference_alone, preference_pair, name):
    found, expected = preference_pair[0][name], preference_alone[name]
    if name == "stages":
        found, expected = found[3], expected[2]
    assert_same_learning(found, expected)


def test_both_ranks_report_the_same(preference_pair):
    first, second = (found["many_steps"]["metrics"] for found in preference_pair)
    assert first == second


@pytest.mark.parametrize("name", ["many", "two responses"])
def test_how_the_pairs_are_split_changes_nothing(preference_alone, name):
    assert_same_learning(preference_alone["splits"][name], preference_alone["stages"][2])


def test_a_pass_is_cut_into_optimizer_steps(preference_alone):
    assert preference_alone["many_steps"]["metrics"][0]["train/num_optimizer_steps"] == 6
    assert preference_alone["stages"][2]["metrics"][0]["train/num_optimizer_steps"] == 1


def test_precomputed_reference_logprobs_are_those_of_the_reference(preference_alone):
    found, expected = preference_alone["precomputed"], preference_alone["stages"][2]
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
