"""From trajectories to padded micro-batches: which responses, in which rows, on which rank.

Everything here is deterministic and every rank computes all of it, so that the ranks agree without a
word. Responses are named by their position in the update's batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from understand_r1_zero.types import Trajectory


@dataclass(frozen=True)
class Batch:
    """The trajectories of one update; values of tokens lie in one flat array, response by response.

    `offsets` (R+1,) says where: response i owns `[offsets[i], offsets[i + 1])`, and `response_of` (T,)
    says whose a token is. `prompts` (R,) is equal for responses to the same prompt.
    """

    trajectories: Sequence[Trajectory]
    lengths: np.ndarray
    offsets: np.ndarray
    response_of: np.ndarray
    prompts: np.ndarray
    is_masked: np.ndarray
    token_ids: np.ndarray
    sampler_logprobs: np.ndarray

    @staticmethod
    def of(trajectories: Sequence[Trajectory]) -> "Batch":
        """Lay out the trajectories of one update."""
        assert trajectories, "an update needs trajectories"
        lengths = np.array([len(t.response_token_ids) for t in trajectories])
        prompts = [np.asarray(t.prompt_token_ids, np.int64).tobytes() for t in trajectories]
        first_seen = {prompt: index for index, prompt in reversed(list(enumerate(prompts)))}
        return Batch(
            trajectories=trajectories,
            lengths=lengths,
            offsets=np.concatenate([[0], np.cumsum(lengths)]),
            response_of=np.repeat(np.arange(len(lengths)), lengths),
            prompts=np.array([first_seen[prompt] for prompt in prompts]),
            is_masked=np.array([t.is_masked for t in trajectories], bool),
            token_ids=np.concatenate([t.response_token_ids for t in trajectories]),
            sampler_logprobs=np.concatenate([t.sampler_logprobs for t in trajectories]).astype(
                np.float32
            ),
        )

    @property
    def num_tokens(self) -> int:
        """Response tokens of all trajectories."""
        return int(self.offsets[-1])

    def split(self, tokens: np.ndarray) -> list[np.ndarray]:
        """Cut a flat array of token values into one array per response."""
        return np.split(tokens, self.offsets[1:-1])


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a micro-batch: a prompt, then one or more responses to it."""

    responses: tuple[int, ...]
    num_tokens: int


@dataclass(frozen=True, slots=True)
class Limits:
    """How large rows and micro-batches may become.

    `linear_cost` decides how many responses share a prompt: the cost of one token in the linear
    layers, in units of one query-key pair of attention; 0: none share.
    """

    max_tokens: int
    max_responses: int
    linear_cost: float = 0.0


def rows_of(batch: Batch, responses: np.ndarray, limits: Limits) -> list[Row]:
    """Rows for the given responses; those to one prompt share it as far as that is cheaper.

    The same prompt before each of its responses is most of the work when responses are short. In a
    shared row the linear layers see it once, but attention pays for the pairs of tokens that the mask
    then hides: a row of L tokens costs `c L + L^2`, one that shares nothing `c L + L^2 / 2` (causal).
    Responses without a token are left out.
    """
    rows: list[Row] = []
    open_rows: dict[int, int] = {}
    for response in responses.tolist():
        length = int(batch.lengths[response])
        if length == 0:
            continue
        prompt_id = int(batch.prompts[response])
        prompt = len(batch.trajectories[response].prompt_token_ids)
        position = open_rows.get(prompt_id, -1)
        if position >= 0 and _is_worth_sharing(rows[position], prompt, length, limits):
            row = rows[position]
            rows[position] = Row((*row.responses, response), row.num_tokens + length)
        else:
            open_rows[prompt_id] = len(rows)
            rows.append(Row((response,), prompt + length))
    return rows


def _is_worth_sharing(row: Row, prompt: int, length: int, limits: Limits) -> bool:
    shared = row.num_tokens + length
    is_full = shared > limits.max_tokens or len(row.responses) >= limits.max_responses
    if is_full or limits.linear_cost == 0:
        return False
    extra_pairs = shared**2 - row.num_tokens**2 - (prompt + length) ** 2 / 2
    return limits.linear_cost * prompt > extra_pairs


