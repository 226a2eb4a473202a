"""An actor: problems in, graded groups out."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from actors.engine import Engine, EngineSettings
from actors.samples import Sample
from oracles.load import as_verdict, load_oracle
from understand_r1_zero.args import Args
from understand_r1_zero.templates import load_template
from understand_r1_zero.tokenizer import load_tokenizer
from understand_r1_zero.types import Group, Problem, Response, Sampling, Status, Verdict


class SamplingActor:
    """Samples groups from the published policy and has the oracle grade them.

    Groups are asked one a call, many calls at once: the engine batches them, and grading one overlaps
    sampling the others. When the engine dies the process ends, so that whoever asked is told.

    Args:
        args: all flags.
        actor_index: of this actor; engines with different indices sample differently.
        num_threads: CPU threads of the engine; 0: it runs on GPUs.
    """

    def __init__(self, args: Args, actor_index: int, num_threads: int) -> None:
        self._args = args
        self._actor_index = actor_index
        self._num_threads = num_threads

    async def start(self) -> None:
        """Load the tokenizer, the oracle and the engine."""
        args = self._args
        self._template = load_template(args.data.prompt_template)
        self._oracle = load_oracle(args.oracle, self._template.extraction)
        self._tokenizer = load_tokenizer(args.model)
        longest = max(
            args.sampling.generate_max_length, args.evaluation.eval_generate_max_length
        )
        self._engine = Engine(
            EngineSettings(
                model=args.model.pretrain,
                dtype="bfloat16" if args.model.bf16 else "float32",
                max_model_len=args.model.max_model_len or args.data.prompt_max_length + longest,
                seed=args.run.seed + self._actor_index,
                num_threads=self._num_threads,
                gpu_memory_share=args.cluster.vllm_gpu_ratio,
                tensor_parallel_size=args.cluster.num_gpus_per_actor,
                enable_prefix_caching=args.sampling.enable_prefix_caching,
                trust_remote_code=args.model.trust_remote_code,
            )
        )

    async def sample(self, index: int, problem: Problem, sampling: Sampling) -> Group:
        """Sample one group and grade it."""
        prompt, token_ids = self._prompt(problem)
        start_s = time.perf_counter()
        samples = await self._engine.generate(token_ids, sampling, self._template.stop)
        return await self._group(index, problem, prompt, token_ids, samples, start_s)

    async def sample_batch(self, items: Sequence[tuple[int, Problem, Sampling]]) -> list[Group]:
        """Sample several groups that enter the engine together; see `Engine.generate_together`."""
        prompts = [self._prompt(problem) for _, problem, _ in items]
        start_s = time.perf_counter()
        asked = [(ids, sampling) for (_, ids), (_, _, sampling) in zip(prompts, items, strict=True)]
        tasks = await self._engine.generate_together(asked, self._template.stop)

        async def finish(item: Any, prompt: Any, task: "asyncio.Task[list[Sample]]") -> Group:
            return await self._group(item[0], item[1], *prompt, await task, start_s)

        return list(await asyncio.gather(*map(finish, items, prompts, tasks)))

    async def load_weights(self, version: int, weights: Mapping[str, np.ndarray]) -> str:
        """Sample from new weights; returns the checksum of what the engine was fed."""
        return await self._engine.load_weights(version, weights)

    async def shutdown(self) -> None:
        """End the engine."""
        await self._engine.close()

    def _prompt(self, problem: Problem) -> tuple[str, np.ndarray]:
        prompt = self._template.render(problem.text, self._tokenizer)
        return prompt, np.array(self._tokenizer(prompt).input_ids, np.int32)

    async def _group(
        self,
        index: int,
        problem: Problem,
        prompt: str,
        prompt_token_ids: np.ndarray,
        samples: Sequence[Sample],
        start_s: float,
    ) -> Group:
        generated_s = time.perf_counter()
        verdicts = await asyncio.to_thread(self._judge, problem, samples)
        responses = tuple(
            Response(
                sample.text,
                sample.token_ids,
                sample.sampler_logprobs,
                sample.is_truncated,
                sample.version_spans,
                verdict,
            )
            for sample, verdict in zip(samples, verdicts, strict=True)
        )
        return Group(
            index=index,
            problem=problem,
            prompt=prompt,
            prompt_token_ids=prompt_token_ids,
            responses=responses,
            generate_s=generated_s - start_s,
            grade_s=time.perf_counter() - generated_s,
        )

    def _judge(self, problem: Problem, samples: Sequence[Sample]) -> list[Verdict]:
        """The oracle judges what is finished; a truncated response has its fixed reward."""
        finished = [sample.text for sample in samples if not sample.is_truncated]
        gold = problem.answers[0] if len(problem.answers) == 1 else problem.answers
        rewards, _ = self._oracle.get_reward(
            [problem.text] * len(finished), finished, [gold] * len(finished)
        )
        judged = iter(map(as_verdict, rewards))
        cut = Verdict(self._args.oracle.non_stop_fixed_reward, Status.TRUNCATED)
        return [cut if sample.is_truncated else next(judged) for sample in samples]
