"""`python -m understand_r1_zero label`: labels out of a file of trees or responses, without an engine."""

import itertools
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from understand_r1_zero.args import Args
from understand_r1_zero.labels.answer_grades import AnswerGrades
from understand_r1_zero.labels.checks import check_kind
from understand_r1_zero.labels.made import Counts, made_path, write_made
from understand_r1_zero.labels.registry import FORMATS, RULES
from understand_r1_zero.labels.sources import open_source
from understand_r1_zero.rejection import write_rows
from understand_r1_zero.search.codecs.registry import load_codec
from understand_r1_zero.search.codecs.step import StepCodec
from understand_r1_zero.templates import load_template
from understand_r1_zero.tokenizer import load_tokenizer

T = TypeVar("T")
INTERRUPTED = 130


def label(args: Args) -> int:
    """Run the command, whose flags `checks.check_labels` has passed; returns the exit status."""
    try:
        for line in write_labels(args).lines():
            print(line)
        print(f"\nlabels  {args.files.output}")
    except (ValueError, OSError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: nothing was written", file=sys.stderr)
        return INTERRUPTED
    return 0


def write_labels(args: Args) -> Counts:
    """Write `--output`, and beside it how it was made; both follow from the flags and the input file alone.

    Raises:
        ValueError: the input is at fault, or gives no row; then nothing is written.
    """
    labels, output = args.labelling, Path(args.files.output)
    source = open_source(Path(labels.label_from))
    check_kind(labels, source.kind)
    codec = codec_of(args)
    counts = Counts()
    with AnswerGrades(args.grading) as grades:
        groups = _seen(source.groups(grades.grade), counts.add_group)
        rows = FORMATS[labels.label_format](
            RULES[labels.label], groups, labels, codec, counts.left_out
        )
        rows = _seen(rows, counts.add_row)
        first = list(itertools.islice(rows, 1))
        if not first:
            raise ValueError(_nothing(args, counts))
        write_rows(output, _with_end(itertools.chain(first, rows), made_path(output)))
        write_made(output, args, source, counts, grades.num_graded)
    return counts


def codec_of(args: Args) -> StepCodec:
    """The codec of `--step_codec`, which asks by `--prompt_template`.

    Raises:
        ValueError: there is no such template, or the tokenizer it needs.
    """
    template = load_template(args.data.prompt_template)
    tokenizer = load_tokenizer(args.model) if template.needs_tokenizer else None
    return load_codec(args.steps.step_codec, template, tokenizer)


def _seen(items: Iterable[T], see: Callable[[T], None]) -> Iterator[T]:
    for item in items:
        see(item)
        yield item


def _with_end(rows: Iterable[T], made: Path) -> Iterator[T]:
    """The rows; what was said of an earlier file goes before the new one takes its place."""
    yield from rows
    made.unlink(missing_ok=True)


def _nothing(args: Args, counts: Counts) -> str:
    reasons = [f"{count:,} {name}" for name, count in sorted(counts.left_out.items()) if count]
    return (
        f"--label_from {args.labelling.label_from} gives no {args.labelling.label}: {counts.num_problems:,} "
        f"problems, {counts.num_solved:,} solved; left out: {', '.join(reasons) or 'nothing'}"
    )
