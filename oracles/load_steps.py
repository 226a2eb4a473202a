"""Finds the oracles of steps that `--oracle` names for a search, alone or weighted: `prm=0.7,math=0.3`."""

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from oracles.combined import CombinedOracle
from oracles.monte_carlo import FirstErrorOracle, MonteCarloOracle
from oracles.outcome import OutcomeOracle
from oracles.prm import ClassifierPrm, GenerativePrm
from oracles.remote import RemoteOracle
from oracles.self_critic import CRITIC_PROMPT, SelfCriticOracle
from oracles.tree import MakeEvaluate, MakeExpand, TreeOracle
from understand_r1_zero.search.grow import Rules
from understand_r1_zero.search.step_oracle import (
    PROBABILITY,
    SIGNED,
    Complete,
    Grade,
    ReadLogprobs,
    ReadOutputs,
    Scale,
    StepOracle,
    Write,
)
from understand_r1_zero.sources import nearest
from understand_r1_zero.templates import Template

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What oracles of steps are made of: callables of the run's engines, and settings.

    Only those of the oracles that are asked for need be there. A process reward model is a classifier where
    there are `read_outputs`, else a generative one.
    """

    grade: Grade
    complete: Complete | None = None
    write: Write | None = None
    read_outputs: ReadOutputs | None = None
    read_logprobs: ReadLogprobs | None = None
    make_expand: MakeExpand | None = None
    make_evaluate: MakeEvaluate | None = None
    tree_rules: Rules | None = None
    tree_scale: Scale = SIGNED
    """Of what `make_evaluate` gives."""
    prm_tokenizer: Any = None
    prm_template: Template | None = None
    prm_tag: str = ""
    mc_mode: Literal["hard", "soft", "linear", "binary"] = "hard"
    mc_completions: int = 8
    mc_round: int = 4
    mc_threshold: float | None = None
    critic_samples: int = 1
    critic_prompt: str = CRITIC_PROMPT
    remote_url: str = ""
    remote_scale: Scale = PROBABILITY
    remote_batch_size: int = 32
    remote_timeout_s: float = 60.0
    remote_sends_answers: bool = False


def _prm(parts: Parts) -> StepOracle:
    tokenizer = _given(parts.prm_tokenizer)
    if parts.read_outputs is None:
        return GenerativePrm(tokenizer, _given(parts.read_logprobs))
    return ClassifierPrm(tokenizer, _given(parts.prm_template), parts.read_outputs, parts.prm_tag)


def _monte_carlo(parts: Parts) -> StepOracle:
    complete, mode = _given(parts.complete), parts.mc_mode
    if mode == "linear" or mode == "binary":
        return FirstErrorOracle(
            complete,
            parts.grade,
            scan=mode,
            num_completions=parts.mc_completions,
            round_completions=parts.mc_round,
        )
    return MonteCarloOracle(
        complete,
        parts.grade,
        estimate=mode,
        num_completions=parts.mc_completions,
        round_completions=parts.mc_round,
        threshold=parts.mc_threshold,
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
    return SelfCriticOracle(_given(parts.write), parts.critic_samples, parts.critic_prompt)


def _remote(parts: Parts) -> StepOracle:
    return RemoteOracle(
        parts.remote_url,
        scale=parts.remote_scale,
        batch_size=parts.remote_batch_size,
        timeout_s=parts.remote_timeout_s,
        sends_answers=parts.remote_sends_answers,
    )


STEP_ORACLES: dict[str, Callable[[Parts], StepOracle]] = {
    "math": lambda parts: OutcomeOracle(parts.grade),
    "prm": _prm,
    "monte_carlo": _monte_carlo,
    "tree": _tree,
    "self_critic": _self_critic,
    "remote": _remote,
}


def load_step_oracle(spec: str, parts: Parts, scale: Scale = SIGNED) -> StepOracle:
    """The oracle that is named, in its own scale, or the weighted mean of several, in `scale`.

    Raises:
        ValueError: as `parse_weights`, or as the oracle has it.
    """
    weights = parse_weights(spec, STEP_ORACLES)
    weighted = [(STEP_ORACLES[name](parts), weight) for name, weight in weights.items()]
    return weighted[0][0] if len(weighted) == 1 else CombinedOracle(weighted, scale)


def parse_weights(spec: str, known: Collection[str]) -> dict[str, float]:
    """The weights of `NAME[=WEIGHT],...` by name, in their order; 1 where none is given.

    Raises:
        ValueError: a name that is not known or is there twice, or a weight that is no positive number.
    """
    weights: dict[str, float] = {}
    for part in spec.split(","):
        name, equals, weight = (text.strip() for text in part.partition("="))
        if name not in known:
            raise ValueError(
                f"--oracle must be of {', '.join(known)}, got {name!r}; the nearest is "
                f"{nearest(name, known)}"
            )
        if name in weights:
            raise ValueError(f"--oracle names {name} twice, got {spec!r}; add up its weights")
        weights[name] = _weight(weight, name) if equals else 1.0
    return weights


def _weight(text: str, name: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        weight = math.nan
    if not (weight > 0 and math.isfinite(weight)):
        raise ValueError(
            f"--oracle must give {name} a positive weight, got {text!r}; leave the name out instead"
        )
    return weight


def _given(part: T | None) -> T:
    assert part is not None, "whoever names an oracle hands its parts"
    return part
