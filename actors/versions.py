"""Which policy version sampled which tokens of the responses under way."""

from collections.abc import Mapping, Sequence

from understand_r1_zero.types import VersionSpan


class VersionLog:
    """Follows requests across publications.

    A request is open from the moment it enters the engine until its tokens are counted; publications
    in between leave marks on it: how many tokens each of its samples had by then.

    Args:
        version: of the policy that samples now.
    """

    def __init__(self, version: int = 0) -> None:
        self.version = version
        self._marks: dict[str, list[tuple[int, Mapping[int, int]]]] = {}

    def open(self, request_id: str) -> None:
        """The request begins under the current version."""
        self._marks[request_id] = []

    def publish(self, version: int, num_tokens: Mapping[str, Mapping[int, int]]) -> None:
        """A new version samples from now on.

        `num_tokens` are the tokens of each unfinished sample, by request and index; a sample of an
        open request that is not named has finished.
        """
        for request_id, marks in self._marks.items():
            marks.append((self.version, num_tokens.get(request_id, {})))
        self.version = version

    def close(self, request_id: str, lengths: Sequence[int]) -> list[tuple[VersionSpan, ...]]:
        """The spans of each sample, given how many tokens each has in the end."""
        marks = self._marks.pop(request_id)
        return [self._spans(marks, index, length) for index, length in enumerate(lengths)]

    def drop(self, request_id: str) -> None:
        """The request failed or was given up, if it is still open."""
        self._marks.pop(request_id, None)

    def _spans(
        self, marks: Sequence[tuple[int, Mapping[int, int]]], index: int, length: int
    ) -> tuple[VersionSpan, ...]:
        spans, start = [], 0
        for version, num_tokens in [*marks, (self.version, {})]:
            end = min(num_tokens.get(index, length), length)
            if end > start:
                spans.append(VersionSpan(version, end - start))
            start = end
        return tuple(spans) or (VersionSpan(self.version, 0),)
