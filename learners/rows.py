"""Which responses lie in which rows of which micro-batch, and what that costs; of lengths alone."""

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from typing import Literal

Packing = Literal["none", "masked", "by_positions"]
"""How several prompts may lie in a row: not; kept apart by a mask; by position ids that restart."""


@dataclass(frozen=True, slots=True)
class Block:
    """A prompt, then one or more responses to it."""

    responses: tuple[int, ...]
    num_tokens: int


@dataclass(frozen=True)
class Row:
    """One row of a micro-batch: one or more blocks, which do not see each other."""

    blocks: tuple[Block, ...]

    @cached_property
    def num_tokens(self) -> int:
        """Of all blocks."""
        return sum(block.num_tokens for block in self.blocks)

    @cached_property
    def responses(self) -> tuple[int, ...]:
        """Of all blocks, in the order in which they lie in the row."""
        return tuple(response for block in self.blocks for response in block.responses)

    @property
    def needs_mask(self) -> bool:
        """Whether causal order alone does not say what a token may see."""
        return len(self.responses) > 1


@dataclass(frozen=True, slots=True)
class Limits:
    """How large rows and micro-batches may become.

    `linear_cost` decides what shares a row: the cost of one token in the linear layers, in units of one
    query-key pair of attention; 0: no responses share a prompt, and none are packed under a mask.
    """

    max_tokens: int
    max_responses: int
    linear_cost: float = 0.0
    packing: Packing = "none"


def split_over_ranks(blocks: Sequence[Block], num_ranks: int) -> list[list[Block]]:
    """Give every rank about as many tokens: longest block first, to the rank that has least."""
    shares: list[list[Block]] = [[] for _ in range(num_ranks)]
    loads = [0] * num_ranks
    for block in sorted(blocks, key=_longest_first):
        rank = loads.index(min(loads))
        shares[rank].append(block)
        loads[rank] += block.num_tokens
    return shares


def arrange(blocks: Sequence[Block], limits: Limits) -> list[list[Row]]:
    """Rows of blocks in micro-batches, packed where that is cheaper than padding.

    Under a mask attention pays for every pair of a row, so that long rows cost more than they save in
    padding: of rows of several lengths, and of those that are not packed, the cheapest are taken.
    Without one, where positions keep blocks apart, rows are as long as `max_tokens` lets them be.
    """
    apart = micro_batches([Row((block,)) for block in blocks], limits)
    if limits.packing == "by_positions":
        return [[row] for row in pack(blocks, limits.max_tokens, limits.max_responses)]
    if limits.packing == "none" or limits.linear_cost == 0 or len(blocks) < 2:
        return apart
    best, least = apart, cost(apart, limits.linear_cost)
    for capacity in _capacities(blocks, limits.max_tokens):
        packed = micro_batches(pack(blocks, capacity, limits.max_responses), limits)
        its_cost = cost(packed, limits.linear_cost)
        if its_cost < least:
            best, least = packed, its_cost
    return best


def cost(filled: Sequence[Sequence[Row]], linear_cost: float) -> float:
    """Of micro-batches, in query-key pairs: `c L + L^2` a row padded to L tokens under a mask.

    Where every row of a micro-batch is one prompt with one response there is no mask, and only the pairs
    of causal order are computed: `c L + L^2 / 2`.
    """
    total = 0.0
    for rows in filled:
        width = max(row.num_tokens for row in rows)
        pairs = width**2 if any(row.needs_mask for row in rows) else width**2 / 2
        total += len(rows) * (linear_cost * width + pairs)
    return total


def pack(blocks: Sequence[Block], capacity: int, max_responses: int) -> list[Row]:
    """Rows of at most `capacity` tokens and `max_responses` responses; a larger block lies alone.

    Best fit, longest first: each block goes where least room is left after it.
    """
    rows: list[list[Block]] = []
    num_responses: list[int] = []
    # (tokens that still fit, row), ascending.
    open_rows: list[tuple[int, int]] = []
    for block in sorted(blocks, key=_longest_first):
        place = bisect_left(open_rows, (block.num_tokens, -1))
        while place < len(open_rows):
            if num_responses[open_rows[place][1]] + len(block.responses) <= max_responses:
                break
            place += 1
        if place < len(open_rows):
            room, row = open_rows.pop(place)
        else:
            room, row = capacity, len(rows)
            rows.append([])
            num_responses.append(0)
        rows[row].append(block)
        num_responses[row] += len(block.responses)
        if room > block.num_tokens and num_responses[row] < max_responses:
            insort(open_rows, (room - block.num_tokens, row))
    return [Row(tuple(row)) for row in rows]


def micro_batches(rows: Sequence[Row], limits: Limits) -> list[list[Row]]:
    """Fill micro-batches with rows of like length, so that little is padding.

    Each holds at most `max_tokens` padded tokens and `max_responses` responses; a row that is larger
    alone goes alone.
    """
    filled: list[list[Row]] = []
    num_responses = 0
    for row in sorted(rows, key=lambda row: (-row.num_tokens, row.responses)):
        num_responses += len(row.responses)
        if (
            not filled
            or filled[-1][0].num_tokens * (len(filled[-1]) + 1) > limits.max_tokens
            or num_responses > limits.max_responses
        ):
            filled.append([])
            num_responses = len(row.responses)
        filled[-1].append(row)
    return filled


def _longest_first(block: Block) -> tuple[int, tuple[int, ...]]:
    return -block.num_tokens, block.responses


def _capacities(blocks: Sequence[Block], max_tokens: int) -> list[int]:
    """Row lengths to try, each about 1.4 of the one before: from two blocks to all of them."""
    lengths = sorted(block.num_tokens for block in blocks)
    largest = min(max_tokens, sum(lengths))
    found = []
    for step in count():
        capacity = min(largest, round((lengths[0] + lengths[1]) * 2 ** (step / 2)))
        if found and capacity <= found[-1]:
            return found
        found.append(capacity)
    return found
