"""Preference pairs as a batch: each distinct response once, its counted tokens, and who pairs with whom."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from learners.batching import Batch, sequence
from understand_r1_zero.types import PreferencePair, Spans, Trajectory


@dataclass(frozen=True)
class PairBatch:
    """P pairs over R distinct responses with T tokens.

    A response that is in several pairs is scored once. `responses` int (P, 2) are those of the chosen
    and the rejected; `is_counted` bool (T,) says which tokens the loss counts, `counted_lengths` (R,)
    how many of each response. `weights` and `label_smoothing` (P,) are the pairs'. A value head is read at
    the tokens `value_tokens` int (R,), and its targets are `values` float64 (P, 2), None unless all pairs
    have some.
    """

    batch: Batch
    responses: np.ndarray
    is_counted: np.ndarray
    counted_lengths: np.ndarray
    weights: np.ndarray
    label_smoothing: np.ndarray
    value_tokens: np.ndarray
    values: np.ndarray | None

    @staticmethod
    def of(pairs: Sequence[PreferencePair], default_label_smoothing: float) -> "PairBatch":
        """Lay out the pairs of one update; a pair without its own label smoothing has the default."""
        assert pairs, "a batch needs pairs"
        positions: dict[tuple[bytes, bytes, Spans | None, int | None], int] = {}
        sequences: list[Trajectory] = []
        counted: list[np.ndarray] = []
        value_ends: list[int] = []
        responses = np.zeros((len(pairs), 2), np.int64)
        for i, pair in enumerate(pairs):
            chosen_end, rejected_end = pair.value_ends or (None, None)
            sides = (
                (pair.chosen_token_ids, pair.chosen_spans, chosen_end),
                (pair.rejected_token_ids, pair.rejected_spans, rejected_end),
            )
            for side, (token_ids, spans, end) in enumerate(sides):
                key = (_bytes(pair.prompt_token_ids), _bytes(token_ids), spans, end)
                if key not in positions:
                    positions[key] = len(sequences)
                    sequences.append(sequence(pair.prompt_token_ids, token_ids))
                    counted.append(is_in_spans(len(token_ids), spans))
                    assert end is None or 0 <= end < len(token_ids), "a value needs a token"
                    value_ends.append(_last(counted[-1]) if end is None else end)
                responses[i, side] = positions[key]
        batch = Batch.of(sequences)
        is_counted = np.concatenate(counted)
        counted_lengths = np.bincount(batch.response_of, is_counted, len(sequences)).astype(int)
        assert counted_lengths.all(), "every response needs a token that counts"
        smoothing = [
            default_label_smoothing if pair.label_smoothing is None else pair.label_smoothing
            for pair in pairs
        ]
        return PairBatch(
            batch=batch,
            responses=responses,
            is_counted=is_counted,
            counted_lengths=counted_lengths,
            weights=np.array([pair.weight for pair in pairs]),
            label_smoothing=np.array(smoothing),
            value_tokens=batch.offsets[:-1] + value_ends,
            values=_values_of(pairs),
        )

    def sequence_logprobs(self, logprobs: np.ndarray) -> np.ndarray:
        """Sums of token log-probs over each response's counted tokens, (T,) -> float64 (R,)."""
        counted = np.where(self.is_counted, logprobs, 0.0)
        return np.bincount(self.batch.response_of, counted, len(self.counted_lengths))


def is_in_spans(num_tokens: int, spans: Spans | None) -> np.ndarray:
    """bool (num_tokens,): whether a token is in one of the spans, all are without spans."""
    if spans is None:
        return np.ones(num_tokens, bool)
    inside = np.zeros(num_tokens, bool)
    for start, end in spans:
        assert 0 <= start < end <= num_tokens, f"{(start, end)} is no span of {num_tokens} tokens"
        inside[start:end] = True
    return inside


def _last(is_counted: np.ndarray) -> int:
    return int(np.flatnonzero(is_counted)[-1])


def _values_of(pairs: Sequence[PreferencePair]) -> np.ndarray | None:
    known = [pair.values for pair in pairs if pair.values is not None]
    return np.array(known, np.float64) if len(known) == len(pairs) else None


def _bytes(token_ids: np.ndarray) -> bytes:
    return np.asarray(token_ids, np.int64).tobytes()
