"""The sampling actor: problems in, graded groups out. vLLM is imported only once it starts."""

import asyncio
import contextlib
import itertools
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from actors.asking import Asked, requests_of
from actors.samples import Sample
from oracles.load import as_verdict, load_oracle
from understand_r1_zero.args import Args
from understand_r1_zero.rewards import response_reward
from understand_r1_zero.search.explore import GivenSolution
from understand_r1_zero.templates import load_template
from understand_r1_zero.tokenizer import load_tokenizer
from understand_r1_zero.types import Group, Problem, Response, Sampling, Status, Verdict

if TYPE_CHECKING:
    from actors.start_search import RunningSearch
    from actors.start_step_rewards import RunningStepRewards

GRADING_THREADS = 32
"""Groups graded at once: an oracle may spend its time waiting, for a server or a deadline."""
WATCH_S = 0.5

_TRUNCATED = Verdict(0.0, Status.TRUNCATED)


class SamplingActor:
    """One engine, one oracle, and the policy that was published last.

    Any number of calls may be under way: groups are sampled together, and one is graded while others
    are still sampled. The process ends when its engine does, so that it can be replaced.

    Args:
        args: all flags.
        actor_index: position among the actors; each has a random stream of its own.
        cores: positions among the cores this process may use, for it and its children; empty on GPUs.
        rewards_steps: start the oracle of steps that `--oracle` names, for requests that ask for it.
    """

    def __init__(
        self,
        args: Args,
        actor_index: int,
        cores: tuple[int, ...] = (),
        rewards_steps: bool = False,
    ) -> None:
        self._args = args
        self._actor_index = actor_index
        self._cores = cores
        self._rewards_steps = rewards_steps
        self._template = load_template(args.data.prompt_template)
        self._num_groups = 0
        self._num_tokens = 0
        self._is_closing = False
        self._search: RunningSearch | None = None
        self._step_rewards: RunningStepRewards | None = None

    async def start(self) -> dict[str, float]:
        """Load tokenizer, oracle and engine; returns how long that took."""
        started_s = time.perf_counter()
        if self._cores:
            usable = sorted(os.sched_getaffinity(0))
            os.sched_setaffinity(0, {usable[core % len(usable)] for core in self._cores})
        self._tokenizer = load_tokenizer(self._args.model)
        self._oracle = load_oracle(self._args, self._template.extraction)
        self._threads = ThreadPoolExecutor(GRADING_THREADS, "oracle")
        from actors.start_engine import start_engine

        self._engine = start_engine(self._args, self._actor_index, len(self._cores))
        shared = (self._args, self._engine, self._tokenizer, len(self._cores), self._threads)
        if self._args.is_searched:
            from actors.start_search import start_search

            self._search = await start_search(*shared)
        if self._rewards_steps:
            from actors.start_step_rewards import start_step_rewards

            self._step_rewards = await start_step_rewards(*shared)
        self._watch = asyncio.create_task(self._end_with_engine())
        return {"start_s": time.perf_counter() - started_s, "pid": os.getpid()}

    async def sample(self, index: int, problem: Problem, sampling: Sampling) -> Group:
        """One graded group; `index` is the caller's."""
        asked = self._ask(index, problem, sampling)
        with self._engine_or_end():
            parts = await asyncio.gather(
                *(
                    self._engine.generate(asked.token_ids, each, self._template.stop)
                    for each in requests_of(sampling)
                )
            )
        return await self._grade(asked, list(itertools.chain(*parts)))

    async def search(self, index: int, problem: Problem, sampling: Sampling) -> Group:
        """Search one problem; the chosen solution is the group's one response."""
        assert self._search is not None, "--method names a search"
        with self._engine_or_end():
            return await self._search.searcher.search(index, problem, sampling)

    async def explore(
        self, index: int, problem: Problem, sampling: Sampling, given: GivenSolution
    ) -> Group:
        """Complete a given solution from its steps on; it is the group's one response."""
        assert self._search is not None, "--method names a search"
        with self._engine_or_end():
            return await self._search.explorer.explore(index, problem, sampling, given)

    async def sample_batch(self, items: Sequence[tuple[int, Problem, Sampling]]) -> list[Group]:
        """Several groups whose requests enter the engine together, in order.

        With seeds, and with nothing else being sampled, the responses follow from the items and the
        policy alone, to the last bit.
        """
        asked = [self._ask(*item) for item in items]
        requests = [requests_of(sampling) for _, _, sampling in items]
        prompts = [
            (each.token_ids, request)
            for each, own in zip(asked, requests, strict=True)
            for request in own
        ]

        async def follow(asked: Asked, parts: "list[asyncio.Task[list[Sample]]]") -> Group:
            return await self._grade(asked, list(itertools.chain(*[await part for part in parts])))

        with self._engine_or_end():
            tasks = iter(await self._engine.generate_together(prompts, self._template.stop))
            parts = [list(itertools.islice(tasks, len(own))) for own in requests]
            return await asyncio.gather(*map(follow, asked, parts))

    async def load_weights(self, version: int, weights: Mapping[str, np.ndarray]) -> str:
        """Sample from new weights from now on; returns the checksum of what the engine was fed."""
        await self._begin_step()
        with self._engine_or_end():
            return await self._engine.load_weights(version, weights)

    async def connect_nccl(self, host: str, port: int, rank_offset: int, world_size: int) -> None:
        """Join the learner's NCCL group with this actor's GPUs, from `rank_offset` on."""
        with self._engine_or_end():
            await self._engine.transfer.connect_nccl(host, port, rank_offset, world_size)

    async def begin_weights(self) -> None:
        """Stop sampling and be ready for weights from a learner's GPU; wakes a sleeping engine."""
        with self._engine_or_end():
            await self._engine.begin_weights()

    async def receive_nccl(self, tensors: Mapping[str, Sequence[Any]]) -> None:
        """Take the tensors, described so (`weights.describe`), that the learner sends meanwhile."""
        with self._engine_or_end():
            await self._engine.transfer.receive_nccl(tensors)

    async def receive_ipc(self, shown: Sequence[bytes]) -> None:
        """Copy the tensors that learners show (`weights.show`) on this actor's GPUs."""
        with self._engine_or_end():
            await self._engine.transfer.receive_ipc(shown)

    async def end_weights(self, version: int) -> str:
        """Sample from the weights received; returns the checksum of what the engine was fed."""
        await self._begin_step()
        with self._engine_or_end():
            return await self._engine.end_weights(version)

    async def sleep(self) -> None:
        """Give the GPUs' memory to the learner, once nothing is being sampled."""
        with self._engine_or_end():
            await self._engine.sleep()

    async def wake_up(self) -> None:
        """Take the memory back without new weights."""
        with self._engine_or_end():
            await self._engine.wake_up()

    async def reset_prefix_cache(self) -> None:
        """Forget the keys and values of all prompts."""
        with self._engine_or_end():
            await self._engine.reset_prefix_cache()

    async def statistics(self) -> dict[str, float]:
        """Groups and response tokens since the start, and what searches did."""
        found = {"groups": float(self._num_groups), "tokens": float(self._num_tokens)}
        return found if self._search is None else found | self._search.statistics()

    async def shutdown(self) -> None:
        """End the engine and the oracle; calls under way fail."""
        self._is_closing = True
        self._watch.cancel()
        for running in (self._search, self._step_rewards):
            if running is not None:
                await running.close()
        await self._engine.close()
        getattr(self._oracle, "close", lambda: None)()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _ask(self, index: int, problem: Problem, sampling: Sampling) -> Asked:
        prompt = self._template.render(problem.text, self._tokenizer)
        token_ids = np.array(self._tokenizer(prompt).input_ids, np.int32)
        has = (sampling.has_greedy, sampling.has_step_rewards)
        return Asked(index, problem, prompt, token_ids, time.perf_counter(), *has)

    async def _grade(self, asked: Asked, samples: Sequence[Sample]) -> Group:
        """The graded group; the greedy sample, where one was asked for, is the last."""
        sampled_s = time.perf_counter()
        loop = asyncio.get_running_loop()
        judged = await loop.run_in_executor(
            self._threads, self._judge_samples, asked.problem, samples
        )
        responses = tuple(
            Response(
                text=sample.text,
                token_ids=sample.token_ids,
                sampler_logprobs=sample.sampler_logprobs,
                is_truncated=sample.is_truncated,
                version_spans=sample.version_spans,
                verdict=self._rewarded(verdict, sample),
            )
            for sample, verdict in zip(samples, judged, strict=True)
        )
        self._num_groups += 1
        self._num_tokens += sum(len(response.token_ids) for response in responses)
        num_members = len(responses) - asked.has_greedy
        group = Group(
            index=asked.index,
            problem=asked.problem,
            prompt=asked.prompt,
            prompt_token_ids=asked.token_ids,
            responses=responses[:num_members],
            generate_s=sampled_s - asked.at_s,
            grade_s=time.perf_counter() - sampled_s,
            greedy=responses[-1] if asked.has_greedy else None,
        )
        if not asked.has_step_rewards:
            return group
        assert self._step_rewards is not None, "--oracle names an oracle of steps"
        return await self._step_rewards.rewards.added(group)

    def _judge_samples(self, problem: Problem, samples: Sequence[Sample]) -> list[Verdict]:
        """A verdict for each sample, those that were cut not shown to the oracle.

        Where all were cut, the rule-based oracle still says whether the gold answer can be read.
        """
        texts = [sample.text for sample in samples if not sample.is_truncated]
        if not texts and self._args.oracle.is_rule_based:
            [of_nothing] = self._judge(problem, [""])
            if of_nothing.status is Status.UNKNOWN:
                return [of_nothing] * len(samples)
        judged = iter(self._judge(problem, texts))
        return [_TRUNCATED if sample.is_truncated else next(judged) for sample in samples]

    def _judge(self, problem: Problem, texts: Sequence[str]) -> list[Verdict]:
        if not texts:
            return []
        golds = problem.answers[0] if len(problem.answers) == 1 else problem.answers
        rewards, _ = self._oracle.get_reward(
            [problem.text] * len(texts), list(texts), [golds] * len(texts), len(texts)
        )
        if len(rewards) != len(texts):
            raise ValueError(
                f"--oracle {self._args.oracle.oracle} returned {len(rewards)} rewards for "
                f"{len(texts)} responses; get_reward must return one of each"
            )
        return [as_verdict(reward) for reward in rewards]

    def _rewarded(self, judged: Verdict, sample: Sample) -> Verdict:
        """The verdict with the reward that the flags give, over the oracle's own if it is a user's."""
        own_reward = None if self._args.oracle.is_rule_based else judged.reward
        num_tokens, max_tokens = len(sample.token_ids), self._args.sampling.generate_max_length
        reward = response_reward(
            judged.status, num_tokens, max_tokens, self._args.reward, own_reward
        )
        return replace(judged, reward=reward)

    @contextlib.contextmanager
    def _engine_or_end(self) -> Iterator[None]:
        try:
            yield
        finally:
            if self._engine.is_dead and not self._is_closing:
                _end("the engine died")

    async def _begin_step(self) -> None:
        """What oracles may spend is by publication."""
        if self._step_rewards is not None:
            await self._step_rewards.rewards.budget.renew()

    async def _end_with_engine(self) -> None:
        # A call that waits for the engine core does not hear of its death.
        while not self._is_engine_dead():
            await asyncio.sleep(WATCH_S)
        _end("the engine died")

    def _is_engine_dead(self) -> bool:
        """Of the policy, or of what values its steps in training."""
        running = self._step_rewards
        return self._engine.is_dead if running is None else running.rewards.is_dead()


def _end(reason: str) -> None:
    print(f"this actor ends: {reason}", file=sys.stderr, flush=True)
    os._exit(1)
