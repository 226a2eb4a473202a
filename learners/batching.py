"""From trajectories to micro-batches: the tokens of an update, its plan over the ranks, its arrays.

Everything here is deterministic and every rank computes all of it, so that the ranks agree without a
word. Responses are named by their position in the update's batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from learners.rows import Block, Limits, Row, arrange, split_over_ranks
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


def sequence(prompt_token_ids: np.ndarray, response_token_ids: np.ndarray) -> Trajectory:
    """A given response as `Batch` lays it out, for losses that read nothing but its tokens."""
    return Trajectory(
        prompt_token_ids=prompt_token_ids,
        response_token_ids=response_token_ids,
        sampler_logprobs=np.zeros(len(response_token_ids), np.float32),
        reward=0.0,
        group=0,
    )


def blocks_of(batch: Batch, responses: np.ndarray, limits: Limits) -> list[Block]:
    """Blocks of the given responses; those to one prompt share it as far as that is cheaper.

    The same prompt before each of its responses is most of the work when responses are short. In a
    shared block the linear layers see it once, but attention pays for the pairs of tokens that the mask
    then hides: a block of L tokens costs `c L + L^2`, one that shares nothing `c L + L^2 / 2` (causal).
    Responses without a token are left out.
    """
    blocks: list[Block] = []
    open_blocks: dict[int, int] = {}
    for response in responses.tolist():
        length = int(batch.lengths[response])
        if length == 0:
            continue
        prompt_id = int(batch.prompts[response])
        prompt = len(batch.trajectories[response].prompt_token_ids)
        position = open_blocks.get(prompt_id, -1)
        if position >= 0 and _is_worth_sharing(blocks[position], prompt, length, limits):
            block = blocks[position]
            blocks[position] = Block((*block.responses, response), block.num_tokens + length)
        else:
            open_blocks[prompt_id] = len(blocks)
            blocks.append(Block((response,), prompt + length))
    return blocks


def _is_worth_sharing(block: Block, prompt: int, length: int, limits: Limits) -> bool:
    shared = block.num_tokens + length
    is_full = shared > limits.max_tokens or len(block.responses) >= limits.max_responses
    if is_full or limits.linear_cost == 0:
        return False
    extra_pairs = shared**2 - block.num_tokens**2 - (prompt + length) ** 2 / 2
    return limits.linear_cost * prompt > extra_pairs


def plan(
    batch: Batch, responses: np.ndarray, limits: Limits, num_ranks: int
) -> list[list[list[Row]]]:
    """The micro-batches of every rank, the same number for each.

    Ranks that have fewer get empty ones, because collectives inside forward and backward need all
    ranks; there is at least one.
    """
    shares = split_over_ranks(blocks_of(batch, responses, limits), num_ranks)
    planned = [arrange(share, limits) for share in shares]
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
    (B L,) whose output predicts the tokens `targets` int64 (N,), which stand at `places` int64 (N,)
    there themselves; `tokens` int64 (N,) are the places of those tokens in the batch's flat arrays.
    Where every row is one prompt with one response causal order says what a token sees, and the other
    two are None. Elsewhere `position_ids` int64 (B, L) restart at every block, and within it at every
    response (from the prompt's length); `segments` int64 (B, L) are 0 in a prompt, k in the k-th
    response of its block and -1 in the padding.
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
        start = 0
        for block in row.blocks:
            prompt = batch.trajectories[block.responses[0]].prompt_token_ids
            num_prompt = len(prompt)
            assert num_prompt > 0, "the first response token needs a prompt that predicts it"
            last, end = start + num_prompt - 1, start + num_prompt
            input_ids[i, start:end] = prompt
            position_ids[i, start:end] = np.arange(num_prompt)
            segments[i, start:end] = 0
            for k, response in enumerate(block.responses, start=1):
                start, end = end, end + int(batch.lengths[response])
                input_ids[i, start:end] = batch.trajectories[response].response_token_ids
                position_ids[i, start:end] = np.arange(num_prompt, num_prompt + end - start)
                segments[i, start:end] = k
                predicted_by = np.arange(start - 1, end - 1)
                predicted_by[0] = last
                sources.append(i * width + predicted_by)
                places.append(i * width + np.arange(start, end))
                tokens.append(np.arange(batch.offsets[response], batch.offsets[response + 1]))
            start = end
    flat_tokens = np.concatenate(tokens)
    needs_mask = any(row.needs_mask for row in rows)
    return MicroBatch(
        input_ids=input_ids,
        sources=np.concatenate(sources),
        targets=batch.token_ids[flat_tokens].astype(np.int64),
        places=np.concatenate(places),
        tokens=flat_tokens,
        position_ids=position_ids if needs_mask else None,
        segments=segments if needs_mask else None,
    )
