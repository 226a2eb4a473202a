"""The side of `search`: one engine that searches the same questions in three ways, as each round asks.

`together` searches all at once, `in_turn` one question after another, and `one_by_one` besides sends one request
after another, as published code does: each sample of a step is asked for alone, and waited for.
"""

import asyncio
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np

from actors.samples import Sample
from actors.start_engine import start_engine
from actors.start_search import RunningSearch, start_search
from bench.side import DoRound, Round, answer
from understand_r1_zero import cli
from understand_r1_zero.evaluate import evaluation_sampling
from understand_r1_zero.problems import load_benchmarks_of
from understand_r1_zero.tokenizer import load_tokenizer
from understand_r1_zero.types import Sampling


class OneByOne:
    """An engine that is asked for one sample at a time."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self._turn = asyncio.Lock()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    async def generate_steps(
        self, prompt_token_ids: np.ndarray, sampling: Sampling, stop: Sequence[str]
    ) -> list[Sample]:
        """The same samples as from one request for all: each has the seed that vLLM gives it there."""
        assert sampling.seed is not None
        found: list[Sample] = []
        async with self._turn:
            for index in range(sampling.num_samples):
                one = replace(sampling, num_samples=1, seed=sampling.seed + index)
                found += await self._engine.generate_steps(prompt_token_ids, one, stop)
        return found


def main() -> None:
    """Search the benchmarks of the command line, each round in the way it names."""
    with asyncio.Runner() as runner:
        answer(lambda: _prepare(runner))


def _prepare(runner: asyncio.Runner) -> DoRound:
    args = cli.parse(sys.argv[1:])
    problems = [problem for rows in load_benchmarks_of(args).values() for problem in rows]
    sampling = evaluation_sampling(args)
    tokenizer = load_tokenizer(args.model)
    threads = ThreadPoolExecutor(8)

    async def start() -> tuple[Any, RunningSearch, RunningSearch]:
        engine = start_engine(args, 0, 1)
        ours = await start_search(args, engine, tokenizer, 1, threads)
        theirs: Any = OneByOne(engine)
        return engine, ours, await start_search(args, theirs, tokenizer, 1, threads)

    engine, ours, theirs = runner.run(start())

    async def search(way: str) -> Round:
        await engine.reset_prefix_cache()
        searcher = (theirs if way == "one_by_one" else ours).searcher
        asked, hits = engine.cache_hits.num_asked, engine.cache_hits.num_hits
        started_s = time.perf_counter()
        asking = [searcher.search(i, problem, sampling) for i, problem in enumerate(problems)]
        if way == "together":
            groups = await asyncio.gather(*asking)
        else:
            groups = [await each for each in asking]
        seconds = time.perf_counter() - started_s
        trees = [group.tree for group in groups if group.tree is not None]
        return {
            "seconds": seconds,
            "questions": len(groups),
            "nodes": sum(len(tree["react"]) for tree in trees),
            "tokens": sum(tree["search"]["tokens"] for tree in trees),
            "right": sum(group.rewards[0] for group in groups),
            "prompt_tokens": engine.cache_hits.num_asked - asked,
            "cached_tokens": engine.cache_hits.num_hits - hits,
        }

    return lambda way: runner.run(search(way))


if __name__ == "__main__":
    main()
