"""The other side of `learner`: the loop one would write around DeepSpeed by hand.

Responses sorted by length, micro-batches padded to their longest, logits of every position, the
policy gradient of the response tokens.
"""

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.learner_batch import read_batch
from bench.side import DoRound, Round, answer
from understand_r1_zero import cli
from understand_r1_zero.args import Args
from understand_r1_zero.types import Trajectory


def main() -> None:
    """One optimizer step a round, always on the same batch."""
    answer(_prepare)


def _prepare() -> DoRound:
    path, *flags = sys.argv[1:]
    args = cli.parse(flags)
    size = min(args.optim.train_batch_size_per_device, args.responses_per_step)
    accumulation = args.responses_per_step // size
    engine = _engine(args, Path(path).with_suffix(".rendezvous"), size, accumulation)

    def do_round() -> Round:
        trajectories = read_batch(Path(path))
        started_s = time.perf_counter()
        advantages = _advantages(trajectories)
        order = sorted(range(len(trajectories)), key=lambda i: -trajectories[i].num_tokens)
        for start in range(0, len(order), size):
            chosen = order[start : start + size]
            _train(engine, [trajectories[i] for i in chosen], advantages[chosen], args)
        seconds = time.perf_counter() - started_s
        norm = float(engine.get_global_grad_norm())
        tokens = sum(trajectory.num_tokens for trajectory in trajectories)
        return {"tokens": tokens, "seconds": seconds, "grad_norm": norm}

    return do_round


def _engine(args: Args, rendezvous: Path, size: int, accumulation: int) -> Any:
    os.environ |= {"DS_ACCELERATOR": "cpu", "LOCAL_RANK": "0"}
    import deepspeed
    import deepspeed.ops
    from transformers import AutoModelForCausalLM

    # As in learners/engine.py: no compiling of an all-reduce that one rank never calls.
    deepspeed.ops.__compatible_ops__ = {}  # pyright: ignore[reportAttributeAccessIssue]

    torch.distributed.init_process_group("gloo", f"file://{rendezvous}", rank=0, world_size=1)
    model: Any = AutoModelForCausalLM.from_pretrained(args.model.pretrain, dtype=torch.float32)
    optim = args.optim
    engine, *_ = deepspeed.initialize(
        model=model,
        model_parameters=model.parameters(),
        config={
            "train_micro_batch_size_per_gpu": size,
            "gradient_accumulation_steps": accumulation,
            "gradient_clipping": optim.max_norm,
            "optimizer": {
                "type": "AdamW",
                "params": {
                    "lr": optim.learning_rate,
                    "betas": [optim.adam_beta_1, optim.adam_beta_2],
                    "weight_decay": optim.l2,
                    "torch_adam": True,
                },
            },
            "zero_optimization": {"stage": optim.zero_stage},
        },
    )
    return engine


def _advantages(trajectories: Sequence[Trajectory]) -> Tensor:
    """Dr. GRPO: rewards less their group's mean."""
    rewards = torch.tensor([trajectory.reward for trajectory in trajectories])
    groups = torch.tensor([trajectory.group for trajectory in trajectories])
    sums = torch.zeros(len(rewards)).index_add(0, groups, rewards)
    return rewards - (sums / groups.bincount(minlength=len(rewards)))[groups]


def _train(engine: Any, rows: Sequence[Trajectory], advantages: Tensor, args: Args) -> None:
    shape = (len(rows), max(row.num_tokens for row in rows))
    ids, is_token = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    is_response = np.zeros(shape, np.float32)
    for i, row in enumerate(rows):
        start, end = len(row.prompt_token_ids), row.num_tokens
        ids[i, :end] = np.concatenate([row.prompt_token_ids, row.response_token_ids])
        is_token[i, :end] = 1
        is_response[i, start:end] = 1
    input_ids, attention_mask = torch.from_numpy(ids), torch.from_numpy(is_token)
    logits: Tensor = engine(input_ids=input_ids, attention_mask=attention_mask).logits
    logprobs = logits[:, :-1].log_softmax(-1).gather(-1, input_ids[:, 1:, None]).squeeze(-1)
    gains = advantages[:, None] * logprobs * torch.from_numpy(is_response)[:, 1:]
    loss = -gains.sum() / (len(rows) * args.sampling.generate_max_length)
    engine.backward(loss)
    engine.step()


if __name__ == "__main__":
    main()
