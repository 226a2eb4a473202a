"""The characters of a completion that are trained on: the optional column `trained_spans` of a row of texts.

Spans are pairs `[start, end)`. A token counts if it lies within one; where it reaches over an end of the span, as where
an interpreter's output begins in its middle, it does not. Without the column every token counts.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from understand_r1_zero.encoding import SupervisedExample
from understand_r1_zero.table_rows import RowFault

SPANS = "trained_spans"
Span = tuple[int, int]


def spans_of(row: Any, text: str) -> list[Span] | None:
    """The spans of a row whose completion is `text`; None without the column.

    Raises RowFault where they are no spans of the text.
    """
    spans = row.get(SPANS)
    if spans is None:
        return None
    if not isinstance(spans, list) or not all(_is_span(span, len(text)) for span in spans):
        raise RowFault(f"{SPANS!r} must be pairs [start, end) within {len(text)} characters")
    return [(start, end) for start, end in spans]


def within_spans(
    example: SupervisedExample, tokenizer: Any, text: str, spans: Sequence[Span] | None
) -> SupervisedExample:
    """The example, trained on the tokens within the spans alone.

    `text` is its completion, tokenised as `Encoder.completion_ids` does; an end token behind it counts where a span
    reaches the end of the text.

    Raises:
        RowFault: no token lies within a span.
        ValueError: the tokenizer does not tell where its tokens are.
    """
    if spans is None:
        return example
    if not tokenizer.is_fast:
        raise ValueError(
            f"{SPANS} need a fast tokenizer, which tells where its tokens are; this one is "
            f"{type(tokenizer).__name__}"
        )
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    num_behind = len(example.completion_token_ids) - len(encoded.input_ids)
    offsets = [*encoded.offset_mapping, *[(len(text), len(text))] * num_behind]
    merged = _joined(spans)
    is_within = np.array(
        [any(start <= first and last <= end for start, end in merged) for first, last in offsets]
    )
    is_trained = example.is_trained & is_within
    if not is_trained.any():
        raise RowFault(f"no token lies within {SPANS!r}")
    return replace(example, is_trained=is_trained)


def _is_span(span: Any, num_chars: int) -> bool:
    if not isinstance(span, list) or len(span) != 2:
        return False
    is_whole = all(isinstance(place, int) and not isinstance(place, bool) for place in span)
    return is_whole and 0 <= span[0] < span[1] <= num_chars


def _joined(spans: Sequence[Span]) -> list[Span]:
    """Spans that touch or overlap as one: a token may reach from one into the next."""
    joined: list[Span] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined
