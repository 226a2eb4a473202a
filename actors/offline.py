"""Evaluation without training: the same evaluator over the same actors."""

import os
import sys
import threading
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from actors.start import start_actors
from understand_r1_zero.args import AlgorithmArgs, Args
from understand_r1_zero.console import Console
from understand_r1_zero.evaluate import evaluate
from understand_r1_zero.grader_report import GraderReport
from understand_r1_zero.launch import Cluster
from understand_r1_zero.plan import plan
from understand_r1_zero.problems import load_benchmarks_of
from understand_r1_zero.run_directory import RunDirectory


def evaluate_offline(args: Args) -> int:
    """Score `--pretrain` on the benchmarks; prints the table, writes `eval_results/`.

    Returns the exit status.
    """
    # Nothing trains: every GPU is an actor's, whatever the flags of a run make of them.
    args = replace(
        args,
        cluster=replace(args.cluster, collocate=True, vllm_sleep=False),
        algorithm=AlgorithmArgs(),
    )
    try:
        benchmarks = load_benchmarks_of(args)
        if not benchmarks:
            raise ValueError("--eval_data names no benchmark; give a file, a folder or a hub id")
        run = RunDirectory.create(Path(args.run.save_path))
        planned = plan(args, len(os.sched_getaffinity(0)))
        with ExitStack() as stack:
            console = Console(0)
            stack.callback(console.close)
            address = args.cluster.ray_address
            cluster = stack.enter_context(Cluster(address, bundles=planned.bundles))
            fleet = start_actors(
                cluster,
                planned,
                args,
                run.logs,
                warn=console.warn,
                should_stop=threading.Event(),
            )
            stack.callback(fleet.shutdown)
            fleet.wait_until_ready()
            evaluations = evaluate(args, benchmarks, fleet.groups, console.progress, console.warn)
        GraderReport(args, run, console.warn).store_evaluations(0, evaluations)
        console.evaluation(0, {name: found.score for name, found in evaluations.items()})
        console.note(f"results  {run.eval_results}")
    except (ValueError, OSError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0
