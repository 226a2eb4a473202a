"""Trained tokens a second: `LearnerRank.update` over a bare DeepSpeed loop.

Both train on the same unpadded tokens: those of one batch of the default recipe, prompts included,
counted once for every response. Every response has an advantage, so that none can be left out of the
backward pass. A second figure has our sharing of prompts switched off.
"""

import math
import statistics
import tempfile
from pathlib import Path

from bench.learner_batch import make_batch, write_batch
from bench.result import Result
from bench.scale import Scale
from bench.side import Side, take_turns, tokens_per_s

TARGET = 0.9
SAME_GRADIENT = 1e-3
"""Relative difference of the first gradient's norm that rounding may make."""


def run(scale: Scale) -> Result:
    """Measure it; raises RuntimeError if the sides do not compute the same gradient."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "batch.pkl"
        with (
            Side("bench.our_learner", [str(path), *scale.flags]) as ours,
            Side("bench.bare_deepspeed", [str(path), *scale.flags]) as theirs,
        ):
            # Meanwhile both load their engines.
            trajectories = make_batch(scale.flags)
            write_batch(path, trajectories)
            ours.wait_until_ready()
            theirs.wait_until_ready()
            norms = [side.round()["grad_norm"] for side in (ours, theirs)]
            if not math.isclose(*norms, rel_tol=SAME_GRADIENT):
                raise RuntimeError(f"the sides' gradients differ: their norms are {norms}")
            mine, others = take_turns(ours, theirs, scale.rounds, scale.warm_up)
            unshared = tokens_per_s([ours.round(shares_prompts=False) for _ in range(scale.rounds)])
    base = statistics.median(tokens_per_s(others))
    return Result(
        "learner",
        "tokens/s",
        tokens_per_s(mine),
        tokens_per_s(others),
        TARGET,
        details={
            "ours_without_shared_prompts": unshared,
            "figure_without_shared_prompts": statistics.median(unshared) / base,
            "responses": len(trajectories),
            "prompt_tokens": sum(len(t.prompt_token_ids) for t in trajectories),
            "response_tokens": sum(len(t.response_token_ids) for t in trajectories),
        },
    )
