"""From the flags to what searches and oracles of steps share: codec, writer, interpreter, grader."""

from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from actors.policy_steps import PolicySteps
from actors.start_engine import context_tokens
from actors.step_writer import StepWriter
from actors.valuing import AnswerGrader, Valuer
from understand_r1_zero.args import Args
from understand_r1_zero.grading.conventions import conventions_of
from understand_r1_zero.grading.grader import Grader
from understand_r1_zero.interpreter.interpreter import Interpreter
from understand_r1_zero.interpreter.limits import Limits as CodeLimits
from understand_r1_zero.search.code_runner import CodeRunners
from understand_r1_zero.search.codecs.fault_counts import FaultCounts
from understand_r1_zero.search.codecs.registry import CODE_CODECS, load_codec
from understand_r1_zero.search.codecs.step import StepCodec
from understand_r1_zero.search.step_oracle import Scale
from understand_r1_zero.search.step_sampler import Reading
from understand_r1_zero.templates import load_template
from understand_r1_zero.types import Sampling

if TYPE_CHECKING:
    from actors.engine import Engine

CODE_STATES = 512
"""Interpreters kept, one a partial solution; those of many questions are needed again and again."""


@dataclass(frozen=True)
class StepRules:
    """How steps are sampled, how many a solution may have, and the scale of their values."""

    sampling: Sampling
    depth: float
    scale: Scale


@dataclass(frozen=True)
class Hands:
    """What an actor has that searches and oracles use.

    `warnings` are for the user; `are_dead` tell of engines, started for an oracle, that have ended.
    """

    engine: "Engine"
    policy: PolicySteps
    writer: StepWriter
    codec: StepCodec
    answers: AnswerGrader
    valuer: Valuer
    num_cores: int
    depth: float
    warnings: list[str]
    are_dead: list[Callable[[], bool]] = field(default_factory=list)

    def is_dead(self) -> bool:
        """Whether any engine has ended, by itself or not."""
        return self.engine.is_dead or any(is_dead() for is_dead in self.are_dead)


def start_hands(
    args: Args,
    engine: "Engine",
    tokenizer: Any,
    num_cores: int,
    threads: Executor,
    rules: StepRules,
    stack: AsyncExitStack,
) -> Hands:
    """Start what is needed besides the policy's engine; `stack` ends it.

    Raises:
        SandboxError: steps have code, and there is no safe way to run it.
    """
    steps, grading = args.steps, args.grading
    codec = load_codec(steps.step_codec, load_template(args.data.prompt_template), tokenizer)
    context = context_tokens(args, args.model.pretrain)
    policy = PolicySteps(engine, tokenizer, rules.sampling, codec.stop, context)
    warnings: list[str] = []
    reading = Reading(
        codec,
        policy.encode,
        FaultCounts(codec.name),
        warnings.append,
        max_code_errors=steps.max_code_errors,
        keeps_faults=steps.keep_faults,
    )
    code = None
    if steps.step_codec in CODE_CODECS:
        limits = CodeLimits(
            wall_s=steps.code_wall_s,
            memory_bytes=steps.code_memory_mb * 2**20,
            max_states=CODE_STATES,
        )
        interpreter = Interpreter(limits, is_unsafe=steps.unsafe_interpreter)
        code = CodeRunners(stack.enter_context(interpreter), codec, threads)
    writer = StepWriter(policy, reading, tokenizer, rules.depth, code)
    grader = Grader(conventions_of(grading), grading.grader_workers, grading.grader_timeout_s)
    stack.callback(grader.close)
    answers = AnswerGrader(grader)
    valuer = Valuer(answers, rules.scale, has_graded_ends=args.valuing.graded_ends)
    return Hands(engine, policy, writer, codec, answers, valuer, num_cores, rules.depth, warnings)
