"""Steps of problems: sampled by the policy, read by a codec, their code run."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from actors.policy_steps import PolicySteps
from understand_r1_zero.search.code_runner import CodeRunners
from understand_r1_zero.search.completing import complete_by_steps
from understand_r1_zero.search.step import Step
from understand_r1_zero.search.step_oracle import Completion
from understand_r1_zero.search.step_sampler import Reading, StepSampler
from understand_r1_zero.types import Problem

HINT = "\n\nHint for the next step: "


class StepWriter:
    """Writes steps of any problem.

    Args:
        policy: samples.
        reading: how samples become steps.
        tokenizer: the policy's.
        depth: of the longest solution, in steps.
        code: runs the code of steps; None: the codec's have none.
    """

    def __init__(
        self,
        policy: PolicySteps,
        reading: Reading,
        tokenizer: Any,
        depth: float,
        code: CodeRunners | None,
    ) -> None:
        self._policy = policy
        self._reading = reading
        self._tokenizer = tokenizer
        self._depth = depth
        self._code = code

    @contextlib.contextmanager
    def states_of(self, problem: Problem) -> Iterator[None]:
        """While this is entered, no code of the problem is run twice."""
        with contextlib.ExitStack() as stack:
            if self._code is not None:
                stack.enter_context(self._code.of(problem.id))
            yield

    def sampler(self, problem: Problem, seed: int) -> StepSampler:
        """Samples steps below the nodes of one tree of the problem."""

        async def observe(steps: Sequence[Step], step: Step) -> Step:
            assert self._code is not None
            with self._code.of(problem.id) as runner:
                return await runner.run(steps, step)

        return StepSampler(
            lambda hint: self.encode_prompt(self.prompt(problem.text, hint)),
            self._reading,
            self._policy.go_on,
            seed,
            observe if self._code else None,
        )

    async def complete(
        self, problem: Problem, steps: Sequence[Step], count: int, seed: int
    ) -> list[Completion]:
        """So many completions of a partial solution."""
        with self.states_of(problem):
            return await complete_by_steps(steps, self.sampler(problem, seed), count, self._depth)

    def prompt(self, problem_text: str, hint: str = "") -> str:
        """What the policy continues with the first step, by a hint where there is one."""
        text = f"{problem_text}{HINT}{hint}" if hint else problem_text
        return self._reading.codec.prompt(text)

    def encode_prompt(self, prompt: str) -> list[int]:
        """Its token ids, with the special ones that a text begins with."""
        return self._tokenizer(prompt).input_ids
