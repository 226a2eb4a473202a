"""The share of a step that publishing the new policy to the actors takes, in a real run."""

import statistics

from bench.result import Result
from bench.scale import Scale
from bench.training import train

TARGET = 0.05
PHASES = ("time/collect_s", "time/update_s", "time/publish_s")


def run(scale: Scale) -> Result:
    """Measure it: seconds from asking the learner for its weights until every actor has them."""
    rows = train(scale.flags, scale.steps)
    return Result(
        "publication",
        "s",
        [row["time/publish_s"] for row in rows],
        [row["time/step_s"] for row in rows],
        TARGET,
        is_share=True,
        details={
            f"median_{phase.removeprefix('time/')}": statistics.median(row[phase] for row in rows)
            for phase in PHASES
        },
    )
