import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learners.batching import (
    Batch,
    Limits,
    collate,
    micro_batches,
    optimizer_batches,
    plan,
    rows_of,
    split_over_ranks,
)
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
        assert len({int(batch.prompts[i]) for i in row.responses}) == 1
        if len(row.responses) > 1:
            assert row.num_tokens <= limits.max_tokens
            assert len(row.responses) <= limits.max_responses


@given(groups=GROUPS, limits=LIMITS)
def test_collate_keeps_every_token_and_what_predicts_it(groups, limits):
    batch = make_batch(groups)
    for filled in plan(batch, everything(batch), limits, 1)[0]:
        micro_batch = collate(batch, filled)
        flat_ids = micro_batch.input_ids.ravel()
        expected_sources, expected_tokens = [], []
        for i, row in enumerate(filled):
            prompt = batch.trajectories[row.responses[0]].prompt_token_ids
            base = i * micro_batch.input_ids.shape[1]
            assert flat_ids[base : base + len(prompt)].tolist() == prompt.tolist()
            start = base + len(prompt)
            for response in row.responses:
                ids = batch.trajectories[response].response_token_ids
                assert flat_ids[start : start + len(ids)].tolist() == ids.tolist()
                expected_sources += [base + len(prompt) - 1, *range(start, start + len(ids) - 1)]
                offset = int(batch.offsets[response])
                expected_tokens += range(offset, offset + len(ids))
                if micro_batch.position_ids is not None:
                    positions = micro_batch.position_ids.ravel()[start : start + len(ids)]
                    assert positions.tolist() == [len(prompt) + t for t in range(len(ids))]
                start += len(ids)
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
    (row,) = rows_of(batch, everything(batch), Limits(1000, 8, linear_cost=768))
    assert row.num_tokens == 40 + 8 * 5
    assert len(rows_of(batch, everything(batch), Limits(1000, 8, linear_cost=0))) == 8
    assert [len(r.responses) for r in rows_of(batch, everything(batch), Limits(60, 8, 768))] == [
        4,
        4,
    ]
    assert [len(r.responses) for r in rows_of(batch, everything(batch), Limits(1000, 3, 768))] == [
        3,
        3,
        2,
    ]


def test_long_responses_share_no_short_prompt():
    batch = make_batch([(4, [400] * 4)])
    assert len(rows_of(batch, everything(batch), Limits(10_000, 8, linear_cost=768))) == 4


def test_responses_to_different_prompts_never_share():
    batch = make_batch([(40, [5] * 3), (40, [5] * 3)])
    rows = rows_of(batch, everything(batch), Limits(1000, 8, linear_cost=1e9))
    assert [len(row.responses) for row in rows] == [3, 3]


def test_ranks_get_about_as_many_tokens():
    batch = make_batch([(10, list(range(1, 41))), (30, list(range(1, 41)))])
    rows = rows_of(batch, everything(batch), Limits(1000, 1))
    loads = [sum(row.num_tokens for row in share) for share in split_over_ranks(rows, 4)]
    assert sum(loads) == sum(t.num_tokens for t in batch.trajectories)
    assert max(loads) - min(loads) <= 0.02 * max(loads)


def test_micro_batches_waste_little_on_padding():
    batch = make_batch([(10, np.random.default_rng(0).integers(1, 100, 200).tolist())])
    filled = micro_batches(rows_of(batch, everything(batch), Limits(600, 1000)), Limits(600, 1000))
    padded = sum(len(rows) * max(row.num_tokens for row in rows) for rows in filled)
    assert padded <= 1.05 * sum(t.num_tokens for t in batch.trajectories)


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
