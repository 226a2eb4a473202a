"""Flags of preference learning that cannot go together, refused before anything starts."""

import math
from collections.abc import Iterator

from understand_r1_zero.args import Args
from understand_r1_zero.args_preference import READERS, PreferenceArgs
from understand_r1_zero.args_supervised import ValueArgs

_AT_LEAST_0 = (
    "gamma_beta_ratio",
    "dpo_positive_lambda",
    "len_reg_alpha",
    "sft_weight",
    "pair_value_weight",
    "pair_margin_weight",
    "pair_value_margin",
)


def preference_refusals(args: Args) -> Iterator[str]:
    """What is wrong with the flags of `--algo dpo`, a line each."""
    yield from _losses(args.preference)
    yield from _preference_data(args.preference)
    yield from _values(args)


def _losses(args: PreferenceArgs) -> Iterator[str]:
    for name in _AT_LEAST_0:
        value = getattr(args, name)
        if not 0 <= value < math.inf:
            yield f"--{name} must be a finite number of at least 0, got {value}"
    if not 0 < args.preference_beta < math.inf:
        yield f"--preference_beta must be a finite number above 0, got {args.preference_beta}"
    if not 0 <= args.label_smoothing < 0.5:
        yield (
            f"--label_smoothing must be at least 0 and below 0.5, got {args.label_smoothing}: a "
            "label that is wrong every second time says nothing"
        )
    if args.max_pairs_per_group < 1:
        yield f"--max_pairs_per_group must be at least 1, got {args.max_pairs_per_group}"
    for name, readers in READERS.items():
        value = getattr(args, name)
        is_set = value not in (getattr(PreferenceArgs(), name), 0, "none")
        if is_set and args.preference_loss not in readers:
            yield (
                f"--{name} {value} changes nothing with --preference_loss {args.preference_loss}; "
                f"drop it, or use --preference_loss {' or '.join(readers)}"
            )


def _preference_data(args: PreferenceArgs) -> Iterator[str]:
    for name in ("pair_weights", "soft_labels"):
        if getattr(args, name) == "visits" and not args.preference_data:
            yield (
                f"--{name} visits needs --preference_data with columns chosen_visits and "
                "rejected_visits: sampled groups have none; use margin or none"
            )
    if not args.precompute_ref_logprobs:
        return
    if not args.preference_data:
        yield (
            "--precompute_ref_logprobs needs --preference_data: pairs of sampled groups are not "
            "known before they are sampled; drop it"
        )
    if not args.needs_reference:
        yield (
            f"--precompute_ref_logprobs changes nothing with --preference_loss "
            f"{args.preference_loss}, which has no reference; drop it"
        )


def _values(args: Args) -> Iterator[str]:
    preference, default = args.preference, PreferenceArgs()
    given = [
        name for name in ("pair_value_weight", "pair_margin_weight") if getattr(preference, name)
    ]
    if given and not preference.preference_data:
        yield (
            f"--{given[0]} needs --preference_data: what the steps of sampled pairs are worth is not known; "
            "give a file of pairs of steps, or drop it"
        )
    if (
        preference.pair_value_margin != default.pair_value_margin
        and not preference.pair_margin_weight
    ):
        yield (
            f"--pair_value_margin {preference.pair_value_margin} changes nothing without "
            "--pair_margin_weight; give one, or drop it"
        )
    head = args.value.value_head
    if args.algorithm.algo == "dpo" and not given and head != ValueArgs().value_head:
        yield (
            f"--value_head {head} changes nothing with --algo dpo unless --pair_value_weight or "
            "--pair_margin_weight is above 0; give one, or drop it"
        )
