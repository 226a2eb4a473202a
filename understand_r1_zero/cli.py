"""Command line and recipes: flat flags over the nested dataclasses of args.py.

What is not given comes, in this order, from the flags, the recipe (`--config`) or the resumed run's
config.toml, and the defaults. Relative paths, in a recipe too, are relative to the current directory;
only the default model is the repository's own, wherever the program runs.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from understand_r1_zero.args import TINY_MODEL, Args, EvaluationArgs, RewardArgs
from understand_r1_zero.flags import parse_flags, refusals
from understand_r1_zero.recipes import read_recipe
from understand_r1_zero.resume import find_checkpoint, refuse_changes
from understand_r1_zero.rounds import check_rounds, find_rounds
from understand_r1_zero.run_directory import default_path
from understand_r1_zero.validate import validate
from understand_r1_zero.validate_search import check_training

PROGRAM = "train_zero_math.py"
COMMON = """Dashes and underscores are alike. Flags override the recipe of --config, a TOML file whose keys are
flag names; relative paths are relative to the current directory."""
DESCRIPTION = f"""Reinforcement learning for mathematical reasoning. Without flags: the demo on the CPU.

{COMMON}"""
OTHER_PROGRAMS = (
    "The flags are those of train_zero_math.py; what only training reads changes nothing here."
)


LEGACY_REASONS = {
    "rollout_batch_size_per_device": "groups stream to the least loaded actor",
    "pi_buffer_maxlen_per_device": "a batch is never cut or replayed",
    "mini_train_batch_size_per_device": "--train_batch_size_per_device and "
    "--max_tokens_per_micro_batch bound the micro-batches",
    "eval_batch_size": "evaluation streams like training",
}

GRADED_REWARDS = ("correct_reward", "incorrect_reward", "format_reward")
"""Flags of what the rule-based oracle's verdicts are worth."""

SAMPLED_EVALUATION = ("eval_n", "eval_temperature", "eval_top_p")
"""Flags of evaluation that samples."""

ROUNDED_LOGPROB_GAP = 0.05
"""Default of --max_logprob_gap in 16 bits, whose rounding alone exceeds float32's default."""

_REPOSITORY = Path(__file__).resolve().parent.parent
_SEEDS = 2**31


def parse(
    argv: Sequence[str],
    base: Args | None = None,
    program: str = PROGRAM,
    settle: Callable[[Args], Args] = lambda args: args,
) -> Args:
    """Resolve a command line (without the program's name) into checked flags; `base` has the defaults.

    `settle` is what a command makes of its flags before they are checked; a ValueError of its is a refusal.

    The seed is drawn if asked for, `run.save_path` is the run directory, `run.resume` the checkpoint
    directory to continue from or empty. A refusal is printed to stderr, one line a reason, and raises
    SystemExit(2); `--help` prints and raises SystemExit(0).
    """
    with refusals(program):
        args = settle(_resolve(argv, base or Args(), program))
        if not args.run.rounds:  # of whose stages each is checked
            validate(args)
        return args


def parse_training(argv: Sequence[str]) -> Args:
    """`parse`, of a run that trains: what only evaluation and searches can do is refused alike."""
    args = parse(argv)
    with refusals(PROGRAM):
        if args.run.rounds:
            check_rounds(args)
        else:
            check_training(args)
    return args


def parse_labels(argv: Sequence[str], program: str) -> Args:
    """`parse`, of the command label: what it cannot do is refused alike."""
    from understand_r1_zero.labels.checks import check_labels

    args = parse(argv, program=program)
    with refusals(program):
        check_labels(args)
    return args


def describe(args: Args) -> list[str]:
    """One line for each flag that does something other than its name says, to print once."""
    lines = [
        f"--{name} changes nothing here: {reason}"
        for name, reason in LEGACY_REASONS.items()
        if getattr(args.legacy, name) is not None
    ]
    if args.run.rnd_seed:
        lines.append(f"--rnd_seed drew --seed {args.run.seed}")
    if args.run.resume and args.run.config:
        lines.append("--config is not read with --resume: the run's config.toml holds the recipe")
    if not args.oracle.is_rule_based:
        lines += [
            f"--{name} changes nothing here: --oracle {args.oracle.oracle} gives its own rewards"
            for name in GRADED_REWARDS
            if getattr(args.reward, name) != getattr(RewardArgs(), name)
        ]
    if args.is_searched:
        lines += [
            f"--{name} changes nothing here: --method {args.search.method} searches (--step_temperature, ...)"
            for name in SAMPLED_EVALUATION
            if getattr(args.evaluation, name) != getattr(EvaluationArgs(), name)
        ]
    if args.cluster.collocate and not args.cluster.gpus:
        lines.append("--collocate changes nothing on the CPU: all processes share the cores")
    if args.optim.ref_offload and not args.needs_reference_model:
        lines.append("--ref_offload changes nothing here: nothing needs a reference model")
    return lines


def _resolve(argv: Sequence[str], base: Args, program: str) -> Args:
    if argv and not argv[0].startswith("-"):
        raise ValueError(f"unexpected {argv[0]!r}; a recipe is given by --config {argv[0]}")
    args = _parse_flags(argv, base, program)
    given = args.run
    goes_on = find_rounds(given.resume)
    if goes_on:
        given = replace(given, resume="", config=str(goes_on), save_path=given.resume)
    found = find_checkpoint(given.resume, given.save_path) if given.resume else None
    if found or given.config:
        recipe = found.run_directory / "config.toml" if found else Path(given.config).expanduser()
        args = _with_recipe(argv, recipe, base, program)
    elif args.model.dtype != "float32":
        args = _parse_flags(argv, _rounded(base), program)
    run = args.run
    if goes_on:
        run = replace(run, resume="", config=given.config, save_path=given.save_path)
    elif found:
        run = replace(
            run,
            resume=str(found.checkpoint),
            save_path=str(found.run_directory),
            rnd_seed=False,
        )
    elif run.rnd_seed:
        run = replace(run, seed=time.time_ns() % _SEEDS)
    run = replace(run, save_path=run.save_path or str(default_path(datetime.now())))
    args = _with_bundled_model(replace(args, run=run))
    if found:
        refuse_changes(read_recipe(found.run_directory / "config.toml", Args()), args)
    return args


def _with_recipe(argv: Sequence[str], recipe: Path, base: Args, program: str) -> Args:
    args = _parse_flags(argv, read_recipe(recipe, base), program)
    if args.model.dtype == "float32":
        return args
    return _parse_flags(argv, read_recipe(recipe, _rounded(base)), program)


def _rounded(base: Args) -> Args:
    return replace(base, alarm=replace(base.alarm, max_logprob_gap=ROUNDED_LOGPROB_GAP))


def _with_bundled_model(args: Args) -> Args:
    # On an existing cluster every node works in a copy of the repository.
    if args.model.pretrain != TINY_MODEL or args.cluster.ray_address:
        return args
    return replace(args, model=replace(args.model, pretrain=str(_REPOSITORY / TINY_MODEL)))


def _parse_flags(argv: Sequence[str], base: Args, program: str) -> Args:
    description = DESCRIPTION if program == PROGRAM else f"{OTHER_PROGRAMS}\n\n{COMMON}"
    return parse_flags(Args, argv, base, program, description)
