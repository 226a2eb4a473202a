"""Finds the oracles of steps that `--oracle` names for a search, alone or weighted: `prm=0.7,math=0.3`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from oracles.combined import CombinedOracle
from oracles.monte_carlo import FirstErrorOracle, MonteCarloOracle
from oracles.outcome import OutcomeOracle
from oracles.prm import ClassifierPrm, GenerativePrm
from oracles.remote import RemoteOracle
from oracles.self_critic import SelfCriticOracle
from oracles.tree import MakeEvaluate, MakeExpand, TreeOracle
from oracles.value import ValueOracle
from understand_r1_zero.args_search import StepOracleArgs
from understand_r1_zero.search.grow import Rules
from understand_r1_zero.search.oracle_names import parse_oracles
from understand_r1_zero.search.step_oracle import (
    SIGNED,
    Complete,
    Grade,
    ReadLogprobs,
    ReadOutputs,
    Scale,
    StepOracle,
    Write,
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What oracles of steps are made of: flags, and callables of the run's engines.

    Only those of the oracles that are asked for need be there. `tokenizer`, `read_outputs` and
    `read_logprobs` are the value model's or the process reward model's; `tree_scale` is that of what
    `make_evaluate` gives.
    """

    flags: StepOracleArgs
    grade: Grade
    complete: Complete | None = None
    write: Write | None = None
    tokenizer: Any = None
    prompt: Callable[[str], str] | None = None
    read_outputs: ReadOutputs | None = None
    read_logprobs: ReadLogprobs | None = None
    make_expand: MakeExpand | None = None
    make_evaluate: MakeEvaluate | None = None
    tree_rules: Rules | None = None
    tree_scale: Scale = SIGNED


def value_oracle(parts: Parts) -> ValueOracle:
    """The value model's."""
    read, prompt = _given(parts.read_outputs), _given(parts.prompt)
    return ValueOracle(parts.flags.value_model, _given(parts.tokenizer), prompt, read)


def _prm(parts: Parts) -> StepOracle:
    tokenizer = _given(parts.tokenizer)
    if parts.flags.prm_kind == "generative":
        return GenerativePrm(tokenizer, _given(parts.read_logprobs))
    read, prompt = _given(parts.read_outputs), _given(parts.prompt)
    return ClassifierPrm(tokenizer, prompt, read, parts.flags.prm_tag)


def _monte_carlo(parts: Parts) -> StepOracle:
    complete, flags = _given(parts.complete), parts.flags
    mode = flags.mc_mode
    if mode == "linear" or mode == "binary":
        return FirstErrorOracle(
            complete,
            parts.grade,
            scan=mode,
            num_completions=flags.mc_completions,
            round_completions=flags.mc_round,
        )
    return MonteCarloOracle(
        complete,
        parts.grade,
        estimate=mode,
        num_completions=flags.mc_completions,
        round_completions=flags.mc_round,
        threshold=flags.mc_threshold or None,
    )


def _tree(parts: Parts) -> StepOracle:
    return TreeOracle(
        _given(parts.tree_rules),
        _given(parts.make_expand),
        _given(parts.make_evaluate),
        parts.tree_scale,
        parts.grade,
    )


def _self_critic(parts: Parts) -> StepOracle:
    return SelfCriticOracle(_given(parts.write), parts.flags.critic_samples)


def _remote(parts: Parts) -> StepOracle:
    flags = parts.flags
    return RemoteOracle(
        flags.remote_url,
        batch_size=flags.remote_batch_size,
        timeout_s=flags.remote_timeout_s,
        sends_answers=flags.remote_sends_answers,
    )


FACTORIES: dict[str, Callable[[Parts], StepOracle]] = {
    "math": lambda parts: OutcomeOracle(parts.grade),
    "value": value_oracle,
    "prm": _prm,
    "monte_carlo": _monte_carlo,
    "tree": _tree,
    "self_critic": _self_critic,
    "remote": _remote,
}


def load_step_oracle(spec: str, parts: Parts, scale: Scale = SIGNED) -> StepOracle:
    """The oracle that is named, in its own scale, or the weighted mean of several, in `scale`.

    Raises:
        ValueError: as `parse_oracles`, or as the oracle has it.
    """
    weights = parse_oracles(spec)
    weighted = [(FACTORIES[name](parts), weight) for name, weight in weights.items()]
    return weighted[0][0] if len(weighted) == 1 else CombinedOracle(weighted, scale)


def _given(part: T | None) -> T:
    assert part is not None, "whoever names an oracle hands its parts"
    return part
