"""Flags of labels that cannot be, or cannot go together, refused before anything is read."""

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

from understand_r1_zero.args import Args
from understand_r1_zero.args_rounds import LabelArgs
from understand_r1_zero.labels.registry import FORMATS, RULES
from understand_r1_zero.labels.solution_pairs import read_distances
from understand_r1_zero.labels.sources import Kind
from understand_r1_zero.labels.worths import WORTHS
from understand_r1_zero.search.codecs.registry import CODE_CODECS, load_codec
from understand_r1_zero.stages import is_pending

_AT_LEAST = {
    "label_right": 0,
    "label_wrong": 0,
    "label_distance": 0,
    "pair_top": 1,
    "pair_margin": 0,
    "pair_edits": 0,
    "pairs_per_problem": 0,
    "pair_wrong": 0,
    "label_min_chars": 0,
}
_SELECTING = ("step_values", "solutions")
_COMPARING = (*_SELECTING, "solution_pairs")
_READERS = {
    "label_codec": _SELECTING,
    "label_value": ("step_values", "step_pairs"),
    "label_right": _SELECTING,
    "label_wrong": ("step_values",),
    "label_prefer": _SELECTING,
    "label_distinct": _COMPARING,
    "label_distance": _COMPARING,
    "pair_top": ("step_pairs",),
    "pair_margin": ("step_pairs", "solution_pairs"),
    "pair_edits": ("step_pairs",),
    "pair_outcome": ("step_pairs",),
    "pair_sets": ("step_pairs",),
    "pair_by": ("solution_pairs",),
    "pair_distances": ("solution_pairs",),
    "pairs_per_problem": ("solution_pairs",),
    "pair_wrong": ("solution_pairs",),
    "label_min_value": ("solutions",),
    "label_min_chars": ("solutions",),
}
"""Which rules read a flag."""
_OF_TREES = ("step_pairs", "first_pit")
"""Rules that responses are not enough for."""


def check_labels(args: Args) -> None:
    """Refuse what the command label cannot do.

    Raises:
        ValueError: in a line a reason, each with the flag, its value and what to do.
    """
    refusals = [*_ranges(args.labelling), *_unread(args.labelling), *_names(args), *_files(args)]
    if refusals:
        raise ValueError("\n".join(refusals))


def check_kind(args: LabelArgs, kind: Kind) -> None:
    """Refuse a rule or a flag that needs trees where the file has responses.

    Raises:
        ValueError: in one line.
    """
    if kind == "trees":
        return
    if args.label in _OF_TREES:
        raise ValueError(
            f"--label {args.label} needs trees, and --label_from {args.label_from} has responses; give a file "
            "of collect --collect search or explore"
        )
    if args.label == "step_values" and args.label_value != "outcome":
        raise ValueError(
            f"--label_value {args.label_value} needs trees, and --label_from {args.label_from} has responses; "
            "use outcome, or give a file of trees"
        )
    if args.pair_by == "value":
        raise ValueError(
            f"--pair_by value needs trees, and --label_from {args.label_from} has responses; give a file of "
            "collect --collect search --method best_of_n, or use grade"
        )
    if args.label_prefer == "q":
        raise ValueError(
            f"--label_prefer q needs trees, and --label_from {args.label_from} has responses; use order"
        )


def _ranges(args: LabelArgs) -> Iterator[str]:
    for name, least in _AT_LEAST.items():
        if not getattr(args, name) >= least:
            yield f"--{name} must be at least {least}, got {getattr(args, name)}"
    if not args.label_distance < 1:
        yield f"--label_distance must be below 1, got {args.label_distance}"
    try:
        read_distances(args.pair_distances)
    except ValueError as error:
        yield str(error)


def _unread(args: LabelArgs) -> Iterator[str]:
    defaults = LabelArgs()
    for field in fields(args):
        readers = _READERS.get(field.name, (args.label,))
        value = getattr(args, field.name)
        if args.label not in readers and value != getattr(defaults, field.name):
            yield (
                f"--{field.name} {value} changes nothing with --label {args.label}; drop it, or use --label "
                f"{' or '.join(readers)}"
            )
    if args.label == "solution_pairs":
        kinds = {
            "grade": ("pair_margin",),
            "value": ("pair_distances", "pairs_per_problem", "pair_wrong"),
        }
        for name in kinds[args.pair_by]:
            if (value := getattr(args, name)) != getattr(defaults, name):
                yield f"--{name} {value} changes nothing with --pair_by {args.pair_by}; drop it"
    if args.label_distinct != "distance" and args.label_distance != defaults.label_distance:
        yield (
            f"--label_distance {args.label_distance} changes nothing with --label_distinct "
            f"{args.label_distinct}; use distance, or drop it"
        )


def _names(args: Args) -> Iterator[str]:
    labels = args.labelling
    if labels.label == "step_pairs" and labels.label_value not in WORTHS:
        yield f"--label step_pairs compares by {' or '.join(WORTHS)}, got --label_value {labels.label_value}"
    for name, known in (("label", RULES), ("label_format", FORMATS)):
        if getattr(labels, name) not in known:
            yield f"--{name} must be one of {', '.join(known)}, got {getattr(labels, name)}"
    try:
        load_codec(args.steps.step_codec)
    except ValueError as error:
        yield str(error)
        return
    if labels.label_codec and args.steps.step_codec != "react":
        yield (
            f"--label_codec {labels.label_codec} is for trees of --step_codec react, got "
            f"{args.steps.step_codec}; drop it"
        )
    if labels.label_prefer == "code" and args.steps.step_codec not in CODE_CODECS:
        yield (
            f"--label_prefer code is of steps with code, and --step_codec {args.steps.step_codec} has none; use "
            f"{', '.join(CODE_CODECS)}, or order or q"
        )


def _files(args: Args) -> Iterator[str]:
    given, output = args.labelling.label_from, args.files.output
    if is_pending(given) or is_pending(output):
        return
    if not given or not Path(given).is_file():
        yield f"--label_from must be a file of trees or of responses that exists, got {given!r}"
    path = Path(output)
    if not output or not path.parent.is_dir() or (path.exists() and not path.is_file()):
        yield f"--output must be a file in a folder that exists, got {output!r}"
    elif path.exists() and given and Path(given).exists() and path.samefile(given):
        yield f"--output must be another file than --label_from {given}"
