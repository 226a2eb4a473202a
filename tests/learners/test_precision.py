"""Training in 16 bits and with activations on the host, on the real engine (`precision_process.py`)."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.learners.conftest import run_ranks
from tests.learners.precision_process import HIGH_POWER, STEPS
from understand_r1_zero.weights import to_tensor

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.xdist_group("precision_process")]

PROGRAM = Path(__file__).with_name("precision_process.py")


@pytest.fixture(scope="module")
def workshop(laboratory, tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("precision")
    for name in ("model", "wide"):
        (directory / name).symlink_to(laboratory / name)
    return directory


@pytest.fixture(scope="module")
def alone(workshop) -> dict[str, Any]:
    return run_ranks(workshop, 1, PROGRAM)[0]


@pytest.fixture(scope="module", params=[1, 2])
def found(request, workshop) -> dict[str, Any]:
    if request.param == 1:
        return request.getfixturevalue("alone")
    return run_ranks(workshop, 2, PROGRAM)[0]


def of(run: dict[str, Any], key: str) -> list[float]:
    return [metrics[key] for metrics in run["metrics"]]


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_float16_learns_as_float32_does_and_nearer_to_it_than_bfloat16(found, stage):
    runs = found["precisions"]
    expected = of(runs["float32"], "train/pg_loss")
    losses = of(runs[stage], "train/pg_loss")
    assert len(losses) == STEPS and expected[-1] < expected[0] - 0.1
    assert losses == pytest.approx(expected, abs=2e-3)
    distances = [
        np.abs(np.subtract(of(runs[name], "train/pg_loss"), expected)).max()
        for name in (stage, "bfloat16")
    ]
    assert distances[0] < distances[1]
    norms = of(runs["float32"], "train/policy_grad_norm")
    assert of(runs[stage], "train/policy_grad_norm") == pytest.approx(norms, rel=0.02)
    assert of(runs[stage], "misc/loss_scale") == [2.0**16] * STEPS
    assert of(runs[stage], "train/skipped_steps") == [0.0] * STEPS
    assert {weight.dtype for weight in runs[stage]["weights"].values()} == {np.dtype(np.float16)}


def test_only_float16_tells_of_loss_scaling(found):
    for name in ("float32", "bfloat16"):
        for metrics in found["precisions"][name]["metrics"]:
            assert "misc/loss_scale" not in metrics and "train/skipped_steps" not in metrics


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_a_step_that_overflows_changes_nothing_but_the_scale(found, stage):
    *skipped, last = found["overflow"][stage]["rows"]
    assert skipped
    for number, row in enumerate(skipped):
        metrics = row["metrics"]
        assert not row["is_changed"]
        assert metrics["train/skipped_steps"] == 1
        assert metrics["misc/loss_scale"] == 2.0 ** (HIGH_POWER - 1 - number)
        assert metrics["misc/policy_sgd_step"] == 0
        assert not np.isfinite(metrics["train/policy_grad_norm"])
    assert last["is_changed"] and last["metrics"]["train/skipped_steps"] == 0
    assert last["metrics"]["misc/policy_sgd_step"] == 1


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_the_schedule_waits_for_skipped_steps(found, stage):
    run = found["overflow"][stage]
    assert {row["metrics"]["misc/lr"] for row in run["rows"]} == {1e-3}
    assert of(run["straight"], "misc/lr") == [pytest.approx(1e-3 * 19 / 20)]


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_the_scale_is_resumed(found, stage):
    straight, resumed = (found["overflow"][stage][name] for name in ("straight", "resumed"))
    assert of(straight, "misc/loss_scale")[0] < 2.0**HIGH_POWER
    assert resumed["metrics"] == straight["metrics"]
    for name, weight in straight["weights"].items():
        np.testing.assert_array_equal(resumed["weights"][name], weight)


def test_good_steps_double_the_scale(alone):
    scales = alone["window"]
    assert scales[0] == 2.0**16 and 2.0**17 in scales


def test_a_gradient_that_overflows_at_the_least_scale_ends_the_run(alone, workshop):
    message, taken = alone["hopeless"]["minimum"]
    assert taken == 2
    assert "at loss scale 1" in message and "--fp16" in message
    assert list((workshop / "dumps").glob("not_finite_step_2_*"))


def test_a_loss_that_is_not_finite_ends_a_float16_run_at_once(alone):
    message, taken = alone["hopeless"]["loss"]
    assert taken == 0 and "the loss is nan" in message


@pytest.mark.parametrize("stage", [2, 3])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_adapters_in_16_bits_have_float32_master_weights_and_are_published_merged(
    alone, dtype, stage
):
    run = alone["adapters"][dtype, stage]
    own = run["own"]
    assert {kind for kind, _ in own.values()} == {f"torch.{dtype}"}
    adapters = {name: values for name, (_, values) in own.items() if "lora_" in name}
    trained = sum(values.size for values in adapters.values())
    assert {kind for kind, _ in run["masters"]} == {"torch.float32"}
    # ZeRO pads a rank's part.
    assert trained <= sum(count for _, count in run["masters"]) < 1.1 * trained
    assert len({loss for loss in of(run, "train/pg_loss")}) == 3
    for name, published in run["weights"].items():
        layer = f"model.{name.removesuffix('.weight')}"
        before = to_tensor(run["at first"][name]).float()
        found = to_tensor(published).float()
        if f"{layer}.lora_A.default.weight" not in adapters:
            assert torch.equal(found, before), name
            continue
        down, up = (adapters[f"{layer}.lora_{part}.default.weight"] for part in "AB")
        expected = before + torch.from_numpy(up @ down) * 6.0 / 4
        assert (expected - before).abs().max() > 1e-3
        rounding = torch.finfo(getattr(torch, dtype)).eps / 2
        assert ((found - expected).abs() <= 1.01 * rounding * expected.abs() + 1e-6).all(), name


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("stage", [2, 3])
def test_activations_on_the_host_change_no_bit(found, stage, checkpointing):
    here, there = (found["offload"][stage, checkpointing, is_offloaded] for is_offloaded in (0, 1))
    assert there["metrics"] == here["metrics"]
    for name, weight in here["weights"].items():
        np.testing.assert_array_equal(there["weights"][name], weight)
