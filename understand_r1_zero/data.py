"""Training problems and benchmarks: rows of a source, checked, with their gold answers."""

import ast
import itertools
import logging
import math
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from understand_r1_zero.sources import nearest, open_benchmarks, open_training
from understand_r1_zero.table_rows import (
    RowFault,
    parse_rows,
    require_cells,
    require_column,
    text_of,
)
from understand_r1_zero.tables import Table
from understand_r1_zero.types import Problem

logger = logging.getLogger(__name__)

PROBLEM_KEYS = ("problem", "question", "content", "query")
ANSWER_KEYS = ("answer", "response")
"""Columns as they are called by default, in Super_MARIO's qaf, by ReST-MCTS* and in Self-Explore's files."""
RESERVED_NAME = "average"
"""What metrics call all benchmarks together."""
_LOST_BACKSLASH = re.compile("[\a\b\t\v\f\r](?=[A-Za-z])")
_COMMAND = re.compile(
    r"\\(?!n(?!eq|u|abla|ot)|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})(?=[A-Za-z]{2})"
)
THOUSANDS = re.compile(r"-?\d{1,3}(,\d{3})+(\.\d+)?")


def load_problems(
    source: str, split: str, input_key: str, output_key: str, limit: int
) -> list[Problem]:
    """The first `limit` training problems of a folder, file, hub id or reasoning-gym generator.

    The problems' `source` is `NAME/SPLIT`, so that their ids differ from every benchmark's. Where a table
    lacks the standard columns, those of `PROBLEM_KEYS` and `ANSWER_KEYS` that it has are read.

    Raises:
        ValueError: the source cannot be read, or has rows without a problem or a gold answer.
    """
    name, table = open_training(source, split)
    keys = table.keys or (
        _column(table, input_key, PROBLEM_KEYS, "--input_key", is_lenient=False),
        _column(table, output_key, ANSWER_KEYS, "--output_key", is_lenient=False),
    )
    return problems_of(table, f"{name}/{split}", keys, limit)


def load_benchmarks(
    eval_data: str, test_split: str, input_key: str, output_key: str, limit: int
) -> dict[str, list[Problem]]:
    """The first `limit` problems of every benchmark that `test_split` names, by benchmark name.

    `test_split` is `all` or exact names with commas. A column that a benchmark lacks is read from
    the first of `PROBLEM_KEYS` or `ANSWER_KEYS` that it has: the ancestor's published command lines
    pass `--eval_input_key input` with benchmarks that have no such column.

    Raises:
        ValueError: an unknown name, a source that cannot be read, or rows at fault.
    """
    tables = open_benchmarks(eval_data)
    names = list(tables)
    if RESERVED_NAME in tables:
        raise ValueError(
            f"--eval_data: no benchmark may be called {RESERVED_NAME!r}, which means all together; "
            "write NAME=SOURCE to give it another name"
        )
    if test_split != "all":
        chosen = [name.strip() for name in test_split.split(",")]
        for name in chosen:
            if name not in tables:
                raise ValueError(
                    f"--test_split must be all or names among {', '.join(tables) or '(none)'}, "
                    f"got {name!r}; the nearest is {nearest(name, tables)!r}"
                )
        names = [name for name in names if name in chosen]
    benchmarks = {}
    for name in names:
        keys = benchmark_keys(tables[name], input_key, output_key)
        benchmarks[name] = problems_of(tables[name], name, keys, limit)
    return benchmarks


def benchmark_keys(table: Table, input_key: str, output_key: str) -> tuple[str, str]:
    """The columns of problem and answer in a benchmark: those that are named, or else known ones.

    Raises:
        ValueError: it has neither.
    """
    return table.keys or (
        _column(table, input_key, PROBLEM_KEYS, "--eval_input_key"),
        _column(table, output_key, ANSWER_KEYS, "--eval_output_key"),
    )


def _column(
    table: Table, key: str, known: Sequence[str], flag: str, *, is_lenient: bool = True
) -> str:
    """The column `key`, or a known one in its place; unless `is_lenient`, only in that of the standard one."""
    others = [name for name in known if name in table.columns]
    if key not in table.columns and others and (is_lenient or key == known[0]):
        logger.info("%s has no column %r (%s): reading %r", table.place, key, flag, others[0])
        return others[0]
    require_column(table, key, flag)
    return key


def problems_of(table: Table, name: str, keys: tuple[str, str], limit: int) -> list[Problem]:
    """Problems of the first `limit` rows.

    Args:
        table: has the columns `keys`, of problem and answer.
        name: the problems' source.
        keys: the columns.
        limit: at most so many.

    Raises:
        ValueError: rows have no problem or no gold answer; they are named.
    """
    if limit < 1:
        raise ValueError(f"--max_train and --max_eval must be at least 1, got {limit}")
    found = parse_rows(table, lambda row: _parse_row(row, keys), limit)
    return [
        Problem(source=name, row=number, text=text, answers=answers)
        for number, (text, answers) in enumerate(found)
    ]


def _parse_row(row: Any, keys: tuple[str, str]) -> tuple[str, tuple[str, ...]]:
    """The text and the answers of one row's problem."""
    require_cells(row, keys)
    text = text_of(row, keys[0])
    answers = parse_answers(row[keys[1]])
    if not answers:
        raise RowFault(f"no gold answer in {keys[1]!r}: {str(row[keys[1]])[:40]!r}")
    return text, answers


def parse_answers(gold: Any) -> tuple[str, ...]:
    """The gold answers in one cell, any of which is right; none when the cell holds no answer.

    - A list, or text that is a Python list of texts (`"['2', '3']"`): all of its members.
    - A whole float is written as an integer (142.0: `142`), any other without an exponent.
    - A GSM8K solution: what follows its last `####`, without commas between thousands.
    - LaTeX whose `\\tfrac` was once read as a tab and `frac`: with its backslash again.
    """
    if isinstance(gold, str):
        members = _parse_list_of_texts(gold.strip())
        if members is not None:
            return parse_answers(members)
        # Before anything is stripped: what is left of a backslash is white space.
        answer = _after_hashes(_LOST_BACKSLASH.sub(_with_backslash, gold))
        return (answer,) if answer else ()
    if isinstance(gold, bool | int):
        return (str(gold),)
    if isinstance(gold, float):
        return (_write_float(gold),) if math.isfinite(gold) else ()
    if isinstance(gold, list | tuple):
        return tuple(dict.fromkeys(itertools.chain.from_iterable(map(parse_answers, gold))))
    return ()


def _with_backslash(escape: re.Match[str]) -> str:
    return "\\" + "abtvfr"["\a\b\t\v\f\r".index(escape[0])]


def _write_float(number: float) -> str:
    return str(int(number)) if number.is_integer() else format(Decimal(repr(number)), "f")


def _after_hashes(text: str) -> str:
    _, hashes, answer = text.rpartition("####")
    answer = answer.strip()
    return answer.replace(",", "") if hashes and THOUSANDS.fullmatch(answer) else answer


def _parse_list_of_texts(text: str) -> list[str] | None:
    """The members of a Python list of texts; None for anything else, such as an interval [1, 2].

    LaTeX whose backslashes are not doubled, as Python's are, is taken as it stands.
    """
    if not text.startswith("["):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # LaTeX: invalid escapes such as "\p"
            value = ast.literal_eval(text if r"\\" in text else _COMMAND.sub(r"\\\\", text))
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None
    is_texts = isinstance(value, list) and all(isinstance(member, str) for member in value)
    return value if is_texts else None


def drop_leaked(
    problems: Sequence[Problem], benchmarks: Mapping[str, Iterable[Problem]]
) -> tuple[list[Problem], int]:
    """Training problems that are in no benchmark, and how many were dropped.

    Texts are compared whole, without regard to case and white space.

    Raises:
        ValueError: every training problem is a benchmark's.
    """
    held_out = {_normalise(problem.text) for group in benchmarks.values() for problem in group}
    kept = [problem for problem in problems if _normalise(problem.text) not in held_out]
    if not kept:
        raise ValueError(
            f"all {len(problems)} training problems are in the benchmarks {', '.join(benchmarks)}; "
            "give --prompt_data and --eval_data different problems"
        )
    return kept, len(problems) - len(kept)


def _normalise(text: str) -> str:
    return " ".join(text.casefold().split())


def drop_long(
    problems: Sequence[Problem], prompt_length: Callable[[str], int], max_tokens: int
) -> tuple[list[Problem], int]:
    """Problems whose prompt has at most `max_tokens` tokens, and how many were dropped.

    `prompt_length` counts the tokens of the prompt for a problem's text; an upper bound will do
    where that is within `max_tokens`.

    Raises:
        ValueError: no prompt is short enough.
    """
    lengths = [prompt_length(problem.text) for problem in problems]
    kept = [p for p, length in zip(problems, lengths, strict=True) if length <= max_tokens]
    if not kept:
        raise ValueError(
            f"--prompt_max_length must be at least {min(lengths, default=0)} tokens, the shortest "
            f"of {len(problems)} prompts, got {max_tokens}; raise it or shorten --prompt_template"
        )
    return kept, len(problems) - len(kept)
