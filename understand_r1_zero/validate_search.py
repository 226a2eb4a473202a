"""Flags of searches that cannot go together, refused before anything starts."""

from collections.abc import Iterator
from pathlib import Path

from understand_r1_zero.args import Args
from understand_r1_zero.search.codecs.registry import load_codec
from understand_r1_zero.search.oracle_names import STEP_ORACLES, parse_oracles
from understand_r1_zero.search.settings import settings_of
from understand_r1_zero.values import check_classifier

_AT_LEAST = {
    "steps": {
        "step_max_tokens": 0,
        "step_temperature": 0,
        "max_code_errors": 1,
        "code_memory_mb": 16,
    },
    "valuing": {
        "mc_completions": 1,
        "mc_round": 1,
        "tree_simulations": 1,
        "critic_samples": 1,
        "remote_batch_size": 1,
    },
}


def search_refusals(args: Args) -> Iterator[str]:
    """What is wrong with the flags of searches, where evaluation searches."""
    if not args.is_searched:
        return
    for owner, bounds in _AT_LEAST.items():
        for name, least in bounds.items():
            value = getattr(getattr(args, owner), name)
            if not value >= least:
                yield f"--{name} must be at least {least}, got {value}"
    if args.run.deterministic:
        yield (
            f"--deterministic cannot go with --method {args.search.method}: what searches compute together "
            "depends on time; drop one"
        )
    if not 0 < args.steps.step_top_p <= 1:
        yield f"--step_top_p must be above 0 and at most 1, got {args.steps.step_top_p}"
    try:
        settings = settings_of(args.search)
        load_codec(args.steps.step_codec)
        oracles = parse_oracles(args.searches_by) if settings.needs_values else {}
    except ValueError as error:
        yield str(error)
        return
    if args.steps.step_temperature == 0 and settings.num_samples_at_once > 1:
        yield (
            f"--step_temperature must be above 0 with --method {settings.method}, whose samples would all "
            "be one; use --method greedy"
        )
    yield from _missing(args, oracles)


def _missing(args: Args, oracles: dict[str, float]) -> Iterator[str]:
    flags = args.valuing
    is_prm = "prm" in oracles and flags.prm_kind == "classifier"
    is_value = "value" in oracles or ("tree" in oracles and bool(flags.value_model))
    if is_prm or is_value:
        if not flags.value_model:
            yield f"--oracle {args.searches_by} reads a model: give its directory by --value_model"
        else:
            try:
                check_classifier(Path(flags.value_model), 1 if is_value else 2)
            except ValueError as error:
                yield str(error)
    if {"value", "prm"} <= oracles.keys():
        yield f"--oracle {args.searches_by} reads two models, and --value_model names one; take either"
    if "remote" in oracles and not flags.remote_url:
        yield "--oracle remote asks a server: give its address by --remote_url"


def training_refusals(args: Args) -> Iterator[str]:
    """What is wrong with training by an oracle of steps."""
    oracle = args.oracle.oracle
    if oracle.split(",")[0].split("=")[0] in STEP_ORACLES and oracle != "math":
        yield (
            f"--oracle {oracle} scores the steps of searches, and training wants rewards of responses: use "
            "math or your own module:Class, and --search_oracle for searches in evaluation"
        )
