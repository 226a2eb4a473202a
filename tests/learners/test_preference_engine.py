"""Preference learning on the real engine: `preference_process.py` runs it, in one process and in two."""

import math
from typing import Any

import numpy as np
import pytest

from tests.learners.agreement import assert_same_metrics, assert_same_weights

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