def split_over_ranks(rows: Sequence[Row], num_ranks: int) -> list[list[Row]]:
    """Give every rank about as many tokens: longest row first, to the rank that has least."""
    shares: list[list[Row]] = [[] for _ in range(num_ranks)]
    loads = [0] * num_ranks
    for row in sorted(rows, key=lambda row: (-row.num_tokens, row.responses)):
        rank = loads.index(min(loads))
        shares[rank].append(row)
        loads[rank] += row.num_tokens
    return shares


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


def plan(
    batch: Batch, responses: np.ndarray, limits: Limits, num_ranks: int
) -> list[list[list[Row]]]:
    """The micro-batches of every rank, the same number for each.

    Ranks that have fewer get empty ones, because collectives inside forward and backward need all
    ranks; there is at least one.
    """
    shares = split_over_ranks(rows_of(batch, responses, limits), num_ranks)
    planned = [micro_batches(share, limits) for share in shares]
    count = max(1, *(len(filled) for filled in planned))
    return [filled + [[]] * (count - len(filled)) for filled in planned]


def optimizer_batches(
    num_responses: int, batch_size: int, num_epochs: int, seed: tuple[int, ...]
) -> list[np.ndarray]:
    """The responses of every optimizer step of an update: each epoch in an order of its own.

    A last batch that is not full is a step of its own size. The order follows from `seed` alone.
    """
    generator = np.random.default_rng(seed)
    return [
        np.sort(chunk)
        for _ in range(num_epochs)
        for order in [generator.permutation(num_responses)]
        for chunk in np.split(order, range(batch_size, num_responses, batch_size))
    ]


@dataclass(frozen=True)
class MicroBatch:
    """Padded rows. B rows of L tokens hold N response tokens.

    `input_ids` int64 (B, L), padded on the right. `sources` int64 (N,) are positions in the flattened
    (B L,) whose output predicts the tokens `targets` int64 (N,), which stand at `places` int64 (N,) there
    themselves; `tokens` int64 (N,) are the places of those tokens in the batch's flat arrays. In rows that share prompts, `position_ids` int64 (B, L)
    restart at every response and `segments` int64 (B, L) are 0 in the prompt, k in the k-th response
    and -1 in the padding; both are None where every row is one prompt with one response.
    """

    input_ids: np.ndarray
    sources: np.ndarray
    targets: np.ndarray
    places: np.ndarray
    tokens: np.ndarray
    position_ids: np.ndarray | None
    segments: np.ndarray | None


def collate(batch: Batch, rows: Sequence[Row]) -> MicroBatch:
    """Pad rows to one micro-batch; no rows make the empty one: one token, nothing predicted."""
    width = max((row.num_tokens for row in rows), default=1)
    shape = (max(1, len(rows)), width)
    input_ids = np.zeros(shape, np.int64)
    position_ids, segments = np.zeros(shape, np.int64), np.full(shape, -1, np.int64)
    sources, places, tokens = ([np.zeros(0, np.int64)] for _ in range(3))
    for i, row in enumerate(rows):
        prompt = batch.trajectories[row.responses[0]].prompt_token_ids
        assert len(prompt) > 0, "the first response token needs a prompt that predicts it"
        start = len(prompt)
        input_ids[i, :start] = prompt
        position_ids[i, :start] = np.arange(start)
        segments[i, :start] = 0
        for k, response in enumerate(row.responses, start=1):
            end = start + int(batch.lengths[response])
            input_ids[i, start:end] = batch.trajectories[response].response_token_ids
            position_ids[i, start:end] = np.arange(len(prompt), len(prompt) + end - start)
            segments[i, start:end] = k
            predicted_by = np.arange(start - 1, end - 1)
            predicted_by[0] = len(prompt) - 1
            sources.append(i * width + predicted_by)
            places.append(i * width + np.arange(start, end))
            tokens.append(np.arange(batch.offsets[response], batch.offsets[response + 1]))
            start = end
    flat_tokens = np.concatenate(tokens)
    is_shared = any(len(row.responses) > 1 for row in rows)
    return MicroBatch(
        input_ids=input_ids,
        sources=np.concatenate(sources),
        targets=batch.token_ids[flat_tokens].astype(np.int64),
        places=np.concatenate(places),
        tokens=flat_tokens,
        position_ids=position_ids if is_shared else None,
        segments=segments if is_shared else None,
    )
