"""Flags of rewards of steps in training, refused before anything starts."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import fields

from understand_r1_zero.args import Args
from understand_r1_zero.args_step_rewards import StepRewardArgs
from understand_r1_zero.search.codecs.registry import CODE_CODECS
from understand_r1_zero.search.oracle_names import parse_oracles

_COMPLETING = ("monte_carlo", "tree")
_SAMPLING = (*_COMPLETING, "self_critic")
_READERS: Mapping[str, tuple[str, ...]] = {
    "step_max_tokens": _SAMPLING,
    "step_temperature": _SAMPLING,
    "step_top_p": _SAMPLING,
    "keep_faults": _COMPLETING,
    "max_code_errors": _COMPLETING,
    "graded_ends": ("tree",),
    "value_model": ("value", "prm", "tree"),
    "value_gpu_ratio": ("value", "prm", "tree"),
    "prm_kind": ("prm",),
    "prm_tag": ("prm",),
    "mc_mode": ("monte_carlo",),
    "mc_completions": ("monte_carlo",),
    "mc_round": ("monte_carlo",),
    "mc_threshold": ("monte_carlo",),
    "tree_simulations": ("tree",),
    "critic_samples": ("self_critic",),
    "remote_url": ("remote",),
    "remote_batch_size": ("remote",),
    "remote_timeout_s": ("remote",),
    "remote_sends_answers": ("remote",),
}
"""The oracles that read a flag, where steps are rewarded and nothing is searched."""
_CODE_FLAGS = ("code_wall_s", "code_memory_mb", "unsafe_interpreter")


def is_read(args: Args, name: str) -> bool:
    """Whether rewards of steps read a flag of steps or of their oracles."""
    if not args.step_oracle:
        return False
    if name in _CODE_FLAGS:
        return args.steps.step_codec in CODE_CODECS
    readers = _READERS.get(name, ())
    return name == "step_codec" or any(oracle in readers for oracle in _oracles(args))


def _oracles(args: Args) -> list[str]:
    return list(parse_oracles(args.oracle.oracle))


def step_reward_refusals(args: Args) -> Iterator[str]:
    """What is wrong where `--oracle` is to reward steps, or flags say how and it does not."""
    spec = args.oracle.oracle
    if not args.oracle.is_of_steps:
        yield from _unread(args)
        return
    if _oracles(args) == ["math"]:
        yield f"--oracle {spec} has no oracle of steps besides the grader: use --oracle math"
        return
    if args.algorithm.algo != "ppo":
        yield (
            f"--oracle {spec} rewards steps, and --algo {args.algorithm.algo} learns from responses: use math or "
            "your own module:Class, and --search_oracle for searches in evaluation"
        )
        return
    if args.run.deterministic:
        yield (
            f"--deterministic cannot go with --oracle {spec}: what oracles of steps compute together depends "
            "on time; drop one"
        )
    yield from _numbers(args)


def _unread(args: Args) -> Iterator[str]:
    for field in fields(StepRewardArgs):
        value = getattr(args.step_reward, field.name)
        if value != field.default:
            yield (
                f"--{field.name} {value} changes nothing with --oracle {args.oracle.oracle}, which rewards no "
                "steps; drop it, or name an oracle of steps"
            )


def _numbers(args: Args) -> Iterator[str]:
    flags, spec = args.step_reward, args.oracle.oracle
    if not (math.isfinite(flags.step_reward_coef) and flags.step_reward_coef > 0):
        yield (
            f"--step_reward_coef must be above 0 and finite, got {flags.step_reward_coef}; use --oracle math "
            "for no rewards of steps"
        )
    if not flags.oracle_timeout_s > 0:
        yield f"--oracle_timeout_s must be above 0, got {flags.oracle_timeout_s}"
    if flags.oracle_tokens_per_step < 0:
        yield f"--oracle_tokens_per_step must be at least 0, got {flags.oracle_tokens_per_step}"
    does_sample = any(oracle in _SAMPLING for oracle in _oracles(args))
    if flags.oracle_tokens_per_step > 0 and not does_sample:
        yield (
            f"--oracle_tokens_per_step {flags.oracle_tokens_per_step} changes nothing with --oracle {spec}, "
            "which samples nothing; drop it"
        )
    if does_sample and args.steps.step_temperature == 0:
        yield (
            f"--step_temperature must be above 0 with --oracle {spec}, whose samples would all be one; use 1"
        )
