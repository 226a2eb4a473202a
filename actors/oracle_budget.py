"""How many tokens oracles may sample until the next publication."""

import asyncio
import math


class OracleBudget:
    """Lets responses in until the oracles' tokens for them are spent; it renews itself at each publication.

    Responses are valued together, and what one costs is known at its end only. So while others are under way
    one is let in only if the tokens suffice for all of them, should each cost the most that any has so far, and
    if fewer are under way than are known; otherwise it waits. Who costs more than any before may
    spend more than was left.

    Belongs to the event loop that it is made in.

    Args:
        allowance_tokens: until the next publication; 0: no limit.
    """

    def __init__(self, allowance_tokens: int) -> None:
        self._allowance_tokens = allowance_tokens or math.inf
        self._spent_tokens = 0
        self._num_open = 0
        self._largest_tokens = 0
        self._num_settled = 0
        self._changed = asyncio.Condition()

    async def admit(self) -> bool:
        """Wait until it is known whether there are tokens for one response more; `settle` each that there are."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._is_spent or self._has_room)
            if self._is_spent:
                return False
            self._num_open += 1
            return True

    async def settle(self, num_tokens: int) -> None:
        """One that was let in has its values, or has none after all, for so many tokens."""
        async with self._changed:
            self._num_open -= 1
            self._num_settled += 1
            self._spent_tokens += num_tokens
            self._largest_tokens = max(self._largest_tokens, num_tokens)
            self._changed.notify_all()

    async def renew(self) -> None:
        """Begin anew; what is under way counts once it is settled."""
        async with self._changed:
            self._spent_tokens = 0
            self._changed.notify_all()

    @property
    def _is_spent(self) -> bool:
        return self._spent_tokens >= self._allowance_tokens

    @property
    def _has_room(self) -> bool:
        if not self._num_open or math.isinf(self._allowance_tokens):
            return True
        if self._num_open >= self._num_settled:
            return False
        expected_tokens = (self._num_open + 1) * self._largest_tokens
        return self._spent_tokens + expected_tokens <= self._allowance_tokens


def allowance_tokens(tokens_per_step: int, num_actors: int, sync_params_every: int) -> int:
    """An actor's share of `--oracle_tokens_per_step` between two publications, at least 1; 0: no limit."""
    if not tokens_per_step:
        return 0
    return max(1, tokens_per_step * sync_params_every // num_actors)
