"""Flat command-line flags over nested dataclasses: parsed by tyro, refused in one line.

Dashes and underscores are alike. A field of a dataclass, nested or not, is a flag; one whose type is
annotated (`tyro.conf.Positional`) is an argument without a name.
"""

import contextlib
import io
import itertools
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import Field, fields, is_dataclass
from typing import Annotated, Any, NoReturn, TypeVar, get_origin

import tyro

from understand_r1_zero.sources import nearest

T = TypeVar("T")

OTHER_NAMES = {
    "verifier_version": "preset",
    "sft_holdout": "holdout",
    "from": "from_trees",
    "oracle_timeout": "oracle_timeout_s",
}
"""Flags by another name that they have besides: Oat's, or one for a single `--algo`."""


def flags_of(kind: type) -> Iterator[tuple[str, Field[Any]]]:
    """The flags of a dataclass, each with the name of the field whose dataclass owns it, or none."""
    for field in fields(kind):
        if isinstance(field.type, type) and is_dataclass(field.type):
            yield from ((field.name, nested) for _, nested in flags_of(field.type))
        elif get_origin(field.type) is not Annotated:
            yield "", field


def parse_flags(
    kind: type[T], argv: Sequence[str], base: T | None, program: str, description: str
) -> T:
    """A command line (without the program's name) as a `kind`, whose defaults are `base` or its own.

    `--help` prints and raises SystemExit(0). Raises ValueError, in one line, for an unknown flag, with
    the nearest known one, or a value of the wrong type.
    """
    argv = [_with_our_name(token) for token in argv]
    _refuse_unknown(kind, argv)
    defaults: dict[str, Any] = {} if base is None else {"default": base}
    refusal = io.StringIO()
    try:
        with contextlib.redirect_stderr(refusal):
            return tyro.cli(
                kind,
                args=argv,
                prog=program,
                description=description,
                config=(tyro.conf.OmitArgPrefixes,),
                **defaults,
            )
    except SystemExit as error:
        if not error.code:
            raise
        raise ValueError(_first_paragraph(refusal.getvalue())) from None


@contextlib.contextmanager
def refusals(program: str) -> Iterator[None]:
    """Around parsing: a ValueError is printed to stderr, a line a reason, and exits with status 2."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except ValueError as error:
        _exit(program, str(error))
    except BrokenPipeError:  # `--help | head`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None


def _first_paragraph(box: str) -> str:
    """What stands below the title of tyro's box, drawn with lines or, without UTF-8, dashes."""
    lines = (line.strip("│╭╮╰╯ ") for line in box.splitlines()[1:])
    below_title = itertools.dropwhile(_is_rule, lines)
    text = itertools.takewhile(lambda line: line and not _is_rule(line), below_title)
    return " ".join(text) or box


def _is_rule(line: str) -> bool:
    return bool(line) and not line.strip("─-")


def _refuse_unknown(kind: type, argv: Sequence[str]) -> None:
    known = {field.name for _, field in flags_of(kind)}
    switches = {f"no_{field.name}" for _, field in flags_of(kind) if field.type is bool}
    for token in argv:
        flag = token.partition("=")[0]
        name = flag[2:].replace("-", "_")
        if flag.startswith("--") and name not in known | switches | {"help"}:
            nearest_name = nearest(name, sorted(known))
            raise ValueError(f"unknown flag {flag}; the nearest is --{nearest_name}")


def _with_our_name(token: str) -> str:
    flag, equals, value = token.partition("=")
    ours = OTHER_NAMES.get(flag[2:].replace("-", "_"))
    return f"--{ours}{equals}{value}" if flag.startswith("--") and ours else token


def _exit(program: str, message: str) -> NoReturn:
    for line in message.splitlines():
        print(f"{program}: {line}", file=sys.stderr)
    raise SystemExit(2)
