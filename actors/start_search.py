"""From the flags to running searches: codec, interpreter, grader, oracle."""

from concurrent.futures import Executor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from actors.exploring import Explorer
from actors.policy_steps import PolicySteps
from actors.searching import Searcher
from actors.start_engine import context_tokens
from actors.start_oracle import Hands, start_oracle
from actors.step_writer import StepWriter
from actors.valuing import AnswerGrader, Valuer
from understand_r1_zero.args import Args
from understand_r1_zero.evaluate import evaluation_sampling
from understand_r1_zero.grading.conventions import conventions_of
from understand_r1_zero.grading.grader import Grader
from understand_r1_zero.interpreter.interpreter import Interpreter
from understand_r1_zero.interpreter.limits import Limits as CodeLimits
from understand_r1_zero.search.code_runner import CodeRunners
from understand_r1_zero.search.codecs.fault_counts import FaultCounts
from understand_r1_zero.search.codecs.registry import CODE_CODECS, load_codec
from understand_r1_zero.search.settings import settings_of
from understand_r1_zero.search.step_sampler import Reading
from understand_r1_zero.templates import load_template

if TYPE_CHECKING:
    from actors.engine import Engine


CODE_STATES = 512
"""Interpreters kept, one a partial solution; those of many questions are needed again and again."""


@dataclass(frozen=True)
class RunningSearch:
    """Searches, and the engines and processes behind them."""

    searcher: Searcher
    explorer: Explorer
    engine: "Engine"
    policy: PolicySteps
    valuer: Valuer
    stack: AsyncExitStack

    def statistics(self) -> dict[str, float]:
        """What was done since the start, and how many values are waited for."""
        found = {
            "nodes": float(self.policy.num_steps),
            "sampled_tokens": float(self.policy.num_tokens),
            "waiting_values": float(self.valuer.num_waiting),
            "oracle_tokens": float(self.valuer.oracle_tokens),
        }
        if hits := self.engine.cache_hits:
            found |= {"prompt_tokens": hits.num_asked, "cached_tokens": hits.num_hits}
        return found

    async def close(self) -> None:
        """End the engines and processes."""
        await self.stack.aclose()


async def start_search(
    args: Args,
    engine: "Engine",
    tokenizer: Any,
    num_cores: int,
    threads: Executor,
) -> RunningSearch:
    """Start all that searches need besides the policy's engine.

    Raises:
        ValueError: the flags name models that are not what they should be.
        SandboxError: steps have code, and there is no safe way to run it.
    """
    steps, grading = args.steps, args.grading
    template = load_template(args.data.prompt_template)
    codec = load_codec(steps.step_codec, template, tokenizer)
    context = context_tokens(args, args.model.pretrain)
    policy = PolicySteps(engine, tokenizer, evaluation_sampling(args), codec.stop, context)
    warnings: list[str] = []
    reading = Reading(
        codec,
        policy.encode,
        FaultCounts(codec.name),
        warnings.append,
        max_code_errors=steps.max_code_errors,
        keeps_faults=steps.keep_faults,
    )
    settings = settings_of(args.search)
    async with AsyncExitStack() as stack:
        code = None
        if steps.step_codec in CODE_CODECS:
            limits = CodeLimits(
                wall_s=steps.code_wall_s,
                memory_bytes=steps.code_memory_mb * 2**20,
                max_states=CODE_STATES,
            )
            interpreter = Interpreter(limits, is_unsafe=steps.unsafe_interpreter)
            code = CodeRunners(stack.enter_context(interpreter), codec, threads)
        writer = StepWriter(policy, reading, tokenizer, settings.depth, code)
        grader = Grader(conventions_of(grading), grading.grader_workers, grading.grader_timeout_s)
        stack.callback(grader.close)
        answers = AnswerGrader(grader)
        valuer = Valuer(answers, settings.scale, has_graded_ends=args.valuing.graded_ends)
        oracle = None
        if settings.needs_values:
            hands = Hands(engine, policy, writer, codec, answers, valuer, num_cores)
            oracle = await start_oracle(args, hands, stack)
        searcher = Searcher(policy, writer, settings, answers, valuer, oracle, warnings)
        explorer = Explorer(writer, answers, args.valuing, warnings)
        return RunningSearch(searcher, explorer, engine, policy, valuer, stack.pop_all())
    raise AssertionError("unreachable")
