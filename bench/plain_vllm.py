"""The other side of `actor`: `vllm.LLM.generate` as its documentation shows it."""

import os
import sys
import time

from bench.prompts import first_problems, prompts_of
from bench.side import DoRound, Round, answer
from understand_r1_zero import cli

CACHE_BYTES = 2**30
"""Ample. vLLM's own default is most of the machine's memory, and refuses to start if it is in use."""


def main() -> None:
    """Generate one batch a round, always for the same problems."""
    answer(_prepare)


def _prepare() -> DoRound:
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    from vllm import LLM, SamplingParams

    args = cli.parse(sys.argv[1:])
    prompts = prompts_of(args, first_problems(args, 1))
    llm = LLM(
        args.model.pretrain,
        dtype=args.model.dtype,
        enforce_eager=True,
        kv_cache_memory_bytes=CACHE_BYTES,
        seed=args.run.seed,
    )
    sampling = args.sampling
    params = SamplingParams(
        n=sampling.num_samples,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        max_tokens=sampling.generate_max_length,
        logprobs=0,
    )

    def do_round() -> Round:
        llm.reset_prefix_cache()
        started_s = time.perf_counter()
        outputs = llm.generate(prompts, params, use_tqdm=False)
        seconds = time.perf_counter() - started_s
        tokens = sum(len(sample.token_ids) for output in outputs for sample in output.outputs)
        return {"tokens": tokens, "seconds": seconds}

    return do_round


if __name__ == "__main__":
    main()
