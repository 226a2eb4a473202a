"""Train a language model to reason about mathematics with reinforcement learning.

`python train_zero_math.py [--config examples/NAME.toml] [--flag value ...]`; without flags it trains
the bundled tiny model on sums, on the CPU. The loop in `train` is the whole algorithm.
"""

import os
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actors.start import NCCL_SENDER, start_actors
from learners.feed import (
    Sampled,
    Source,
    Stored,
    examples_of_groups,
    load_stored,
    with_reference_logprobs,
)
from learners.group import LearnerGroup
from learners.publishers import publisher_for
from learners.start import start_learners
from understand_r1_zero import checkpoint, cli
from understand_r1_zero.alarms import check_first_steps
from understand_r1_zero.args import Args
from understand_r1_zero.collect import Collector, Position
from understand_r1_zero.evaluate import evaluate
from understand_r1_zero.fleet import Fleet, Publisher
from understand_r1_zero.interrupt import stop_on_signals
from understand_r1_zero.launch import Cluster, process_ids
from understand_r1_zero.plan import plan
from understand_r1_zero.problems import Problems, load_run_problems
from understand_r1_zero.progress import Progress, Schedule
from understand_r1_zero.recipes import to_toml
from understand_r1_zero.recorder import Recorder
from understand_r1_zero.rounds import describe_rounds, run_rounds
from understand_r1_zero.run_directory import DiskError, RunDirectory, write_atomic
from understand_r1_zero.sizes import model_size
from understand_r1_zero.streaming import Interrupted
from understand_r1_zero.tokenizer import token_decoder

INTERRUPTED = 130
GATED_STEPS = 2
"""The first step shows that both sides loaded one model, the second that publication works."""


def main(argv: list[str] | None = None) -> int:
    """Parse the command line, then plan or train; returns the exit status."""
    args = cli.parse_training(sys.argv[1:] if argv is None else argv)
    for line in cli.describe(args):
        print(line)
    run = None
    try:
        if args.run.rounds:
            return rounds(args)
        if args.run.dry_run:
            from understand_r1_zero.dry_run import dry_run

            print(dry_run(args, len(os.sched_getaffinity(0))))
            return 0
        path = Path(args.run.save_path)
        run = RunDirectory(path) if args.run.resume else RunDirectory.create(path)
        return train(args, run)
    except (ValueError, OSError, RuntimeError, ArithmeticError) as error:
        if run is not None:
            with suppress(DiskError):
                run.write_crash("".join(traceback.format_exception(error)))
            if checkpoint.latest_checkpoint(run.path):
                print(f"resume: python train_zero_math.py --resume {run.path}", file=sys.stderr)
        print(f"error: {error}", file=sys.stderr)
        return 1


def rounds(args: Args) -> int:
    """Every stage of every round: collect, label, train, evaluate, as the recipe has them."""
    if args.run.dry_run:
        print("\n".join(describe_rounds(args)))
        return 0
    return run_rounds(args)


@dataclass(frozen=True)
class Parts:
    """What the loop drives."""

    problems: Problems
    fleet: Fleet
    learners: LearnerGroup
    publisher: Publisher
    recorder: Recorder
    schedule: Schedule
    source_at: Callable[[Position], Source]
    held_out: Sequence[Any]
    should_stop: threading.Event


def train(args: Args, run: RunDirectory) -> int:
    """Load the problems, start the processes, run the loop, tell what came of it."""
    size = model_size(args.model.pretrain)
    stored = load_stored(args)
    problems = load_run_problems(args)
    num_items = len(problems.training if stored is None else stored.units)
    planned = plan(args, len(os.sched_getaffinity(0)), num_items)
    digest = problems.digest() if stored is None else stored.digest()
    progress = Progress(problems=digest)
    if args.run.resume:
        progress = Progress.resume(Path(args.run.resume), digest)
    with ExitStack() as stack:
        should_stop = stack.enter_context(stop_on_signals())
        recorder = stack.enter_context(Recorder(args, run, planned.num_steps, progress.step))
        recorder.console.note(f"{args.model.pretrain}: {size or 'unknown size'}")
        for line in (*problems.lines(), *(stored.lines() if stored else ())):
            recorder.console.note(line)
        with recorder.timer("start"):
            address = args.cluster.ray_address
            cluster = stack.enter_context(Cluster(address, bundles=planned.bundles))
            warn = recorder.console.warn
            fleet = start_actors(
                cluster,
                planned,
                args,
                run.logs,
                warn=warn,
                should_stop=should_stop,
                rewards_steps=bool(args.step_oracle),
            )
            stack.callback(fleet.shutdown)
            if args.cluster.collocate and args.cluster.gpus:
                # An engine takes its share of the GPU memory it finds free while it starts.
                fleet.wait_until_ready()
                fleet.sleep()
            learners = start_learners(cluster, planned, args, run.logs)
            stack.callback(learners.kill)
            fleet.wait_until_ready()
            learners.wait_until_ready()
        run.write_processes(process_ids([*fleet.groups.processes, *learners.ranks]))
        if stored is not None and args.preference.precompute_ref_logprobs:
            stored = with_reference_logprobs(stored, args, learners, run.path / "ref_logprobs.npz")
        if args.run.resume:
            learners.load(Path(args.run.resume))
            run.truncate_after(progress.step)
            recorder.console.note(f"resumed after step {progress.step}, from {args.run.resume}")
        else:
            write_atomic(run.config, to_toml(args))
        publisher = publisher_for(args.cluster, planned, learners, NCCL_SENDER)
        schedule = Schedule(args, planned.num_steps)

        def source_at(position: Position) -> Source:
            if stored is None:
                collector = Collector(args, fleet.groups, problems.training, position)
                return Sampled(collector, examples_of_groups(args))
            return Stored(stored.units, args.sampling.rollout_batch_size, args.run.seed, position)

        held_out = stored.held_out if stored else ()
        parts = Parts(
            problems,
            fleet,
            learners,
            publisher,
            recorder,
            schedule,
            source_at,
            held_out,
            should_stop,
        )
        try:
            loop(args, run, parts, progress)
        except Interrupted:
            save(args, run, learners, progress)
            recorder.console.note(f"stopped after step {progress.step}")
        recorder.summary(checkpoint.latest_checkpoint(run.path))
    return INTERRUPTED if should_stop.is_set() else 0


