"""What commands share that ask actors and write a line for each group, in a file that they go on with."""

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from actors.offline import actors_alone
from actors.search_progress import SearchProgress
from understand_r1_zero.args import Args
from understand_r1_zero.console import duration
from understand_r1_zero.run_directory import RunDirectory
from understand_r1_zero.search.records import FACTS_KEY
from understand_r1_zero.streaming import Request
from understand_r1_zero.types import Group


def exit_status(work: Callable[[], None]) -> int:
    """Do it and return the command's exit status; what goes wrong is told in one line."""
    try:
        work()
    except (ValueError, OSError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: the same command goes on where this one stopped", file=sys.stderr)
        return 130
    return 0


def write_groups(
    args: Args,
    requests: Sequence[Request],
    record_of: Callable[[Group], Mapping[str, Any]],
    done: set[int],
    unit: str = "questions",
    verb: str = "searched",
) -> None:
    """Ask for what is not in `--output` yet; each group's record becomes a line there as it comes.

    Args:
        args: the flags, without training.
        requests: all, with their places as indices.
        record_of: the record of a group.
        done: places in the file.
        unit: what requests are of, many of them.
        verb: what was done to them, for the line that says how long it took.
    """
    left = [request for request in requests if request.index not in done]
    output = Path(args.files.output)
    if done:
        print(f"{len(done)} of {len(requests)} {unit} are in {output} already")
    if not left:
        return
    path = Path(args.run.save_path)
    # It has logs only; a command that goes on may write them where it did before.
    run = RunDirectory(path) if (path / "logs").is_dir() else RunDirectory.create(path)
    with (
        closing(SearchProgress(len(requests), len(done), unit)) as progress,
        actors_alone(args, run.logs, progress.warn) as fleet,
        progress.watching(lambda: [each.submit("statistics") for each in fleet.groups.processes]),
        output.open("a", encoding="utf-8") as file,
    ):
        started_s = time.monotonic()
        ask = fleet.groups.together if args.run.deterministic else fleet.groups.stream
        for group in ask(left):
            file.write(json.dumps(record_of(group), ensure_ascii=False) + "\n")
            file.flush()
            for warning in group.warnings:
                progress.warn(warning)
            progress.finished(group)
        seconds = time.monotonic() - started_s
        progress.note(f"{verb} {len(left)} {unit} in {duration(seconds)}")


def tree_record(group: Group, row: Mapping[str, Any], made: Mapping[str, Any]) -> dict[str, Any]:
    """The tree of a group behind its row, with its place and by what it was made among its facts."""
    assert group.tree is not None, "this group was sampled"
    tree = dict(group.tree)
    tree[FACTS_KEY] = {"place": group.index, **tree[FACTS_KEY], **made}
    return {**row, **tree}
