"""Which tokens end a response by themselves, so that the engine's core can stop at them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

MAX_IDS = 256
"""vLLM goes through the whole list at each token; above this it looks for strings instead."""


@dataclass(frozen=True, slots=True)
class StopIds:
    """Tokens whose text has a stop string; `are_all` where no string can come about otherwise."""

    ids: frozenset[int]
    are_all: bool


class StopTokens:
    """The tokens that contain stop strings, found once for each set of strings."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._texts: list[str] = []
        self._known: dict[tuple[str, ...], StopIds] = {}

    def of(self, stop: Sequence[str]) -> StopIds:
        """Those of these strings; none where there would be too many."""
        key = tuple(stop)
        if key not in self._known:
            self._known[key] = self._find(key)
        return self._known[key]

    def _find(self, stop: tuple[str, ...]) -> StopIds:
        if not self._texts:
            ids = [[number] for number in range(len(self._tokenizer))]
            self._texts = self._tokenizer.batch_decode(ids, skip_special_tokens=False)
        found = frozenset(
            number
            for number, text in enumerate(self._texts)
            if any(string in text for string in stop)
        )
        if len(found) > MAX_IDS:
            return StopIds(frozenset(), are_all=False)
        # Only a string of one character cannot be put together from several tokens.
        return StopIds(found, are_all=all(len(string) == 1 for string in stop))
