"""What the command collect makes of its flags, and what it refuses, before anything starts."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from understand_r1_zero.args import Args
from understand_r1_zero.args_search import SearchArgs, StepArgs, StepOracleArgs
from understand_r1_zero.stages import is_pending
from understand_r1_zero.tables import FILE_SUFFIXES

EXPLORED_DEPTH = 32
"""Steps of the longest completed solution, those given among them; Self-Explore completes at most 20."""


def settle_collect(args: Args) -> Args:
    """The flags as `--collect` reads them: a method without a search, with one, or for single chains of steps.

    Flags of searches change nothing where responses are sampled, nor those of the method where solutions are
    explored, but for `--depth`.

    Raises:
        ValueError: they cannot go together, or lack something; a line a reason.
    """
    if errors := list(_refusals(args)):
        raise ValueError("\n".join(errors))
    if args.collecting.collect == "sample":
        return replace(args, search=SearchArgs(), steps=StepArgs(), valuing=StepOracleArgs())
    if args.collecting.collect == "explore":
        depth = EXPLORED_DEPTH if args.search.depth is None else args.search.depth
        return replace(args, search=SearchArgs(method="cot", depth=depth))
    return args


def _refusals(args: Args) -> Iterator[str]:
    flags = args.collecting
    if not args.files.output:
        yield "--output names no file; what is collected goes there, a JSON line each"
    if flags.collect_problems != -1 and flags.collect_problems < 1:
        yield f"--collect_problems must be at least 1, or -1 for all, got {flags.collect_problems}"
    for name, least in (("collect_trees", 1), ("explore_solutions", 0)):
        if (value := getattr(flags, name)) < least:
            yield f"--{name} must be at least {least}, got {value}"
    if flags.collect == "search" and not args.is_searched:
        yield "--collect search needs a search, got --method sample; name one by --method"
    if flags.collect == "explore":
        yield from _explore_refusals(args)


def _explore_refusals(args: Args) -> Iterator[str]:
    path = Path(args.collecting.solutions).expanduser()
    if not args.collecting.solutions:
        yield "--collect explore needs solutions: give a file of responses or pairs by --solutions"
    elif is_pending(args.collecting.solutions):
        pass
    elif path.suffix not in FILE_SUFFIXES or not path.is_file():
        yield (
            f"--solutions must be a {', '.join(FILE_SUFFIXES)} file that exists, got "
            f"{args.collecting.solutions!r}"
        )
    if args.valuing.mc_threshold:
        yield (
            f"--mc_threshold {args.valuing.mc_threshold} cannot go with --collect explore, whose counts are of "
            "all completions; drop it"
        )
    if args.steps.step_temperature == 0:
        yield (
            "--step_temperature must be above 0 with --collect explore, whose completions would all be one"
        )
