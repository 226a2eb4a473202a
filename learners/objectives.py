"""The objectives behind `--algo`, and what of the model each of them needs."""

from pathlib import Path

from learners.optimizer_steps import OptimizerSteps
from learners.policy import Policy
from learners.policy_gradient import PolicyGradient
from learners.preference import Preference
from learners.supervised import SCORING, Supervised
from learners.value import Value, scoring_of
from understand_r1_zero.args import Args

Objective = PolicyGradient | Preference | Supervised | Value


def load_policy(args: Args, num_optimizer_steps: int, device: str) -> Policy:
    """The model with the reference and the heads that the objective of `--algo` needs."""
    scoring = None
    match args.algorithm.algo:
        case "sft" | "rft":
            scoring = SCORING
        case "value":
            scoring = scoring_of(args.value)
    return Policy(
        args,
        num_optimizer_steps=num_optimizer_steps,
        device=device,
        needs_reference=args.needs_reference_model,
        scoring=scoring,
    )


def objective_of(args: Args, policy: Policy, directory: Path) -> tuple[Objective, OptimizerSteps]:
    """The objective of `--algo`, and the steps it takes; `directory` is for what is not finite."""
    steps = OptimizerSteps(policy, directory)
    objectives = {
        "ppo": PolicyGradient,
        "dpo": Preference,
        "sft": Supervised,
        "rft": Supervised,
        "value": Value,
    }
    return objectives[args.algorithm.algo](args, policy, steps), steps
