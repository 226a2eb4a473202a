"""Finds the oracle that `--oracle` names, and reads what a user's oracle returns."""

import math
from typing import SupportsFloat

from oracles.math import MathOracle
from understand_r1_zero.args import Args
from understand_r1_zero.grading.conventions import conventions_of
from understand_r1_zero.import_path import users_module
from understand_r1_zero.protocols import Oracle
from understand_r1_zero.search.oracle_names import parse_oracles
from understand_r1_zero.types import Status, Verdict


def load_oracle(args: Args, extraction: str) -> Oracle:
    """The rule-based oracle, or the class at the import path `module:Class` made without arguments.

    `extraction` is the prompt template's, used by the rule-based oracle only. Where `--oracle` names what
    values the steps of searches, it is the rule-based one that scores responses.

    Raises:
        ValueError: there is no such oracle, or the class is none.
    """
    if not args.oracle.is_rule_based:
        return _import_oracle(args.oracle.oracle)
    parse_oracles(args.oracle.oracle)
    return MathOracle(
        extraction=extraction,
        conventions=conventions_of(args.grading),
        num_workers=args.grading.grader_workers,
        timeout_s=args.grading.grader_timeout_s,
        is_audited=args.oracle.audit_grader,
    )


def as_verdict(value: Verdict | SupportsFloat) -> Verdict:
    """What an oracle returned for one response, as a verdict.

    A bare number is a reward whose answer is correct when it equals 1, as Oat reads it; ValueError
    where a reward is not finite.
    """
    reward = value.reward if isinstance(value, Verdict) else float(value)
    if not math.isfinite(reward):
        raise ValueError(f"an oracle must return finite rewards, got {reward}; mend its get_reward")
    if isinstance(value, Verdict):
        return value
    return Verdict(reward, Status.CORRECT if reward == 1 else Status.INCORRECT)


def _import_oracle(path: str) -> Oracle:
    module_name, _, class_name = path.partition(":")
    if not module_name or not class_name:
        raise ValueError(f"--oracle must be math or an import path module:Class, got {path!r}")
    module = users_module("--oracle", path)
    oracle_class = getattr(module, class_name, None)
    if not isinstance(oracle_class, type):
        raise ValueError(f"--oracle {path}: {module.__file__} defines no class {class_name!r}")
    if not callable(getattr(oracle_class, "get_reward", None)):
        raise ValueError(
            f"--oracle {path}: {class_name} has no method "
            "get_reward(inputs, responses, references, batch_size)"
        )
    return oracle_class()