def loop(args: Args, run: RunDirectory, parts: Parts, progress: Progress) -> None:
    """The algorithm; `progress` always says how much of it is done."""
    fleet, learners, recorder = parts.fleet, parts.learners, parts.recorder
    schedule, timer = parts.schedule, recorder.timer
    source = parts.source_at(progress.position)
    losses = evaluate_held_out(parts, 0) if progress.step == 0 else {}
    with timer("publish"):
        fleet.publish(parts.publisher, progress.version)
    if progress.step == 0:
        recorder.row(0, losses | evaluate_benchmarks(args, parts, 0) | timer.take())

    recorder.console.begin()
    while progress.step < schedule.num_steps:
        if parts.should_stop.is_set():
            raise Interrupted
        with timer("collect"):
            feed = source.next(progress.version)
        with timer("update"):
            fleet.sleep()
            update = learners.update(feed.examples, progress.step)
        metrics = feed.metrics | update | {"misc/pi_beta_version": float(progress.version)}
        is_gated = progress.step < GATED_STEPS and args.algorithm.algo == "ppo"
        if is_gated and feed.is_fresh:
            check_first_steps(args.alarm, feed.groups, learners, token_decoder(args.model))
        progress.step += 1
        # While actors that sleep still do.
        metrics |= evaluate_held_out(parts, progress.step)
        if schedule.publishes_at(progress.step):
            progress.version += 1
            with timer("publish"):
                fleet.publish(parts.publisher, progress.version)
        else:
            fleet.wake_up()
        try:
            metrics |= evaluate_benchmarks(args, parts, progress.step)
        finally:
            recorder.step(progress.step, feed.groups, metrics | timer.take())
        if schedule.saves_at(progress.step):
            with timer("save"):
                save(args, run, learners, progress)


def evaluate_held_out(parts: Parts, step: int) -> dict[str, float]:
    """The loss of the held-out examples, where there are any and the step is to be evaluated."""
    recorder = parts.recorder
    if not parts.held_out or not parts.schedule.evaluates_at(step):
        return {}
    with recorder.timer("evaluate"):
        metrics = parts.learners.evaluate_loss(parts.held_out)
    recorder.console.held_out(step, metrics)
    return metrics


def evaluate_benchmarks(args: Args, parts: Parts, step: int) -> dict[str, float]:
    """Ask every benchmark of the policy that the actors hold, where the step is to be evaluated."""
    recorder = parts.recorder
    if not parts.problems.benchmarks or not parts.schedule.evaluates_at(step):
        return {}
    with recorder.timer("evaluate"):
        evaluations = evaluate(
            args,
            parts.problems.benchmarks,
            parts.fleet.groups,
            recorder.console.progress,
            recorder.console.warn,
        )
    return recorder.evaluation(step, evaluations)


def save(args: Args, run: RunDirectory, learners: LearnerGroup, progress: Progress) -> None:
    """Write `checkpoints/step_N`, complete or not at all; delete the oldest beyond the limits."""
    partial = checkpoint.begin(run.checkpoints, progress.step)
    learners.save(partial)
    progress.write(partial)
    checkpoint.complete(partial)
    limits = args.checkpoint
    checkpoint.prune(run.checkpoints, limits.max_save_num, limits.max_save_mem * 1e9)


if __name__ == "__main__":
    sys.exit(main())
