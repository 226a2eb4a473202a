"""Rewards at the ends of steps: finished responses split into steps, and valued by an oracle of steps."""

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Literal

from actors.oracle_budget import OracleBudget
from actors.policy_steps import metered
from understand_r1_zero.args_step_rewards import StepRewardArgs
from understand_r1_zero.search.codecs.step import StepCodec, ended
from understand_r1_zero.search.step import Step
from understand_r1_zero.search.step_oracle import StepOracle, StepScores
from understand_r1_zero.search.step_sampler import node_seed
from understand_r1_zero.step_ends import sampled_step_ends
from understand_r1_zero.types import Group, Problem, Response, Status, Unvalued

FIRST_RESPONSES = 50
"""If the oracle fails for each of so many at the start, it is the oracle's fault, and the run ends."""


class OracleFailed(RuntimeError):
    """The oracle of steps fails for every response."""


def step_rewards(
    values: Sequence[float], kind: Literal["value", "gain"], start: float, coefficient: float
) -> tuple[float, ...]:
    """What steps of these values earn: `c v_k`, or their gains `c (v_k - v_{k-1})` with `v_0 = start`.

    Gains add up to `c (v_K - v_0)`, however many steps there are: with the value as the potential they leave
    the order of solutions that end equally well as it is. Values add up to more where there are more steps.

    Source: gains: Ng, Harada and Russell 1999, "Policy invariance under reward transformations", with
    gamma = 1 and without the potential 0 of terminal states; values: Math-Shepherd, Wang et al. 2024,
    arXiv:2312.08935, section 3.5.
    """
    if kind == "value":
        return tuple(coefficient * value for value in values)
    return tuple(coefficient * (after - before) for before, after in pairwise((start, *values)))


@dataclass
class StepRewards:
    """Gives responses the rewards of their steps; any number of groups at once.

    Args:
        name: of the oracle, for the user.
        oracle: of steps.
        codec: tells them apart.
        tokenizer: the policy's.
        flags: what values are worth, and how long they may take.
        budget: of the tokens that the oracle samples.
        seed: of the run.
        is_dead: an engine has ended, so that errors are not the oracle's.
        warnings: for the user; the next group to be finished takes them along.
    """

    name: str
    oracle: StepOracle
    codec: StepCodec
    tokenizer: Any
    flags: StepRewardArgs
    budget: OracleBudget
    seed: int
    is_dead: Callable[[], bool]
    warnings: list[str] = field(default_factory=list)
    _num_valued: int = 0
    _num_failed: int = 0

    async def added(self, group: Group) -> Group:
        """The group with the rewards of its responses' steps, where they could be had.

        Raises:
            OracleFailed: the oracle has failed for each of the first `FIRST_RESPONSES` responses.
        """
        started_s = time.perf_counter()
        seeds = (node_seed(self.seed, f"{group.index}.{i}") for i in range(len(group.responses)))
        found = await asyncio.gather(
            *(
                self._add(group.problem, response, seed)
                for response, seed in zip(group.responses, seeds, strict=True)
            )
        )
        warnings, self.warnings[:] = tuple(self.warnings), []
        return replace(
            group,
            responses=tuple(response for response, _ in found),
            oracle_tokens=sum(num_tokens for _, num_tokens in found),
            oracle_s=time.perf_counter() - started_s,
            warnings=(*group.warnings, *warnings),
        )

    async def _add(self, problem: Problem, response: Response, seed: int) -> tuple[Response, int]:
        """The response, and the tokens that were sampled to value it."""
        if response.is_truncated:
            return replace(response, unvalued=Unvalued.TRUNCATED), 0
        if response.verdict.status is Status.UNKNOWN:
            return replace(response, unvalued=Unvalued.UNKNOWN), 0
        steps = self.codec.split(response.text)
        if not steps:
            return replace(response, unvalued=Unvalued.NO_STEPS), 0
        if not await self.budget.admit():
            return replace(response, unvalued=Unvalued.BUDGET), 0
        with metered() as meter:
            try:
                values = await self._values(problem, ended(steps, self.codec), seed)
            finally:
                await self.budget.settle(meter.num_tokens)
        if isinstance(values, Unvalued):
            return replace(response, unvalued=values), meter.num_tokens
        token_ids = response.token_ids.tolist()
        ends = sampled_step_ends(
            len(token_ids),
            lambda count: self._decode(token_ids[:count]),
            [step.text for step in steps],
        )
        middle = self.oracle.scale.middle
        earned = step_rewards(values, self.flags.step_reward, middle, self.flags.step_reward_coef)
        verdict = replace(response.verdict, step_rewards=earned)
        return replace(response, verdict=verdict, step_ends=ends), meter.num_tokens

    async def _values(
        self, problem: Problem, steps: Sequence[Step], seed: int
    ) -> tuple[float, ...] | Unvalued:
        limit_s = self.flags.oracle_timeout_s
        try:
            async with asyncio.timeout(limit_s):
                values = _checked(await self.oracle.score(problem, steps, 0, seed), len(steps))
        except TimeoutError as error:
            why = Unvalued.TIMEOUT
            reason = str(error) or f"no values within --oracle_timeout_s {limit_s:g}"
            cause: Exception = error
        except Exception as error:
            # Oracles may be servers or models of any kind: one response must not hold up its group, and
            # the run with it.
            if self.is_dead():
                raise
            why, reason, cause = Unvalued.ERROR, f"{type(error).__name__}: {error}", error
        else:
            self._num_valued += 1
            return values
        self._num_failed += 1
        if self._num_failed == 1:
            self.warnings.append(
                f"--oracle {self.name} failed for a response, which earns its outcome alone ({reason}); this "
                "is told once, and counted in actor/oracle_skipped"
            )
        if not self._num_valued and self._num_failed >= FIRST_RESPONSES:
            raise OracleFailed(
                f"--oracle {self.name} failed for each of its first {self._num_failed} responses; the last: "
                f"{reason}"
            ) from cause
        return why

    def _decode(self, token_ids: Sequence[int]) -> str:
        # As the engine decodes responses.
        return self.tokenizer.decode(
            token_ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )


def _checked(scores: StepScores, num_steps: int) -> tuple[float, ...]:
    values = scores.values
    if len(values) != num_steps or not all(map(math.isfinite, values)):
        raise ValueError(
            f"an oracle must give a finite value for each of {num_steps} steps, got {values}"
        )
    return values
