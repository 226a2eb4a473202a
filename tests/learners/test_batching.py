import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learners.batching import Batch, blocks_of, collate, optimizer_batches, plan
from learners.rows import Limits
from understand_r1_zero.types import Trajectory


def make_batch(groups: list[tuple[int, list[int]]], seed: int = 0) -> Batch:
    """Groups of (prompt length, response lengths), interleaved as little as a shuffle would."""
    rng = np.random.default_rng(seed)
    trajectories = []
    for prompt_length, response_lengths in groups:
        prompt = rng.integers(1, 1000, prompt_length).astype(np.int32)
        for length in response_lengths:
            tokens = rng.integers(1, 1000, length).astype(np.int32)
            logprobs = rng.normal(size=length).astype(np.float32)
            trajectories.append(Trajectory(prompt, tokens, logprobs, float(rng.normal()), 0))
    order = rng.permutation(len(trajectories))
    return Batch.of([trajectories[i] for i in order])


GROUPS = st.lists(
    st.tuples(st.integers(1, 12), st.lists(st.integers(0, 20), min_size=1, max_size=6)),
    min_size=1,
    max_size=6,
)
LIMITS = st.builds(
    Limits,
    max_tokens=st.integers(1, 120),
    max_responses=st.integers(1, 12),
    linear_cost=st.sampled_from([0.0, 10.0, 1e9]),
    packing=st.sampled_from(["none", "masked"]),
)


def everything(batch: Batch) -> np.ndarray:
    return np.arange(len(batch.lengths))


@given(groups=GROUPS, limits=LIMITS, num_ranks=st.integers(1, 5))
def test_a_plan_holds_every_response_once_within_its_limits(groups, limits, num_ranks):
    batch = make_batch(groups)
    planned = plan(batch, everything(batch), limits, num_ranks)
    assert len(planned) == num_ranks
    assert len({len(share) for share in planned}) == 1
    rows = [row for share in planned for filled in share for row in filled]
    held = sorted(itertools.chain.from_iterable(row.responses for row in rows))
    assert held == [i for i in range(len(batch.lengths)) if batch.lengths[i] > 0]
    for filled in itertools.chain.from_iterable(planned):
        if len(filled) > 1:
            assert len(filled) * max(row.num_tokens for row in filled) <= limits.max_tokens
            assert sum(len(row.responses) for row in filled) <= limits.max_responses
    for row in rows:
        for block in row.blocks:
            assert len({int(batch.prompts[i]) for i in block.responses}) == 1
        if len(row.responses) > 1:
            assert row.num_tokens <= limits.max_tokens
            assert len(row.responses) <= limits.max_responses
        if limits.packing == "none" or limits.linear_cost == 0:
            assert len(row.blocks) == 1


def check_places(micro_batch, start: int, position: int, length: int, segment: int) -> None:
    if micro_batch.position_ids is not None:
        place = slice(start, start + length)
        positions = micro_batch.position_ids.ravel()[place]
        assert positions.tolist() == list(range(position, position + length))
        assert micro_batch.segments.ravel()[place].tolist() == [segment] * length


@given(groups=GROUPS, limits=LIMITS)
def test_collate_keeps_every_token_and_what_predicts_it(groups, limits):
    batch = make_batch(groups)
    for filled in plan(batch, everything(batch), limits, 1)[0]:
        micro_batch = collate(batch, filled)
        flat_ids = micro_batch.input_ids.ravel()
        expected_sources, expected_tokens = [], []
        for i, row in enumerate(filled):
            start = i * micro_batch.input_ids.shape[1]
            for block in row.blocks:
                prompt = batch.trajectories[block.responses[0]].prompt_token_ids
                end = start + len(prompt)
                predicts_first = end - 1
                assert flat_ids[start:end].tolist() == prompt.tolist()
                check_places(micro_batch, start, 0, len(prompt), 0)
                for k, response in enumerate(block.responses, start=1):
                    ids = batch.trajectories[response].response_token_ids
                    start, end = end, end + len(ids)
                    assert flat_ids[start:end].tolist() == ids.tolist()
                    expected_sources += [predicts_first, *range(start, end - 1)]
                    offset = int(batch.offsets[response])
                    expected_tokens += range(offset, offset + len(ids))
                    check_places(micro_batch, start, len(prompt), len(ids), k)
                start = end
            row_end = (i + 1) * micro_batch.input_ids.shape[1]
            if micro_batch.segments is not None:
                assert set(micro_batch.segments.ravel()[start:row_end].tolist()) <= {-1}
        assert micro_batch.sources.tolist() == expected_sources
        assert micro_batch.tokens.tolist() == expected_tokens
        assert micro_batch.targets.tolist() == batch.token_ids[expected_tokens].tolist()


