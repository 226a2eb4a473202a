"""`python -m understand_r1_zero grade FILE`: grades anyone's completions, and says what they amount to."""

import sys
import textwrap
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro
from tqdm import tqdm

from understand_r1_zero.args import GradingArgs
from understand_r1_zero.completions import (
    BadRow,
    ColumnArgs,
    Completions,
    Survey,
    describe_bad,
    read_completions,
    survey,
)
from understand_r1_zero.flags import parse_flags, refusals
from understand_r1_zero.grade_summary import Tally, bad_row_lines, count, summary_lines
from understand_r1_zero.grading.conventions import check_grading, conventions_of, conventions_record
from understand_r1_zero.grading.extraction import extraction_by_name
from understand_r1_zero.grading.grader import Grader
from understand_r1_zero.scoring import sample_sizes
from understand_r1_zero.table_rows import require_column
from understand_r1_zero.tables import FILE_SUFFIXES, Table, open_file
from understand_r1_zero.verdicts import VerdictFile, graded_in_order

PROGRAM = "python -m understand_r1_zero grade"
DESCRIPTION = """Grade completions, one row a problem: print accuracy, pass@k and votes, write verdicts.

Dashes and underscores are alike. FILE is json (a list of rows, or a row a line), jsonl or parquet."""
INTERRUPTED = 130
LINE_WIDTH = 100


@dataclass(frozen=True)
class GradeArgs:
    """All flags of the command."""

    file: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="FILE")]]
    """The completions."""
    extraction: str = "any"
    """Where the answer stands in a response: boxed, answer_tag, hash, sentence, final_answer, r1_distill (where the prompt opened the thought), or any of them."""
    output: str = ""
    """Write a JSON line for each response to this file; PATH.partial until all are graded."""
    skip_bad_rows: bool = False
    """Leave out rows that cannot be graded, and name them; otherwise nothing is graded."""
    columns: ColumnArgs = field(default_factory=ColumnArgs)
    grading: GradingArgs = field(default_factory=GradingArgs)


def grade(argv: Sequence[str]) -> int:
    """Run the command; returns the exit status."""
    args = parse(argv)
    try:
        return _grade_file(args)
    except (ValueError, OSError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED


def parse(argv: Sequence[str]) -> GradeArgs:
    """The command line, checked; a refusal is printed in one line and raises SystemExit(2)."""
    with refusals("grade"):
        args = parse_flags(GradeArgs, argv, None, PROGRAM, DESCRIPTION)
        _check(args)
        return args


def _check(args: GradeArgs) -> None:
    path = Path(args.file)
    if path.suffix not in FILE_SUFFIXES or not path.is_file():
        kinds = " or ".join(FILE_SUFFIXES)
        raise ValueError(f"FILE must be a {kinds} file that exists, got {args.file!r}")
    names = {"--extraction": args.extraction, "--answer_extraction": args.columns.answer_extraction}
    for flag, name in names.items():
        try:
            extraction_by_name(name or args.extraction)
        except ValueError as error:
            raise ValueError(f"{flag}: {error}") from None
    check_grading(args.grading)
    if not args.output:
        return
    output = Path(args.output)
    if not output.parent.is_dir() or (output.exists() and not output.is_file()):
        raise ValueError(f"--output must be a file in a folder that exists, got {args.output!r}")
    if output.exists() and output.samefile(path):
        raise ValueError("--output must be another file than FILE")


def _grade_file(args: GradeArgs) -> int:
    table = open_file(Path(args.file))
    found = _survey(args, table)
    num_workers = args.grading.grader_workers
    grader = Grader(conventions_of(args.grading), num_workers, args.grading.grader_timeout_s)
    tally = Tally(sample_sizes(found.fewest))
    graded_by = {"extraction": args.extraction, **conventions_record(args.grading)}
    is_interrupted = False
    with (
        VerdictFile(args.output, graded_by) as verdicts,
        closing(grader),
        _bar(found.num_good) as bar,
    ):
        rows = (
            row for row in read_completions(table, args.columns) if isinstance(row, Completions)
        )
        extract = extraction_by_name(args.extraction)
        try:
            for graded in graded_in_order(rows, extract, grader, num_workers):
                verdicts.write(graded)
                tally.add(graded.row.row, graded.outcome(), graded.row.group)
                bar.set_postfix_str(f"{tally.share_correct:.1%} correct", refresh=False)
                bar.update()
            verdicts.complete()
        except KeyboardInterrupt:
            is_interrupted = True
    lines = [*_head_lines(args, found), "", *_result_lines(args, found, tally)]
    if verdicts.path is not None:
        lines += ["", f"verdicts  {verdicts.path}"]
    print("\n".join(lines))
    if is_interrupted:
        rows = f"{tally.num_rows:,} of {count(found.num_good, 'row')}"
        print(f"interrupted after {rows}: the numbers above are theirs", file=sys.stderr)
        return INTERRUPTED
    if not tally.num_known:
        raise ValueError("no gold answer could be read; check --answer_key and --answer_extraction")
    return 0


def _survey(args: GradeArgs, table: Table) -> Survey:
    """Look at every row before the first is graded; refuses bad ones unless they are to be skipped."""
    if not args.skip_bad_rows:
        for flag, key in args.columns.required():
            require_column(table, key, flag)
    rows: Iterable[Completions | BadRow] = tqdm(
        read_completions(table, args.columns),
        desc="checking",
        unit=" rows",
        file=sys.stderr,
        disable=not sys.stderr.isatty(),
        delay=1,
        leave=False,
    )
    found = survey(rows, table, args.columns)
    if found.bad and not args.skip_bad_rows:
        raise ValueError(
            f"{describe_bad(table, found)}; mend them, or leave them out with --skip_bad_rows"
        )
    return found


def _bar(num_rows: int) -> tqdm:
    return tqdm(
        total=num_rows,
        file=sys.stderr,
        disable=not sys.stderr.isatty(),
        dynamic_ncols=True,
        leave=False,
        bar_format="{percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt} rows, "
        "{elapsed} passed, {remaining} left{postfix}",
    )


def _head_lines(args: GradeArgs, found: Survey) -> list[str]:
    rows, responses = count(found.num_good, "row"), count(found.num_responses, "response")
    chosen = conventions_of(args.grading).to_dict()
    options = ", ".join(f"{name} {str(value).lower()}" for name, value in chosen.items())
    facts = {
        "file": args.file,
        "holds": f"{rows}, {responses}, {_sizes(found, ' to ')} a row",
        "graded by": f"preset {args.grading.preset}: {options}; extraction {args.extraction}",
    }
    if found.fewest < found.most:
        fewest = f"as many responses as row {found.fewest_row} has"
        facts["votes"] = f"pass@k, maj@k, best@k and weighted@k up to k = {found.fewest}, {fewest}"
    indent = max(map(len, facts)) + 2
    return [
        line
        for name, text in facts.items()
        for line in textwrap.wrap(
            f"{name:<{indent}}{text}",
            LINE_WIDTH,
            subsequent_indent=" " * indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
    ]


def _sizes(found: Survey, joint: str) -> str:
    return f"{found.fewest}" + f"{joint}{found.most}" * (found.fewest < found.most)


def _result_lines(args: GradeArgs, found: Survey, tally: Tally) -> list[str]:
    lines = summary_lines(tally, f"avg@{_sizes(found, '-')}", args.columns.by)
    if found.bad:
        lines += ["", *bad_row_lines([(bad.row, bad.reason) for bad in found.bad])]
    return lines
