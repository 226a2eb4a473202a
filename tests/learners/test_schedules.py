"""Learning-rate schedules against their formulas."""

import math

import pytest
import torch

from learners.engine import _scheduler
from understand_r1_zero.args import OptimArgs

PEAK = 2e-4
STEPS = 20


def rates(num_steps: int = STEPS, **flags) -> list[float]:
    """The learning rate of every optimizer step, and of one beyond."""
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.AdamW([parameter], lr=PEAK)
    schedule = _scheduler(optimizer, OptimArgs(learning_rate=PEAK, **flags), num_steps)
    found = []
    for _ in range(num_steps + 1):
        found.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    return found


def plain(name: str, step: int, warmup: int, horizon: int) -> float:
    """As a share of the peak."""
    if step < warmup:
        return step / warmup
    progress = (step - warmup) / (horizon - warmup)
    cosine = (1 + math.cos(math.pi * progress)) / 2
    return {
        "constant": 1.0,
        "linear": 1 - progress,
        "cosine": cosine,
        "cosine_with_min_lr": 0.1 + 0.9 * cosine,
    }[name]


@pytest.mark.parametrize("name", ["constant", "linear", "cosine", "cosine_with_min_lr"])
@pytest.mark.parametrize("ratio", [0.0, 0.22])
@pytest.mark.parametrize(("adjustment", "horizon"), [(1.0, STEPS), (1.45, 29)])
def test_a_schedule_is_its_formula_over_the_whole_run(name, ratio, adjustment, horizon):
    warmup = math.ceil(horizon * ratio)
    found = rates(lr_scheduler=name, lr_warmup_ratio=ratio, max_step_adjustment=adjustment)
    expected = [PEAK * plain(name, step, warmup, horizon) for step in range(STEPS + 1)]
    assert found == pytest.approx(expected, abs=1e-12)
