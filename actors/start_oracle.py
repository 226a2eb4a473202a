"""From the flags to the oracle of a search, with the engines that it reads."""

from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import psutil

from actors.start_engine import context_tokens, engine_threads
from actors.start_hands import Hands
from oracles.load_steps import Parts, load_step_oracle, value_oracle
from oracles.outcome import OutcomeOracle
from understand_r1_zero.args import Args
from understand_r1_zero.search.oracle_names import parse_oracles
from understand_r1_zero.search.settings import published
from understand_r1_zero.search.step_oracle import ReadLogprobs, ReadOutputs, StepOracle
from understand_r1_zero.tokenizer import tokenizer_at

if TYPE_CHECKING:
    from actors.llm import EngineSettings
    from actors.reader import Reader


async def start_oracle(
    args: Args, hands: Hands, stack: AsyncExitStack, spec: str = ""
) -> StepOracle:
    """The oracle of this name, or that of searches (`--search_oracle`, or else `--oracle`).

    The flags were checked (`validate_search.py`); `stack` ends its engines.
    """
    flags = args.valuing
    spec = spec or args.searches_by
    names = parse_oracles(spec)
    model = flags.value_model
    read_outputs: ReadOutputs | None = None
    read_logprobs: ReadLogprobs = hands.engine.next_logprobs
    tokenizer: Any = None
    is_classified = "prm" in names and flags.prm_kind == "classifier"
    if is_classified or "value" in names or ("tree" in names and model):
        reader = start_reader(args, hands.num_cores, stack)
        hands.are_dead.append(lambda: reader.is_dead)
        read_outputs = reader.read
        tokenizer = tokenizer_at(model)
    elif "prm" in names:
        tokenizer = tokenizer_at(model or args.model.pretrain)
        if model:
            read_logprobs = _start_generator(args, hands, stack)

    parts = Parts(
        flags=flags,
        grade=hands.answers.grade,
        complete=hands.writer.complete,
        write=hands.policy.write,
        tokenizer=tokenizer,
        prompt=hands.codec.prompt,
        read_outputs=read_outputs,
        read_logprobs=read_logprobs,
    )
    if "tree" in names:
        parts = _with_search(parts, hands)
    return load_step_oracle(spec, parts, hands.valuer.scale)


def _with_search(parts: Parts, hands: Hands) -> Parts:
    """What the oracle `tree` needs: its searches value steps by the value model, or ends by the grader.

    They go as deep as the search that asks: in fewer steps a long partial solution could not end.
    """
    inner = value_oracle(parts) if parts.flags.value_model else OutcomeOracle(parts.grade)
    simulations = parts.flags.tree_simulations
    return replace(
        parts,
        make_expand=hands.writer.sampler,
        make_evaluate=lambda problem, seed: hands.valuer.evaluator(problem, seed, inner),
        tree_rules=published("mcts", simulations=simulations, depth=hands.depth).rules,
        tree_scale=hands.valuer.scale,
    )


def start_reader(
    args: Args, num_cores: int, stack: AsyncExitStack, max_model_len: int = 0
) -> "Reader":
    """Start the engine of `--value_model`; `max_model_len` is its context, 0: as long as the policy's."""
    from actors.reader import Reader

    settings = _settings(args, num_cores, "pooling")
    if max_model_len:
        settings = replace(settings, max_model_len=max_model_len)
    reader = Reader(settings)
    stack.push_async_callback(reader.close)
    return reader


def _start_generator(args: Args, hands: Hands, stack: AsyncExitStack) -> ReadLogprobs:
    from actors.engine import Engine

    engine = Engine(_settings(args, hands.num_cores, "generate"))
    stack.push_async_callback(engine.close)
    hands.are_dead.append(lambda: engine.is_dead)
    return engine.next_logprobs


def _settings(args: Args, num_cores: int, runner: Any) -> "EngineSettings":
    from actors.llm import EngineSettings

    model = args.valuing.value_model
    return EngineSettings(
        model=model,
        dtype=args.model.dtype,
        max_model_len=context_tokens(args, model),
        runner=runner,
        num_threads=engine_threads(model, num_cores),
        max_cache_bytes=psutil.virtual_memory().available // (8 * max(1, args.cluster.num_actors)),
        gpu_memory_share=args.valuing.value_gpu_ratio,
        trust_remote_code=args.model.trust_remote_code,
    )
