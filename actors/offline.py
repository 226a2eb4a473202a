"""Evaluation without training: the same evaluator over the same actors."""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path

from actors.start import start_actors
from understand_r1_zero.args import AlgorithmArgs, Args
from understand_r1_zero.console import Console
from understand_r1_zero.evaluate import evaluate
from understand_r1_zero.fleet import Fleet
from understand_r1_zero.grader_report import GraderReport
from understand_r1_zero.launch import Cluster
from understand_r1_zero.plan import plan
from understand_r1_zero.problems import load_benchmarks_of
from understand_r1_zero.run_directory import RunDirectory


def without_training(args: Args) -> Args:
    """The flags where nothing trains: every GPU is an actor's, whatever a run would make of them."""
    return replace(
        args,
        cluster=replace(args.cluster, collocate=True, vllm_sleep=False),
        algorithm=AlgorithmArgs(),
    )


@contextmanager
def actors_alone(args: Args, logs: Path, warn: Callable[[str], None]) -> Iterator[Fleet]:
    """All actors, ready, and no learner; they end with the block."""
    planned = plan(args, len(os.sched_getaffinity(0)))
    with ExitStack() as stack:
        cluster = stack.enter_context(Cluster(args.cluster.ray_address, bundles=planned.bundles))
        fleet = start_actors(cluster, planned, args, logs, warn=warn, should_stop=threading.Event())
        stack.callback(fleet.shutdown)
        fleet.wait_until_ready()
        yield fleet


def evaluate_offline(args: Args) -> int:
    """Score `--pretrain` on the benchmarks; prints the table, writes `eval_results/`.

    Returns the exit status.
    """
    args = without_training(args)
    try:
        benchmarks = load_benchmarks_of(args)
        if not benchmarks:
            raise ValueError("--eval_data names no benchmark; give a file, a folder or a hub id")
        run = RunDirectory.create(Path(args.run.save_path))
        with closing(Console(0)) as console, actors_alone(args, run.logs, console.warn) as fleet:
            evaluations = evaluate(args, benchmarks, fleet.groups, console.progress, console.warn)
        GraderReport(args, run, console.warn).store_evaluations(0, evaluations)
        console.evaluation(0, {name: found.score for name, found in evaluations.items()})
        console.note(f"results  {run.eval_results}")
    except (ValueError, OSError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0
