"""The batch that both sides of `learner` train on: real prompts, and what the model answers."""

import functools
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.prompts import first_problems, prompts_of
from understand_r1_zero import cli
from understand_r1_zero.tokenizer import load_tokenizer
from understand_r1_zero.types import Trajectory

SEED = 0


def make_batch(flags: Sequence[str]) -> list[Trajectory]:
    """One step's trajectories, sampled with transformers, with random rewards, no two equal."""
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    args = cli.parse(flags)
    sampling, tokenizer = args.sampling, load_tokenizer(args.model)
    prompts = prompts_of(args, first_problems(args, 1))
    model: Any = AutoModelForCausalLM.from_pretrained(args.model.pretrain, dtype=torch.float32)
    inputs = tokenizer(prompts, return_tensors="pt", padding=True, padding_side="left")
    torch.manual_seed(SEED)
    output = model.generate(
        **inputs,
        do_sample=True,
        num_return_sequences=sampling.num_samples,
        temperature=sampling.temperature,
        max_new_tokens=sampling.generate_max_length,
        output_logits=True,
        return_dict_in_generate=True,
    )
    logprobs = model.compute_transition_scores(
        output.sequences, output.logits, normalize_logits=True
    )
    responses = output.sequences[:, inputs.input_ids.shape[1] :]
    is_end = torch.isin(responses, torch.tensor(model.generation_config.eos_token_id))
    rewards = np.random.default_rng(SEED).normal(size=len(responses))
    return [
        Trajectory(
            prompt_token_ids=np.array(tokenizer(prompts[i // sampling.num_samples]).input_ids),
            response_token_ids=responses[i, :length].numpy().astype(np.int32),
            sampler_logprobs=logprobs[i, :length].numpy(),
            reward=float(rewards[i]),
            group=i // sampling.num_samples,
        )
        for i, ends in enumerate(is_end)
        for length in [int(ends.nonzero()[0]) + 1 if ends.any() else len(ends)]
    ]


def write_batch(path: Path, trajectories: Sequence[Trajectory]) -> None:
    """For the sides to read."""
    path.write_bytes(pickle.dumps(list(trajectories)))


@functools.cache
def read_batch(path: Path) -> list[Trajectory]:
    """What `write_batch` wrote; it need not be there before the first round."""
    return pickle.loads(path.read_bytes())
