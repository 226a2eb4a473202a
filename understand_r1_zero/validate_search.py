"""Flags of searches that cannot go together, refused before anything starts."""

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

from understand_r1_zero.args import Args
from understand_r1_zero.search.codecs.registry import load_codec
from understand_r1_zero.search.oracle_names import parse_oracles
from understand_r1_zero.search.settings import settings_of
from understand_r1_zero.stages import is_pending
from understand_r1_zero.validate_step_rewards import is_read, step_reward_refusals
from understand_r1_zero.values import check_classifier

_AT_LEAST = {
    "step_max_tokens": 0,
    "step_temperature": 0,
    "max_code_errors": 1,
    "code_memory_mb": 16,
    "mc_completions": 1,
    "mc_round": 1,
    "mc_threshold": 0,
    "tree_simulations": 1,
    "critic_samples": 1,
    "remote_batch_size": 1,
}
_ABOVE_ZERO = ("step_top_p", "code_wall_s", "value_gpu_ratio", "remote_timeout_s")
_OTHER_COMMANDS = {
    "files": "search",
    "collecting": "collect",
    "labelling": "label",
    "verifying": "verify",
}
"""Whose flags these owners have; training reads none of them."""
_AT_MOST_ONE = ("step_top_p", "value_gpu_ratio", "mc_threshold")


def search_refusals(args: Args) -> Iterator[str]:
    """What is wrong with the oracle's name and, where evaluation searches, with the flags of searches."""
    if args.oracle.is_rule_based:
        try:
            parse_oracles(args.oracle.oracle)
        except ValueError as error:
            yield str(error)
            return
    if args.is_searched:
        yield from _ranges(args)
        yield from _choices(args)
    else:
        yield from _unread(args)


def _unread(args: Args) -> Iterator[str]:
    defaults = Args()
    # Labels are made of steps without a search.
    owners = ("search", "valuing") if args.labelling.label_from else ("search", "steps", "valuing")
    for owner in owners:
        for field in fields(getattr(args, owner)):
            value = getattr(getattr(args, owner), field.name)
            is_default = value == getattr(getattr(defaults, owner), field.name)
            if is_default or is_read(args, field.name):
                continue
            with_oracle = f" and with --oracle {args.step_oracle}" if args.step_oracle else ""
            yield (
                f"--{field.name} {value} changes nothing without a search{with_oracle}; name one by --method, "
                "or drop it"
            )


def _ranges(args: Args) -> Iterator[str]:
    given = vars(args.steps) | vars(args.valuing)
    for name, least in _AT_LEAST.items():
        if not given[name] >= least:
            yield f"--{name} must be at least {least}, got {given[name]}"
    for name in _ABOVE_ZERO:
        if not given[name] > 0:
            yield f"--{name} must be above 0, got {given[name]}"
    for name in _AT_MOST_ONE:
        if given[name] > 1:
            yield f"--{name} must be at most 1, got {given[name]}"


def _choices(args: Args) -> Iterator[str]:
    if args.run.deterministic:
        yield (
            f"--deterministic cannot go with --method {args.search.method}: what searches compute together "
            "depends on time; drop one"
        )
    try:
        settings = settings_of(args.search)
        load_codec(args.steps.step_codec)
        if settings.needs_values and ":" in args.searches_by:
            raise ValueError(
                f"--oracle {args.searches_by} scores responses, and --method {settings.method} values "
                "steps; add --search_oracle math, or another oracle of steps"
            )
        oracles = parse_oracles(args.searches_by) if settings.needs_values else {}
    except ValueError as error:
        yield str(error)
        return
    if settings.method == "greedy" and settings.num_samples_at_once > 1:
        yield (
            f"--num_children must be 1 with --method greedy, whose samples are all one, got "
            f"{settings.num_children}; drop it"
        )
    elif args.steps.step_temperature == 0 and settings.num_samples_at_once > 1:
        yield (
            f"--step_temperature must be above 0 with --method {settings.method}, whose samples would all "
            "be one; use --method greedy"
        )
    yield from _missing(args, args.searches_by, oracles)


def _missing(args: Args, spec: str, oracles: dict[str, float]) -> Iterator[str]:
    """What the flags of the oracles that `spec` names lack."""
    flags = args.valuing
    is_prm = "prm" in oracles and flags.prm_kind == "classifier"
    is_value = "value" in oracles or ("tree" in oracles and bool(flags.value_model))
    if is_prm or is_value:
        if not flags.value_model:
            yield f"--oracle {spec} reads a model: give its directory by --value_model"
        elif not is_pending(flags.value_model):
            try:
                check_classifier(Path(flags.value_model), 1 if is_value else 2)
            except ValueError as error:
                yield str(error)
    if is_value and "prm" in oracles:
        yield (
            f"--oracle {spec} reads two models, a value model and a process reward model, and "
            "--value_model names one; leave one oracle out"
        )
    if "remote" in oracles and not flags.remote_url.startswith(("http://", "https://")):
        yield (
            "--oracle remote asks a server: give its address by --remote_url, http://HOST:PORT/PATH, got "
            f"{flags.remote_url!r}"
        )
    if "monte_carlo" in oracles and flags.mc_threshold and flags.mc_mode != "soft":
        yield (
            f"--mc_threshold {flags.mc_threshold} is of --mc_mode soft, got {flags.mc_mode}; drop one"
        )


def check_training(args: Args) -> None:
    """Refuse flags of rewards of steps that do not fit, and those of other commands.

    Raises:
        ValueError: one line a refusal.
    """
    defaults = Args()
    refusals = [
        f"--{field.name} {value} is of the command {command}; drop it"
        for owner, command in _OTHER_COMMANDS.items()
        for field in fields(getattr(args, owner))
        if (value := getattr(getattr(args, owner), field.name))
        != getattr(getattr(defaults, owner), field.name)
    ]
    refusals += step_reward_refusals(args)
    if args.step_oracle and not refusals:
        refusals += _step_oracle(args)
    if refusals:
        raise ValueError("\n".join(refusals))


def _step_oracle(args: Args) -> Iterator[str]:
    if not args.is_searched:  # else they were looked at
        yield from _ranges(args)
    try:
        load_codec(args.steps.step_codec)
    except ValueError as error:
        yield str(error)
        return
    yield from _missing(args, args.step_oracle, parse_oracles(args.step_oracle))
