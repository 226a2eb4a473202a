"""Our side of `learner`: `LearnerRank.update` on one rank."""

import os
import sys
import time
from dataclasses import replace
from pathlib import Path

from bench.learner_batch import read_batch
from bench.side import DoRound, Round, answer
from understand_r1_zero import cli

HOST = "127.0.0.1"
OPTIMIZER_STEPS = 1000


def main() -> None:
    """One update a round, always of the same batch."""
    answer(_prepare)


def _prepare() -> DoRound:
    cores = len(os.sched_getaffinity(0))
    os.environ["OMP_NUM_THREADS"] = str(cores)
    from learners.rank import LearnerRank

    path, *flags = sys.argv[1:]
    learner = LearnerRank(
        cli.parse(flags), 0, 1, num_optimizer_steps=OPTIMIZER_STEPS, num_threads=cores
    )
    learner.start(HOST, learner.listen(HOST))
    policy = learner._policy
    limits = policy.limits
    step = 0

    def do_round(shares_prompts: bool = True) -> Round:
        nonlocal step
        trajectories = read_batch(Path(path))
        # No flag switches it off, as nobody would want to.
        policy.limits = limits if shares_prompts else replace(limits, linear_cost=0.0)
        started_s = time.perf_counter()
        metrics = learner.update(trajectories, step)
        seconds = time.perf_counter() - started_s
        step += 1
        norm = metrics["train/policy_grad_norm"]
        tokens = sum(trajectory.num_tokens for trajectory in trajectories)
        return {"tokens": tokens, "seconds": seconds, "grad_norm": norm}

    return do_round


if __name__ == "__main__":
    main()
