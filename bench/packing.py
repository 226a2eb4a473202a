"""A side of `learner_packing`: forward and backward passes of sequences whose lengths are log-normal.

`ours` lays them in rows as the learner does with `--packing`, `theirs` one in a row, as they come, a
fixed number in a micro-batch, padded to its longest. A round may ask for our own rows without
packing, `by length`.
"""

import math
import os
import sys
import time

import numpy as np

from bench.side import DoRound, Round, answer
from understand_r1_zero.args import OptimArgs
from understand_r1_zero.types import Trajectory

MEDIAN, SIGMA, SHORTEST, LONGEST = 128, 1.0, 16, 2048
"""Of the lengths, in tokens; sigma of their logarithms."""
PROMPT = 8
VOCABULARY = 512
PADDED_ROWS = 8
"""Sequences a micro-batch of `theirs`."""


def main() -> None:
    """One pass over all sequences a round."""
    answer(_prepare)


def _prepare() -> DoRound:
    os.environ["OMP_NUM_THREADS"] = str(len(os.sched_getaffinity(0)))
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from learners import model as models
    from learners.batching import Batch, collate, plan
    from learners.rows import Block, Limits, Row

    which, num_sequences = sys.argv[1], int(sys.argv[2])
    torch.manual_seed(0)
    # One layer of Qwen2.5-0.5B.
    config = Qwen2Config(
        vocab_size=VOCABULARY,
        hidden_size=896,
        intermediate_size=4864,
        num_attention_heads=14,
        num_key_value_heads=2,
        num_hidden_layers=1,
    )
    model = Qwen2ForCausalLM(config)
    scorer = models.TokenLogprobs(model, temperature=1.0)
    batch = Batch.of(_sequences(num_sequences))
    optim = OptimArgs()

    def arrange(rows: str) -> list[list[Row]]:
        if rows == "as they come":
            apart = [Row((Block((i,), t.num_tokens),)) for i, t in enumerate(batch.trajectories)]
            return [apart[i : i + PADDED_ROWS] for i in range(0, len(apart), PADDED_ROWS)]
        limits = Limits(
            optim.max_tokens_per_micro_batch,
            optim.train_batch_size_per_device,
            models.linear_cost(model),
            models.packing_of(model) if rows == "packed" else "none",
        )
        return plan(batch, np.arange(num_sequences), limits, 1)[0]

    def do_round(rows: str = "packed" if which == "ours" else "as they come") -> Round:
        model.zero_grad()
        started_s = time.perf_counter()
        padded_tokens = 0
        for filled in arrange(rows):
            micro = collate(batch, filled)
            padded_tokens += micro.input_ids.size
            arrays = micro.input_ids, micro.sources, micro.targets
            more = micro.position_ids, micro.segments
            inputs = [None if a is None else torch.from_numpy(a) for a in (*arrays, *more)]
            logprobs, _ = scorer(*inputs)
            (logprobs.sum() / batch.num_tokens).backward()
        seconds = time.perf_counter() - started_s
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        return {
            "samples": num_sequences,
            "seconds": seconds,
            "tokens": sum(t.num_tokens for t in batch.trajectories),
            "padded_tokens": padded_tokens,
            "grad_norm": float(torch.nn.utils.get_total_norm(gradients)),
        }

    return do_round


def _sequences(count: int) -> list[Trajectory]:
    rng = np.random.default_rng(0)
    lengths = rng.lognormal(math.log(MEDIAN), SIGMA, count).round().clip(SHORTEST, LONGEST)
    return [
        Trajectory(
            prompt_token_ids=rng.integers(0, VOCABULARY, PROMPT),
            response_token_ids=rng.integers(0, VOCABULARY, length - PROMPT),
            sampler_logprobs=np.zeros(length - PROMPT, np.float32),
            reward=0.0,
            group=number,
        )
        for number, length in enumerate(lengths.astype(int).tolist())
    ]


if __name__ == "__main__":
    main()
