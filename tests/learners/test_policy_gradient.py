"""Updates on the real engine: `rank_process.py` makes them, in one process and in two."""

from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.learners.agreement import assert_same_metrics, assert_same_weights
from tests.learners.rank_process import OBJECTIVES, OBJECTIVES_RATE

pytestmark = [pytest.mark.engine, pytest.mark.xdist_group("rank_process")]

STAGES = (0, 1, 2, 3)
LEARNING_RATE = 1e-2


def assert_same_learning(
    found: dict[str, Any],
    expected: dict[str, Any],
    learning_rate: float = LEARNING_RATE,
    *,
    outliers: float = 0.0,
) -> None:
    """Weights, metrics and log-probs agree but for rounding."""
    assert_same_metrics(found, expected)
    assert_same_weights(found, expected, learning_rate, outliers=outliers)
    for one, other in zip(found["old_logprobs"], expected["old_logprobs"], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)


def initial_weights(laboratory) -> dict[str, np.ndarray]:
    return load_file(laboratory / "model" / "model.safetensors")


def test_the_first_update_equals_a_plain_loop_over_tokens(alone):
    metrics = alone["stages"][2]["metrics"][0]
    assert metrics["train/pg_loss"] == pytest.approx(alone["plain"]["loss"], rel=1e-4)
    assert metrics["train/policy_grad_norm"] == pytest.approx(alone["plain"]["grad_norm"], rel=1e-4)


@pytest.mark.parametrize("stage", STAGES)
def test_zero_stages_learn_the_same(alone, stage):
    assert_same_learning(alone["stages"][stage], alone["stages"][2])


@pytest.mark.parametrize("stage", STAGES)
def test_two_ranks_learn_what_one_learns(alone, pair, stage):
    first, second = pair[0]["stages"][stage]["counts"]
    assert min(first, second) > 1 and first != second
    assert_same_learning(pair[0]["stages"][stage], alone["stages"][stage])


def test_a_rank_without_a_share_learns_what_the_other_does(alone, pair):
    assert_same_learning(pair[0]["lone"], alone["lone"])


def test_two_ranks_learn_what_one_learns_over_many_steps(alone, pair):
    assert_same_learning(pair[0]["many_steps"], alone["many_steps"])


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_equals_a_plain_loop_over_tokens(alone, name):
    plain, found = (alone["objectives"][name, way] for way in ("plain", "one"))
    assert_same_weights(found, plain, OBJECTIVES_RATE, outliers=1e-3)
    for one, other in zip(found["metrics"], plain["metrics"], strict=True):
        assert {key: one[key] for key in other} == pytest.approx(other, rel=2e-3, abs=1e-5)
        assert (one["train/pg_clipfrac"] > 0) == (name != "remax")
        assert (one["train/reg_loss"] != 0) == (name != "drgrpo")


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_is_the_same_however_it_is_laid_out_and_ordered(alone, pair, name):
    runs, expected = alone["objectives"], alone["objectives"][name, "one"]
    assert runs[name, "packed"]["most_blocks"] > 1 == runs[name, "many"]["most_blocks"]
    for found in (runs[name, "many"], runs[name, "packed"], pair[0]["objectives"][name, "one"]):
        assert_same_learning(found, expected, OBJECTIVES_RATE, outliers=1e-3)
    assert_same_metrics(runs[name, "shuffled"], expected)
    assert_same_weights(runs[name, "shuffled"], expected, OBJECTIVES_RATE, outliers=1e-3)


@pytest.mark.parametrize("num_ranks", [1, 2])
def test_a_reference_that_is_refreshed_is_the_policy_again_also_when_resumed(
    alone, pair, num_ranks
):
    found = (alone if num_ranks == 1 else pair[0])["refreshed"]
    divergences = [
        step["train/kl3"] for part in ("first", "straight") for step in found[part]["metrics"]
    ]
    is_far = [divergence > 1e-4 for divergence in divergences]
    assert is_far == [False, True, False, True, False]
    assert found["resumed"]["metrics"] == found["straight"]["metrics"]
    for step, divergence in zip(found["stage 3"]["metrics"], divergences, strict=True):
        assert step["train/kl3"] == pytest.approx(divergence, rel=1e-2, abs=1e-5)


def test_only_rank_0_gives_weights_but_both_report_the_same(pair):
    assert pair[1]["stages"][3]["weights"] is None
    assert pair[1]["stages"][3]["metrics"] == pair[0]["stages"][3]["metrics"]


@pytest.mark.parametrize("name", ["two", "many", "two responses", "checkpointing"])
def test_how_the_batch_is_split_changes_nothing(alone, name):
    assert_same_learning(alone["splits"][name], alone["splits"]["one"])


def test_packed_rows_teach_what_padded_ones_do(alone, pair):
    for found in (alone["packing"], pair[0]["packing"]):
        assert found["packed"]["most"] > 1 == found["padded"]["most"]
        for name in ("packed", "padded"):
            assert_same_learning(found[name], alone["packing"]["padded"])


