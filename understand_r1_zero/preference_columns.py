"""Columns of preference pairs beside the texts: which tokens count, how sure a label is, what steps are worth."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from understand_r1_zero.pairs import Evidence
from understand_r1_zero.table_rows import RowFault


def read_spans(spans: Any, num_chars: int, key: str) -> list[tuple[int, int]]:
    """Ranges [start, end) of the characters of a response."""
    is_list = isinstance(spans, list) and bool(spans)
    if not is_list or not all(_is_span(span, num_chars) for span in spans):
        raise RowFault(
            f"the spans of {key!r} must be pairs [start, end) within its {num_chars} characters"
        )
    return [(start, end) for start, end in spans]


def _is_span(span: Any, num_chars: int) -> bool:
    if not isinstance(span, Sequence) or len(span) != 2:
        return False
    start, end = span
    return isinstance(start, int) and isinstance(end, int) and 0 <= start < end <= num_chars


def read_evidence(row: Mapping[str, Any]) -> Evidence:
    """What `margin`, `chosen_visits` and `rejected_visits` say, where they are given."""
    margin = row.get("margin")
    if margin is not None and not (_is_number(margin) and margin > 0):
        raise RowFault(f"'margin' must be a number above 0, not {margin!r}")
    chosen, rejected = row.get("chosen_visits"), row.get("rejected_visits")
    if chosen is None and rejected is None:
        return Evidence(margin)
    for visits in (chosen, rejected):
        if not isinstance(visits, int | float) or not (_is_number(visits) and visits >= 1):
            raise RowFault(
                f"'chosen_visits' and 'rejected_visits' must be at least 1, not {visits!r}"
            )
    assert chosen is not None and rejected is not None
    return Evidence(margin, (chosen, rejected))


def read_is_whole(row: Mapping[str, Any], side: str, default: bool) -> bool:
    """Whether the response of a side, chosen or rejected, ends its solution; `default` where it is not said."""
    is_whole = row.get(f"{side}_is_whole")
    if is_whole is None:
        return default
    if not isinstance(is_whole, bool):
        raise RowFault(f"'{side}_is_whole' must be true or false, not {is_whole!r}")
    return is_whole


def read_values(
    row: Mapping[str, Any], bounds: tuple[float, float], *, is_needed: bool
) -> tuple[float, float] | None:
    """`chosen_value` and `rejected_value`; None where neither is given."""
    keys = ("chosen_value", "rejected_value")
    chosen, rejected = (row.get(key) for key in keys)
    if chosen is None and rejected is None and not is_needed:
        return None
    for key, value in zip(keys, (chosen, rejected), strict=True):
        if value is None:
            need = (
                "which --pair_value_weight needs"
                if is_needed
                else "where the other response has one"
            )
            raise RowFault(f"no {key!r}, {need}")
        if not _is_number(value) or not bounds[0] <= value <= bounds[1]:
            raise RowFault(
                f"{key!r} must be a number within [{bounds[0]:g}, {bounds[1]:g}] (--value_head), not "
                f"{value!r}"
            )
    assert chosen is not None and rejected is not None
    return float(chosen), float(rejected)


def refuse_text_columns(row: Mapping[str, Any]) -> None:
    """Raise RowFault where a row of chat messages has what is read in text responses alone."""
    for side in ("chosen", "rejected"):
        for key in (f"{side}_value", f"{side}_is_whole"):
            if row.get(key) is not None:
                raise RowFault(f"{key!r} is for text responses, not for chat messages")


def _is_number(value: Any) -> bool:
    is_real = isinstance(value, int | float) and not isinstance(value, bool)
    return is_real and math.isfinite(value)
