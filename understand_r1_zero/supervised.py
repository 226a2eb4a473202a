"""Examples of supervised fine-tuning: rows of any source, as the token ids that are trained on.

**Columns.** The first of these that a table has is read; `--input_key` and `--output_key`, where
given, name the columns of a problem and its response and come before all others.

| columns | prompt | completion |
|---|---|---|
| `messages` | chat template, up to each assistant turn | every assistant turn |
| `prompt`, `completion` | as it is given (or two lists of messages: as above) | as it is given |
| `query`, `response` | `--prompt_template` of the query | the response |
| `problem`, `solution` | `--prompt_template` of the problem | the solution |
| `problem`, `answer` | `--prompt_template` of the problem | the answer |
| `content`, `summary`, `label` | `--prompt_template` of the content | the summary; where the label is false, it is wrong, left out and counted (ReST-MCTS*'s rows) |

A row of texts may have `trained_spans`, the characters of the completion that are trained on (`trained_spans.py`). How
texts become token ids is told in `encoding.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from understand_r1_zero.args import Args, DataArgs
from understand_r1_zero.encoding import MESSAGES, Encoder, SupervisedExample, load_encoder
from understand_r1_zero.sources import open_training
from understand_r1_zero.table_rows import RowFault, cell_of, parse_rows, require_column, text_of
from understand_r1_zero.tables import Table
from understand_r1_zero.trained_spans import SPANS, spans_of, within_spans

PAIR = ("prompt", "completion")
PROBLEM_PAIRS = (("query", "response"), ("problem", "solution"), ("problem", "answer"))
POLICY_ROW = ("content", "summary", "label")


@dataclass(frozen=True)
class Examples:
    """What was read, how many examples were longer than `--sft_max_length`, and how many rows were of wrong solutions."""

    examples: list[SupervisedExample]
    num_long: int
    num_wrong: int = 0


def load_examples(args: Args) -> Examples:
    """The examples of `--sft_data`, in its order.

    Raises:
        ValueError: the source cannot be read, has none of the columns, has rows at fault, or only wrong solutions.
    """
    supervised = args.supervised
    _, table = open_training(supervised.sft_data, supervised.sft_split, "--sft_split")
    read = parse_rows(table, row_reader(table, args.data, load_encoder(args)))
    found = [each for each in read if each is not None]
    if not found:
        raise ValueError(
            f"{table.place}: the label of all {len(read)} rows is false; none is right"
        )
    longest = supervised.sft_max_length
    kept = [each for each in found if not longest or each.num_tokens <= longest]
    if not kept:
        raise ValueError(
            f"--sft_max_length must be at least {min(each.num_tokens for each in found)} tokens, "
            f"the shortest of {len(found)} examples, got {longest}; raise it"
        )
    return Examples(kept, len(found) - len(kept), len(read) - len(found))


def row_reader(
    table: Table, data: DataArgs, encoder: Encoder
) -> Callable[[Any], SupervisedExample | None]:
    """How a row of this table becomes an example, by its columns; None is a wrong solution.

    Raises:
        ValueError: the table has none of the columns this module reads.
    """
    given = (data.input_key, data.output_key)
    if given != (DataArgs().input_key, DataArgs().output_key):
        for flag, key in zip(("--input_key", "--output_key"), given, strict=True):
            require_column(table, key, flag)
        return _problem_reader(given, encoder)
    if MESSAGES in table.columns:
        return lambda row: encoder.chat(cell_of(row, MESSAGES))
    if set(PAIR) <= set(table.columns):
        return lambda row: _read_pair(row, encoder)
    keys = table.keys or next((p for p in PROBLEM_PAIRS if set(p) <= set(table.columns)), None)
    if keys is None and set(POLICY_ROW) <= set(table.columns):
        return _policy_reader(encoder)
    if keys is None:
        known = ", ".join(" + ".join(pair) for pair in (PAIR, *PROBLEM_PAIRS, POLICY_ROW))
        raise ValueError(
            f"{table.place} has the columns {', '.join(table.columns) or '(none)'}, and none of "
            f"{MESSAGES}, {known}; name yours with --input_key and --output_key"
        )
    return _problem_reader(keys, encoder)


def _problem_reader(keys: tuple[str, str], encoder: Encoder) -> Callable[[Any], SupervisedExample]:
    return lambda row: _masked(
        row, encoder, encoder.problem(*(text_of(row, k) for k in keys)), keys[1]
    )


def _read_pair(row: Any, encoder: Encoder) -> SupervisedExample:
    return _masked(row, encoder, encoder.pair(*(cell_of(row, key) for key in PAIR)), PAIR[1])


def _masked(row: Any, encoder: Encoder, example: SupervisedExample, key: str) -> SupervisedExample:
    """Trained on what `trained_spans` name of the text under `key`."""
    if row.get(SPANS) is None:
        return example
    text = text_of(row, key)
    return within_spans(example, encoder.tokenizer, text, spans_of(row, text))


def _policy_reader(encoder: Encoder) -> Callable[[Any], SupervisedExample | None]:
    content, summary, label = POLICY_ROW

    def read(row: Any) -> SupervisedExample | None:
        is_right = cell_of(row, label)
        if is_right not in (False, True):
            raise RowFault(f"{label!r} is {is_right!r}, not true or false")
        return encoder.problem(text_of(row, content), text_of(row, summary)) if is_right else None

    return read
