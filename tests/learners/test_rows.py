"""Rows and micro-batches of lengths."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learners.rows import (
    Block,
    Limits,
    Row,
    arrange,
    cost,
    micro_batches,
    pack,
    split_over_ranks,
)

LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=40)


def blocks_of(lengths) -> list[Block]:
    return [Block((i,), int(length)) for i, length in enumerate(lengths)]


def log_normal(count: int, seed: int = 0) -> list[Block]:
    rng = np.random.default_rng(seed)
    return blocks_of(rng.lognormal(np.log(128), 1.0, count).round().clip(1, 2048))


def padded_tokens(filled) -> int:
    return sum(len(rows) * max(row.num_tokens for row in rows) for rows in filled)


@given(lengths=LENGTHS, capacity=st.integers(1, 100), max_responses=st.integers(1, 8))
def test_packed_rows_hold_every_block_once_within_their_limits(lengths, capacity, max_responses):
    blocks = blocks_of(lengths)
    rows = pack(blocks, capacity, max_responses)
    held = [block for row in rows for block in row.blocks]
    assert sorted(held, key=lambda block: block.responses) == blocks
    for row in rows:
        assert len(row.blocks) == 1 or row.num_tokens <= capacity
        assert len(row.responses) <= max_responses
    if max_responses >= len(blocks):
        # Best fit opens no row while a block fits another.
        open_rows = [row.num_tokens for row in rows if row.num_tokens <= capacity]
        assert sum(2 * tokens <= capacity for tokens in open_rows) <= 1


def test_no_row_more_than_tokens_need():
    blocks = log_normal(256)
    num_tokens = sum(block.num_tokens for block in blocks)
    assert len(pack(blocks, 2048, 1000)) == -(-num_tokens // 2048)


def test_the_cost_of_micro_batches():
    alone, packed = Row((Block((0,), 10),)), Row((Block((1,), 3), Block((2,), 5)))
    shared = Row((Block((3, 4), 6),))
    assert cost([[alone]], 7.0) == 7 * 10 + 50
    assert cost([[alone], [shared]], 7.0) == 7 * 10 + 50 + 7 * 6 + 36
    assert cost([[alone, packed]], 7.0) == 2 * (7 * 10 + 100)


@given(lengths=LENGTHS, linear_cost=st.sampled_from([1.0, 30.0, 1e4]))
def test_what_is_chosen_costs_no_more_than_padding_or_any_row_length(lengths, linear_cost):
    limits = Limits(200, 100, linear_cost, "masked")
    blocks = blocks_of(lengths)
    found = cost(arrange(blocks, limits), linear_cost)
    assert found <= cost(micro_batches([Row((b,)) for b in blocks], limits), linear_cost)
    for capacity in (50, 100, 200):
        filled = micro_batches(pack(blocks, capacity, 100), limits)
        assert found <= 1.5 * cost(filled, linear_cost)


def test_packing_takes_most_padding_out_where_linear_layers_cost_most():
    blocks = log_normal(64)
    limits = Limits(16384, 128, 8000.0, "masked")
    padded, packed = arrange(blocks, Limits(16384, 128, 8000.0)), arrange(blocks, limits)
    num_tokens = sum(block.num_tokens for block in blocks)
    assert padded_tokens(packed) < 1.1 * num_tokens < padded_tokens(padded)


def test_nothing_is_packed_where_that_costs_more():
    alike = Limits(16384, 128, 8000.0, "masked")
    assert all(
        len(row.blocks) == 1 for rows in arrange(blocks_of([300] * 8), alike) for row in rows
    )
    costly = Limits(16384, 128, 1.0, "masked")
    long = blocks_of([500, 480, 460])
    assert all(len(row.blocks) == 1 for rows in arrange(long, costly) for row in rows)


@pytest.mark.parametrize("packing", ["none", "masked"])
def test_without_a_mask_nothing_is_packed(packing):
    limits = Limits(16384, 128, 0.0, packing)
    for rows in arrange(log_normal(64), limits):
        assert all(len(row.blocks) == 1 for row in rows)


def test_positions_keep_blocks_apart_in_rows_that_fill_a_micro_batch():
    blocks = log_normal(64)
    filled = arrange(blocks, Limits(4096, 128, 0.0, "by_positions"))
    assert all(len(rows) == 1 for rows in filled)
    assert len(filled) == -(-sum(block.num_tokens for block in blocks) // 4096)


def test_ranks_get_about_as_many_tokens():
    blocks = blocks_of([*range(11, 51), *range(31, 71)])
    loads = [sum(block.num_tokens for block in share) for share in split_over_ranks(blocks, 4)]
    assert sum(loads) == sum(block.num_tokens for block in blocks)
    assert max(loads) - min(loads) <= 0.02 * max(loads)


def test_micro_batches_waste_little_on_padding():
    lengths = np.random.default_rng(0).integers(11, 110, 200)
    rows = [Row((block,)) for block in blocks_of(lengths)]
    assert padded_tokens(micro_batches(rows, Limits(600, 1000))) <= 1.05 * lengths.sum()
