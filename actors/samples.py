"""One sampled response before it is graded, and where a stop string ends it."""

import bisect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from understand_r1_zero.types import VersionSpan


@dataclass(frozen=True, slots=True)
class Sample:
    """What the engine gives: `types.Response` without the verdict, field for field."""

    text: str
    token_ids: np.ndarray
    sampler_logprobs: np.ndarray
    is_truncated: bool
    version_spans: tuple[VersionSpan, ...]


def cut_after_stop(
    sample: Sample, stop: Sequence[str], decode: Callable[[np.ndarray], str]
) -> Sample:
    """The sample as it would be had it ended with the first stop string.

    Its last token is the one that completes the string; the text ends with the string itself.
    """
    if not any(string in sample.text for string in stop):
        return sample

    def has_stopped(length: int) -> bool:
        text = decode(sample.token_ids[:length])
        return any(string in text for string in stop)

    length = bisect.bisect_left(range(len(sample.token_ids)), True, key=has_stopped)
    text = decode(sample.token_ids[:length])
    end = min(text.index(string) + len(string) for string in stop if string in text)
    return Sample(
        text[:end],
        sample.token_ids[:length],
        sample.sampler_logprobs[:length],
        False,
        _first(sample.version_spans, length),
    )


def _first(spans: Sequence[VersionSpan], num_tokens: int) -> tuple[VersionSpan, ...]:
    kept = []
    for span in spans:
        if num_tokens > 0:
            kept.append(replace(span, num_tokens=min(span.num_tokens, num_tokens)))
        num_tokens -= span.num_tokens
    return tuple(kept)
