"""Our side of `actor`: a batch of groups through Ray, streamed as in training."""

import os
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from actors.start import start_actors
from bench.side import DoRound, Round, answer
from understand_r1_zero import cli
from understand_r1_zero.collect import Collector, Position
from understand_r1_zero.launch import Cluster
from understand_r1_zero.plan import plan
from understand_r1_zero.problems import load_run_problems


def main() -> None:
    """Collect one batch a round, always of the same problems."""
    with ExitStack() as stack:
        answer(lambda: _prepare(stack))


def _prepare(stack: ExitStack) -> DoRound:
    args = cli.parse(sys.argv[1:])
    problems = load_run_problems(args).training
    planned = plan(args, len(os.sched_getaffinity(0)), len(problems))
    cluster = stack.enter_context(Cluster(bundles=planned.bundles))
    logs = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    fleet = start_actors(
        cluster,
        planned,
        args,
        logs,
        warn=lambda line: print(line, file=sys.stderr),
        should_stop=threading.Event(),
    )
    stack.callback(fleet.shutdown)
    fleet.wait_until_ready()

    def do_round() -> Round:
        fleet.call("reset_prefix_cache")
        collector = Collector(args, fleet.groups, problems, Position())
        started_s = time.perf_counter()
        groups = collector.collect(version=0)
        seconds = time.perf_counter() - started_s
        tokens = sum(len(r.token_ids) for group in groups for r in group.responses)
        return {"tokens": tokens, "seconds": seconds}

    return do_round


if __name__ == "__main__":
    main()