def test_nothing_to_train_on_makes_one_empty_micro_batch():
    batch = make_batch([(3, [2, 2])])
    assert plan(batch, np.array([], int), Limits(100, 10), 2) == [[[]], [[]]]
    micro_batch = collate(batch, [])
    assert micro_batch.input_ids.shape == (1, 1)
    assert len(micro_batch.targets) == len(micro_batch.sources) == len(micro_batch.tokens) == 0


def test_responses_share_a_prompt_when_it_is_long():
    batch = make_batch([(40, [5] * 8)])
    (block,) = blocks_of(batch, everything(batch), Limits(1000, 8, linear_cost=768))
    assert block.num_tokens == 40 + 8 * 5
    assert len(blocks_of(batch, everything(batch), Limits(1000, 8, linear_cost=0))) == 8
    assert [len(b.responses) for b in blocks_of(batch, everything(batch), Limits(60, 8, 768))] == [
        4,
        4,
    ]
    assert [
        len(b.responses) for b in blocks_of(batch, everything(batch), Limits(1000, 3, 768))
    ] == [
        3,
        3,
        2,
    ]


def test_long_responses_share_no_short_prompt():
    batch = make_batch([(4, [400] * 4)])
    assert len(blocks_of(batch, everything(batch), Limits(10_000, 8, linear_cost=768))) == 4


def test_responses_to_different_prompts_never_share():
    batch = make_batch([(40, [5] * 3), (40, [5] * 3)])
    blocks = blocks_of(batch, everything(batch), Limits(1000, 8, linear_cost=1e9))
    assert [len(block.responses) for block in blocks] == [3, 3]


def test_a_plan_is_the_same_whenever_it_is_made():
    batch = make_batch([(5, [3, 9, 3, 1]), (7, [3, 3, 3, 9])])
    plans = [plan(batch, everything(batch), Limits(40, 4, 10.0), 2) for _ in range(2)]
    assert plans[0] == plans[1]


@pytest.mark.parametrize(
    ("num_responses", "batch_size", "sizes"), [(8, 8, [8]), (8, 4, [4, 4]), (10, 4, [4, 4, 2])]
)
def test_optimizer_batches_cover_each_epoch_once(num_responses, batch_size, sizes):
    batches = optimizer_batches(num_responses, batch_size, 3, seed=(1, 2))
    assert [len(chosen) for chosen in batches] == sizes * 3
    for epoch in range(3):
        chunk = batches[epoch * len(sizes) : (epoch + 1) * len(sizes)]
        assert sorted(np.concatenate(chunk).tolist()) == list(range(num_responses))


def test_the_order_follows_from_seed_and_step():
    orders = {
        seed: [chosen.tolist() for chosen in optimizer_batches(32, 8, 1, seed)]
        for seed in ((1, 0), (1, 1), (2, 0))
    }
    assert orders[1, 0] == [chosen.tolist() for chosen in optimizer_batches(32, 8, 1, (1, 0))]
    assert orders[1, 0] != orders[1, 1]
    assert orders[1, 0] != orders[2, 0]


def test_values_split_by_response():
    batch = make_batch([(2, [3, 1]), (2, [4])])
    pieces = batch.split(batch.sampler_logprobs)
    for piece, trajectory in zip(pieces, batch.trajectories, strict=True):
        assert piece.tolist() == trajectory.sampler_logprobs.tolist()
