"""Training: tokens a second of a whole update, memory and time of the head, packed over padded rows.

`learner` is `LearnerRank.update` over a bare DeepSpeed loop. Both train on the same unpadded tokens:
those of one batch of the default recipe, prompts included, counted once for every response. Every
response has an advantage, so that none can be left out of the backward pass. A second figure has our
sharing of prompts switched off.

`learner_head_memory` and `learner_head_time` are the head in pieces over all logits at once (head.py):
what the passes hold at their peak beyond weights and inputs, and seconds.

`learner_packing` is packed over padded rows of log-normal lengths (packing.py). A second figure is over
our own rows without packing, sorted by length.
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
HEAD_MEMORY_TARGET = 0.35
HEAD_TIME_TARGET = 1.2
PACKING_TARGET = 1.6
SAME_GRADIENT = 1e-3
"""Relative difference of the first gradient's norm that rounding may make."""


def run(scale: Scale) -> list[Result]:
    """Measure all; raises RuntimeError if the sides do not compute the same gradient."""
    return [_updates(scale), *_heads(scale), _packing(scale)]


def _updates(scale: Scale) -> Result:
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
            _check_gradients(ours, theirs)
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


def _heads(scale: Scale) -> list[Result]:
    sizes = [str(n) for n in (scale.head_tokens, scale.head_size, scale.head_vocabulary)]
    with (
        Side("bench.head", ["ours", *sizes]) as ours,
        Side("bench.head", ["theirs", *sizes]) as theirs,
    ):
        ours.wait_until_ready()
        theirs.wait_until_ready()
        _check_gradients(ours, theirs)
        sides = take_turns(ours, theirs, scale.rounds, scale.warm_up)
    shape: dict[str, int] = dict(
        zip(("tokens", "hidden_size", "vocabulary"), map(int, sizes), strict=True)
    )
    figures = (
        ("learner_head_memory", "MiB", "peak_bytes", 2**20, HEAD_MEMORY_TARGET),
        ("learner_head_time", "s", "seconds", 1, HEAD_TIME_TARGET),
    )
    results = []
    for name, unit, key, unit_size, target in figures:
        mine, others = ([one_round[key] / unit_size for one_round in side] for side in sides)
        results.append(Result(name, unit, mine, others, target, is_share=True, details=shape))
    return results


def _packing(scale: Scale) -> Result:
    # A round takes half a minute.
    count, rounds = str(scale.sequences), max(2, scale.rounds // 2)
    with (
        Side("bench.packing", ["ours", count]) as ours,
        Side("bench.packing", ["theirs", count]) as theirs,
    ):
        ours.wait_until_ready()
        theirs.wait_until_ready()
        _check_gradients(ours, theirs)
        mine, others = take_turns(ours, theirs, rounds, warm_up=1)
        by_length = [ours.round(rows="by length") for _ in range(rounds)]
    packed, padded, sorted_ = (
        [one_round["samples"] / one_round["seconds"] for one_round in of_side]
        for of_side in (mine, others, by_length)
    )
    return Result(
        "learner_packing",
        "samples/s",
        packed,
        padded,
        PACKING_TARGET,
        details={
            "padded_by_length": sorted_,
            "figure_over_padded_by_length": statistics.median(packed) / statistics.median(sorted_),
            "tokens": mine[0]["tokens"],
            "padded_tokens_ours": mine[0]["padded_tokens"],
            "padded_tokens_theirs": others[0]["padded_tokens"],
            "padded_tokens_by_length": by_length[0]["padded_tokens"],
        },
    )


def _check_gradients(ours: Side, theirs: Side) -> None:
    norms = [side.round()["grad_norm"] for side in (ours, theirs)]
    if not math.isclose(*norms, rel_tol=SAME_GRADIENT):
        raise RuntimeError(f"the sides' gradients differ: their norms are {norms}")
