"""Offline preference pairs: rows of {prompt, chosen, rejected}, texts or chat messages, to tokens."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from understand_r1_zero.args import Args
from understand_r1_zero.encoding import end_id_of, last_tokens
from understand_r1_zero.pairs import Evidence, weigh
from understand_r1_zero.preference_columns import (
    read_evidence,
    read_is_whole,
    read_spans,
    read_values,
    refuse_text_columns,
)
from understand_r1_zero.table_rows import RowFault, parse_rows, require_cells, require_column
from understand_r1_zero.tables import FILE_SUFFIXES, Table, open_file
from understand_r1_zero.templates import load_template
from understand_r1_zero.types import PreferencePair, Spans

Messages = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class PairData:
    """Pairs in the order of their rows, and how many rows were dropped as too long."""

    pairs: list[PreferencePair]
    num_too_long: int


def load_pairs(args: Args, tokenizer: Any) -> PairData:
    """The pairs of `--preference_data`.

    - Text prompts go through `--preference_template`; text responses stand right behind them and,
      with `--append_eos`, end with `--sft_end_token`, by default the end-of-sequence token.
    - Chat messages go through the tokenizer's chat template. Responses may be the answering messages
      or whole conversations; without a prompt column, what both conversations begin with is the
      prompt. A response ends where the template ends its turn, without white space behind.
    - Columns that may stand beside them: `margin`; `chosen_visits` and `rejected_visits`; for text
      responses `chosen_spans` and `rejected_spans`, lists of `[start, end)` in characters: the loss
      counts the tokens that lie in one, even in part; `chosen_is_whole` and `rejected_is_whole`:
      whether a response ends its solution, so that an end-of-sequence token follows, instead of
      `--append_eos`; `chosen_value` and `rejected_value`: what a value head should say.
    - A value is read where a search reads it (`encoding.last_tokens`): at the last token that ends
      within the response, or within its last span, before any end-of-sequence token.

    Prompt and response are tokenised apart, as in sampling. A row with a prompt of more than
    `--prompt_max_length` or a response of more than `--generate_max_length` tokens is dropped and
    counted: a response that is cut would teach to stop anywhere.

    Raises:
        ValueError: the file cannot be read, rows are at fault, or none is short enough.
    """
    table = _open(args.preference.preference_data)
    reader = _Reader(args, tokenizer)
    require_column(table, args.preference.chosen_key, "--chosen_key")
    require_column(table, args.preference.rejected_key, "--rejected_key")
    rows = parse_rows(table, reader.read)
    kept = [row for row in rows if _is_short(row[0], args)]
    if not kept:
        raise ValueError(
            f"--prompt_max_length {args.data.prompt_max_length} and --generate_max_length "
            f"{args.sampling.generate_max_length} tokens leave none of {len(rows)} pairs of "
            f"{table.place}; raise them"
        )
    pairs = weigh([pair for pair, _ in kept], [found for _, found in kept], args.preference)
    return PairData(pairs, len(rows) - len(kept))


def _open(source: str) -> Table:
    path = Path(source).expanduser()
    if path.suffix not in FILE_SUFFIXES or not path.is_file():
        raise ValueError(
            f"--preference_data must be a {', '.join(FILE_SUFFIXES)} file that exists, got {source!r}"
        )
    return open_file(path)


def _is_short(pair: PreferencePair, args: Args) -> bool:
    longest = max(len(pair.chosen_token_ids), len(pair.rejected_token_ids))
    is_prompt_short = len(pair.prompt_token_ids) <= args.data.prompt_max_length
    return is_prompt_short and longest <= args.sampling.generate_max_length


@dataclass(frozen=True)
class _Tokens:
    token_ids: np.ndarray
    spans: Spans | None = None
    value_end: int = 0


class _Reader:
    """Reads rows under the flags."""

    def __init__(self, args: Args, tokenizer: Any) -> None:
        self._args = args.preference
        self._tokenizer = tokenizer
        self._render: Callable[[str, Any], str] = _load_render(self._args.preference_template)
        self._end_id = None
        if args.supervised.sft_end_token or tokenizer.eos_token_id is not None:
            self._end_id = end_id_of(tokenizer, args.supervised.sft_end_token)
        is_tanh = args.value.value_head == "tanh"
        self._bounds = (-1.0, 1.0) if is_tanh else (-math.inf, math.inf)

    def read(self, row: Any) -> tuple[PreferencePair, Evidence]:
        """The pair of one row, without weights yet."""
        require_cells(row, [self._args.chosen_key, self._args.rejected_key])
        prompt, chosen, rejected = self._cells(row)
        if isinstance(prompt, str):
            prompt_ids = self._encode_prompt(self._render(prompt, self._tokenizer))
            sides = [
                self._encode_text(text, key, side, row)
                for text, key, side in (
                    (chosen, self._args.chosen_key, "chosen"),
                    (rejected, self._args.rejected_key, "rejected"),
                )
            ]
        else:
            if self._args.has_values:
                raise RowFault("a value head is read in text responses, not in chat messages")
            refuse_text_columns(row)
            prompt_text = self._chat(prompt, add_generation_prompt=True)
            prompt_ids = self._encode_prompt(prompt_text)
            sides = [
                _Tokens(self._encode(self._answer(prompt, prompt_text, messages)))
                for messages in (chosen, rejected)
            ]
        if not len(prompt_ids):
            raise RowFault("the prompt has no token")
        pair = PreferencePair(
            prompt_token_ids=prompt_ids,
            chosen_token_ids=sides[0].token_ids,
            rejected_token_ids=sides[1].token_ids,
            chosen_spans=sides[0].spans,
            rejected_spans=sides[1].spans,
            values=read_values(row, self._bounds, is_needed=self._args.pair_value_weight > 0),
            value_ends=(sides[0].value_end, sides[1].value_end) if self._args.has_values else None,
        )
        _require_difference(pair)
        return pair, read_evidence(row)

    def _cells(self, row: Mapping[str, Any]) -> tuple[Any, Any, Any]:
        """Prompt, chosen and rejected: three texts, or three lists of messages."""
        args = self._args
        chosen = _read_cell(row[args.chosen_key], args.chosen_key)
        rejected = _read_cell(row[args.rejected_key], args.rejected_key)
        if row.get(args.prompt_key) is None:
            if isinstance(chosen, str) or isinstance(rejected, str):
                raise RowFault(f"no column {args.prompt_key!r}")
            prompt = _common_start(chosen, rejected)
            if not prompt:
                raise RowFault("the conversations have no first message in common")
        else:
            prompt = _read_cell(row[args.prompt_key], args.prompt_key)
        if all(isinstance(cell, str) for cell in (prompt, chosen, rejected)):
            return prompt, chosen, rejected
        prompt = _as_messages(prompt, "user")
        chosen, rejected = _as_messages(chosen, "assistant"), _as_messages(rejected, "assistant")
        return prompt, _behind(prompt, chosen), _behind(prompt, rejected)

    def _encode_prompt(self, text: str) -> np.ndarray:
        return np.array(self._tokenizer(text).input_ids, np.int32)

    def _encode(self, text: str) -> np.ndarray:
        token_ids = self._tokenizer(text, add_special_tokens=False).input_ids
        if not token_ids:
            raise RowFault("a response has no token")
        return np.array(token_ids, np.int32)

    def _encode_text(self, text: str, key: str, side: str, row: Mapping[str, Any]) -> _Tokens:
        token_ids = self._encode(text)
        end_id, spans = self._end_id, row.get(f"{side}_spans")
        is_whole = read_is_whole(row, side, default=self._args.append_eos)
        ends = [end_id] if is_whole and end_id not in (None, token_ids[-1]) else []
        wanted = None if spans is None else read_spans(spans, len(text), key)
        found = None if wanted is None else self._token_spans(text, wanted, key, bool(ends))
        value_end = self._value_end(text, wanted) if self._args.has_values else 0
        return _Tokens(np.append(token_ids, np.array(ends, np.int32)), found, value_end)

    def _value_end(self, text: str, spans: list[tuple[int, int]] | None) -> int:
        """Where among the tokens of a response its value is read."""
        length = len(text) if spans is None else max(end for _, end in spans)
        counted = text[:length].removesuffix(self._tokenizer.eos_token or "")
        _, ends = last_tokens(self._tokenizer, [counted, text[len(counted) :]])
        return ends[0]

    def _token_spans(
        self, text: str, wanted: list[tuple[int, int]], key: str, has_eos: bool
    ) -> Spans:
        """Ranges of tokens for ranges of characters; one to the end of the text has its end token."""
        encoding = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        offsets = [*encoding.offset_mapping, *([(len(text), len(text) + 1)] if has_eos else [])]
        found = []
        for start, end in wanted:
            end += end == len(text)
            inside = [i for i, (first, last) in enumerate(offsets) if first < end and last > start]
            if not inside:
                raise RowFault(f"no token of {key!r} is in characters {start} to {end}")
            found.append((inside[0], inside[-1] + 1))
        return tuple(found)

    def _chat(self, messages: Messages, *, add_generation_prompt: bool) -> str:
        try:
            text = self._tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=add_generation_prompt
            )
        except Exception as error:  # templates raise whatever they like
            raise RowFault(f"the chat template refuses the messages: {error}") from error
        begin = self._tokenizer.bos_token
        if begin and self._tokenizer("").input_ids[:1] == [self._tokenizer.bos_token_id]:
            text = text.removeprefix(begin)
        return text

    def _answer(self, prompt: Messages, prompt_text: str, messages: Messages) -> str:
        text = self._chat([*prompt, *messages], add_generation_prompt=False)
        if not text.startswith(prompt_text):
            raise RowFault("the chat template writes another prompt once it is answered")
        return text[len(prompt_text) :].rstrip()


def _load_render(name: str) -> Callable[[str, Any], str]:
    try:
        return load_template(name).render
    except ValueError as error:
        message = str(error).replace("--prompt_template", "--preference_template")
        raise ValueError(message) from error


def _read_cell(cell: Any, key: str) -> str | Messages:
    if isinstance(cell, str):
        if not cell.strip():
            raise RowFault(f"{key!r} is empty")
        return cell
    is_messages = isinstance(cell, list) and all(
        isinstance(each, dict)
        and isinstance(each.get("role"), str)
        and isinstance(each.get("content"), str)
        for each in cell
    )
    if not is_messages:
        raise RowFault(f"{key!r} is neither text nor a list of messages with role and content")
    if not cell:
        raise RowFault(f"{key!r} is empty")
    return cell


def _as_messages(cell: str | Messages, role: str) -> Messages:
    return [{"role": role, "content": cell}] if isinstance(cell, str) else cell


def _common_start(chosen: Messages, rejected: Messages) -> Messages:
    """What both conversations begin with, at most up to the last message of the shorter."""
    longest = min(len(chosen), len(rejected)) - 1
    same = [one == other for one, other in zip(chosen, rejected, strict=False)][:longest]
    return chosen[: same.index(False) if False in same else longest]


def _behind(prompt: Messages, messages: Messages) -> Messages:
    """The messages behind the prompt, where a whole conversation was given."""
    answers = messages[len(prompt) :] if messages[: len(prompt)] == prompt else messages
    if not answers or answers[0]["role"] != "assistant":
        raise RowFault("a response must begin with a message of the assistant")
    return answers


def _require_difference(pair: PreferencePair) -> None:
    if np.array_equal(pair.chosen_token_ids, pair.rejected_token_ids):
        raise RowFault("the chosen and the rejected response are the same")