@pytest.mark.parametrize("model", ["wide", "wide_tied"])
@pytest.mark.parametrize("name", ["whole", "pieces", "cut"])
def test_a_head_in_pieces_learns_the_same_under_zero_3_on_two_ranks(alone, pair, model, name):
    expected = alone["wide_heads"][model, "whole"]
    assert_same_learning(alone["wide_heads"][model, name], expected)
    assert_same_learning(pair[0]["wide_heads"][model, name], expected)


def test_the_order_of_responses_follows_from_seed_and_step(alone):
    first, *others = (
        alone["orders"][name]["weights"]["model.embed_tokens.weight"]
        for name in ("seed 1, step 0", "again", "seed 2, step 0", "seed 1, step 1")
    )
    assert [np.array_equal(first, other) for other in others] == [True, False, False]


@pytest.mark.parametrize("stage", STAGES)
def test_every_parameter_moves(alone, laboratory, stage):
    for name, before in initial_weights(laboratory).items():
        moved = np.abs(alone["stages"][stage]["weights"][name] - before)
        assert moved.max() > LEARNING_RATE / 10, name


def test_weights_have_the_names_and_shapes_of_the_model(alone, laboratory):
    expected = {name: weight.shape for name, weight in initial_weights(laboratory).items()}
    for stage in STAGES:
        weights = alone["stages"][stage]["weights"]
        assert {name: weight.shape for name, weight in weights.items()} == expected


def test_the_first_optimizer_step_is_on_policy(alone):
    for found in (alone["stages"][2], alone["many_steps"]):
        first = found["first_step"]
        assert first["train/ratio_mean"] == pytest.approx(1.0, abs=1e-6)
        assert first["train/pg_clipfrac"] == 0.0
        assert first["train/logprobs_diff_max"] == pytest.approx(0.0, abs=1e-5)
    assert alone["many_steps"]["metrics"][0]["train/ratio_mean"] != pytest.approx(1.0, abs=1e-4)
    assert alone["many_steps"]["metrics"][0]["misc/policy_sgd_step"] == 6


def test_policy_and_reference_are_one_at_first(alone):
    assert alone["many_steps"]["metrics"][0]["train/kl3"] == pytest.approx(0.0, abs=1e-6)


def test_what_is_masked_teaches_nothing(alone, laboratory):
    clean, garbage = alone["masked"]["batch"], alone["masked"]["garbage"]
    for name, weight in clean["weights"].items():
        assert np.array_equal(garbage["weights"][name], weight), name
    everything = alone["masked"]["all masked"]
    assert everything["metrics"][0]["train/policy_grad_norm"] == 0.0
    for name, before in initial_weights(laboratory).items():
        assert np.array_equal(everything["weights"][name], before), name


def test_what_is_masked_stays_in_the_denominator(alone):
    half_masked = alone["masked"]["half masked"]["metrics"][0]
    half_alone = alone["masked"]["half alone"]["metrics"][0]
    for key in ("train/pg_loss", "train/policy_grad_norm"):
        assert half_masked[key] == pytest.approx(half_alone[key] / 2, rel=1e-5)


@pytest.mark.parametrize("num_ranks", [1, 2])
def test_a_resumed_run_continues_to_the_last_bit(alone, pair, num_ranks):
    for found in [alone] if num_ranks == 1 else pair:
        straight, resumed = found["resume"]["straight"], found["resume"]["resumed"]
        assert resumed["metrics"] == straight["metrics"]
        if straight["weights"] is not None:
            for name, weight in straight["weights"].items():
                assert np.array_equal(resumed["weights"][name], weight), name
    assert straight["metrics"][0]["misc/policy_sgd_step"] == 9


def test_a_saved_model_loads_in_transformers(alone, laboratory):
    directory = laboratory / "saved_1"
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
    assert AutoTokenizer.from_pretrained(directory).vocab_size == 64
    for name, weight in alone["resume"]["saved"].items():
        assert np.array_equal(model.get_parameter(name).detach().numpy(), weight), name


def test_bf16_keeps_float32_master_weights(alone, laboratory):
    run = alone["bf16"]["run"]
    assert np.isfinite(run["metrics"][0]["train/policy_grad_norm"])
    for name, before in initial_weights(laboratory).items():
        bits = run["weights"][name]
        assert bits.dtype == np.uint16
        after = torch.from_numpy(bits).view(torch.bfloat16).float().numpy()
        assert 0 < np.abs(after - before).max() < 2 * LEARNING_RATE, name


def test_bf16_without_master_weights_is_refused(alone):
    assert "--zero_stage" in alone["bf16"]["refusal"]


@pytest.mark.parametrize("stage", STAGES)
def test_a_gradient_that_is_not_finite_stops_the_run_with_its_batch_saved(alone, laboratory, stage):
    message = alone["not_finite"][stage]
    assert "step 7" in message
    path = laboratory / "dumps" / "not_finite_step_7_rank_0.pt"
    assert str(path) in message
    saved = torch.load(path, weights_only=False)
    assert np.isnan(saved["update"].batch.sampler_logprobs).sum() == 1


def test_another_number_of_ranks_cannot_resume(alone):
    assert "--num_learners must be 2" in alone["other_num_ranks"]
