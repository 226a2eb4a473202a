"""The verifying actor: one token classifier after another reads the values of whole solutions."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

from actors.start_engine import context_tokens
from actors.start_oracle import start_reader
from oracles.prm import ClassifierPrm
from oracles.value import ValueOracle
from understand_r1_zero.args import Args
from understand_r1_zero.search.codecs.registry import load_codec
from understand_r1_zero.search.step import Step
from understand_r1_zero.search.step_oracle import Scale, StepOracle
from understand_r1_zero.templates import load_template
from understand_r1_zero.tokenizer import tokenizer_at
from understand_r1_zero.types import Problem
from understand_r1_zero.values import is_value_model

Solutions = tuple[Problem, Sequence[Sequence[Step]]]
"""A problem, and different solutions of it."""


class VerifyingActor:
    """Values solutions by the model that was opened last; any number of problems may be under way.

    Args:
        args: all flags.
        cores: positions among the cores that the engine may use; empty on GPUs.
    """

    def __init__(self, args: Args, cores: tuple[int, ...] = ()) -> None:
        self._args = args
        self._cores = cores
        self._stack = AsyncExitStack()
        self._oracle: StepOracle | None = None

    async def open(self, directory: str, questions: Sequence[Solutions]) -> tuple[Scale, int]:
        """End the model before, and load one that can read these; its scale, and how many do not fit.

        What does not fit into the context that the model was made for has the lowest value where it is cut off.
        """
        await self.close()
        flags = replace(self._args.valuing, value_model=directory)
        args = replace(self._args, valuing=flags)
        trust = args.model.trust_remote_code
        tokenizer = tokenizer_at(directory, trust, "--verifiers")
        template = load_template(args.data.prompt_template)
        # The verifier's own tokenizer, as its training has it: templates of chats ask for one.
        codec = load_codec(args.steps.step_codec, template, tokenizer)
        tags = int(bool(flags.prm_tag))
        lengths = [
            num_prompt + len(tokenizer(_text(steps)).input_ids) + tags * len(steps)
            for problem, solutions in questions
            for num_prompt in [len(tokenizer(codec.prompt(problem.text)).input_ids)]
            for steps in solutions
        ]
        context = context_tokens(args, directory, max(lengths, default=1))
        read = start_reader(args, len(self._cores), self._stack, context).read
        if is_value_model(Path(directory)):
            self._oracle = ValueOracle(directory, tokenizer, codec.prompt, read)
        else:
            self._oracle = ClassifierPrm(tokenizer, codec.prompt, read, flags.prm_tag)
        return self._oracle.scale, sum(length > context for length in lengths)

    async def read(
        self, problem: Problem, solutions: Sequence[Sequence[Step]]
    ) -> list[tuple[float, ...]]:
        """The values of all steps of each solution, one reading a solution."""
        assert self._oracle is not None, "a verifier is opened first"
        scores = await asyncio.gather(*(self._oracle.score(problem, each) for each in solutions))
        return [each.values for each in scores]

    async def close(self) -> None:
        """End the model's engine, so that its memory is free."""
        self._oracle = None
        stack, self._stack = self._stack, AsyncExitStack()
        await stack.aclose()


def _text(steps: Sequence[Step]) -> str:
    return "".join(step.text for step in steps)
