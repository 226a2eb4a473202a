"""When two runs have learned the same, for the tests of what must not change it."""

from typing import Any

import numpy as np
import pytest


def assert_same_metrics(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """Every metric of every update agrees but for rounding."""
    for one, other in zip(found["metrics"], expected["metrics"], strict=True):
        assert one == pytest.approx(other, rel=2e-3, abs=1e-4)


def assert_same_weights(
    found: dict[str, Any], expected: dict[str, Any], learning_rate: float, *, outliers: float = 0.0
) -> None:
    """Weights agree but for rounding, in units of the learning rate, Adam's step.

    Where a gradient is all but zero, Adam turns its rounding into a step of up to the learning rate:
    a few weights may be further off than the mean, and the share `outliers` of them by any step.
    """
    assert found["weights"].keys() == expected["weights"].keys()
    for name, weight in expected["weights"].items():
        difference = np.abs(found["weights"][name] - weight)
        assert difference.mean() < 1e-3 * learning_rate, name
        assert (difference >= 0.05 * learning_rate).mean() <= outliers, name
