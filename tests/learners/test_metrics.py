"""What an update reports, against plain Python over ragged responses."""

import math
import random
import statistics

import numpy as np
import pytest

from learners.batching import Batch
from learners.metrics import batch_metrics, sampler_drift
from understand_r1_zero.types import Trajectory

LENGTHS = [3, 1, 0, 7, 2]
IS_MASKED = [False, True, False, False, False]


def draw(seed: int, spread: float = 0.5) -> tuple[Batch, np.ndarray]:
    """A batch, and `old_logprobs` of its tokens."""
    rng = random.Random(seed)
    old = [[-rng.expovariate(1.0) for _ in range(n)] for n in LENGTHS]
    batch = Batch.of(
        [
            Trajectory(
                np.array([1, 2]),
                np.zeros(len(row), np.int32),
                np.array([x + rng.gauss(0, spread) for x in row], np.float32),
                reward=0.0,
                group=0,
                is_masked=is_masked,
            )
            for row, is_masked in zip(old, IS_MASKED, strict=True)
        ]
    )
    return batch, np.array([x for row in old for x in row], np.float32)


def effective_share(weights: list[float]) -> float:
    return sum(weights) ** 2 / len(weights) / sum(w * w for w in weights)


def test_drift_equals_the_plain_loop():
    batch, old = draw(0)
    pairs = zip(batch.split(old), batch.split(batch.sampler_logprobs), strict=True)
    rows = [(a.astype(float) - b).tolist() for a, b in pairs]
    tokens = [d for row in rows for d in row]
    expected = {
        "k1": statistics.fmean(-d for d in tokens),
        "k3": statistics.fmean(math.exp(d) - 1 - d for d in tokens),
        "max": max(abs(d) for d in tokens),
        "ess": effective_share([math.exp(d) for d in tokens]),
        "ess_sequence": effective_share([math.exp(sum(row)) for row in rows if row]),
    }
    found = sampler_drift(batch, old)
    assert found == pytest.approx({f"train/sampler_drift_{k}": v for k, v in expected.items()})
    assert expected["ess_sequence"] != expected["ess"]


def test_without_drift_every_sample_counts_in_full():
    batch, _ = draw(1)
    assert sampler_drift(batch, batch.sampler_logprobs) == {
        "train/sampler_drift_k1": 0,
        "train/sampler_drift_k3": 0,
        "train/sampler_drift_max": 0,
        "train/sampler_drift_ess": 1,
        "train/sampler_drift_ess_sequence": 1,
    }


def test_advantages_are_summed_up_by_response_and_masked_tokens_teach_nothing():
    batch, old = draw(2)
    advantages = np.array([1, 2, 3, 9, 0, 0, 0, 4, 0, 0, 3, -1, -1], np.float32)
    metrics = batch_metrics(batch, advantages, old, np.zeros(len(old)), None)
    assert metrics["train/adv_mean"] == pytest.approx((2 + 9 + 1 - 1) / 4)
    assert (metrics["train/adv_min"], metrics["train/adv_max"]) == (-1, 9)
    assert metrics["train/zero_pg_loss_count"] == 1 + 5
