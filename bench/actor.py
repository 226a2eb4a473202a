"""Sampled tokens a second: our actors, as training uses them, over plain `vllm.LLM.generate`.

Same prompts, sampling parameters, precision and cores; log-probs on both sides; every round with an
empty prefix cache. Ours includes what training needs besides: Ray, one call a group, grading.
"""

from bench.result import Result
from bench.scale import Scale
from bench.side import Side, take_turns, tokens_per_s

TARGET = 0.9


def run(scale: Scale) -> Result:
    """Measure it."""
    with (
        Side("bench.our_actor", scale.flags) as ours,
        Side("bench.plain_vllm", scale.flags) as theirs,
    ):
        ours.wait_until_ready()
        theirs.wait_until_ready()
        mine, others = take_turns(ours, theirs, scale.rounds, scale.warm_up)
    return Result(
        "actor",
        "tokens/s",
        tokens_per_s(mine),
        tokens_per_s(others),
        TARGET,
        details={
            "tokens_ours": [r["tokens"] for r in mine],
            "tokens_theirs": [r["tokens"] for r in others],
        },
    )
