"""The objectives behind `--algo`, and what of the models each of them needs."""

from pathlib import Path

from learners.critic import Critic, shared_scoring
from learners.optimizer_steps import OptimizerSteps
from learners.pair_values import pair_scoring
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
        case "ppo" if args.critic_kind == "shared":
            scoring = shared_scoring(args)
        case "dpo" if args.preference.has_values:
            scoring = pair_scoring(args)
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


def load_critic(
    args: Args, num_optimizer_steps: int, device: str, directory: Path
) -> Critic | None:
    """The critic beside the policy, where the flags ask for a separate one."""
    if args.critic_kind != "separate":
        return None
    return Critic(args, num_optimizer_steps=num_optimizer_steps, device=device, directory=directory)


def objective_of(
    args: Args, policy: Policy, critic: Critic | None, directory: Path
) -> tuple[Objective, OptimizerSteps]:
    """The objective of `--algo`, and the steps it takes; `directory` is for what is not finite."""
    steps = OptimizerSteps(policy, directory)
    if args.algorithm.algo == "ppo":
        return PolicyGradient(args, policy, steps, critic), steps
    objectives = {
        "dpo": Preference,
        "sft": Supervised,
        "rft": Supervised,
        "value": Value,
    }
    return objectives[args.algorithm.algo](args, policy, steps), steps
