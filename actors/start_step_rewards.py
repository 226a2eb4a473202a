"""From the flags to rewards of steps, beside whatever searches in evaluation use."""

from concurrent.futures import Executor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from actors.oracle_budget import OracleBudget, allowance_tokens
from actors.start_hands import StepRules, start_hands
from actors.start_oracle import start_oracle
from actors.step_rewards import StepRewards
from understand_r1_zero.args import Args
from understand_r1_zero.plan import process_counts
from understand_r1_zero.search.step_oracle import PROBABILITY
from understand_r1_zero.types import Sampling

if TYPE_CHECKING:
    from actors.engine import Engine


@dataclass(frozen=True)
class RunningStepRewards:
    """Rewards of steps, and the engines and processes behind them."""

    rewards: StepRewards
    stack: AsyncExitStack

    async def close(self) -> None:
        """End the engines and processes."""
        await self.stack.aclose()


async def start_step_rewards(
    args: Args,
    engine: "Engine",
    tokenizer: Any,
    num_cores: int,
    threads: Executor,
) -> RunningStepRewards:
    """Start the oracle that `--oracle` names, and all it needs besides the policy's engine.

    Raises:
        ValueError: the flags name a model that is not what it should be.
        SandboxError: steps have code, and there is no safe way to run it.
    """
    async with AsyncExitStack() as stack:
        hands = start_hands(args, engine, tokenizer, num_cores, threads, rules_of(args), stack)
        oracle = await start_oracle(args, hands, stack, args.step_oracle)
        num_actors, _ = process_counts(args)
        allowance = allowance_tokens(
            args.step_reward.oracle_tokens_per_step, num_actors, args.optim.sync_params_every
        )
        rewards = StepRewards(
            name=args.step_oracle,
            oracle=oracle,
            codec=hands.codec,
            tokenizer=tokenizer,
            flags=args.step_reward,
            budget=OracleBudget(allowance),
            seed=args.run.seed,
            is_dead=hands.is_dead,
            warnings=hands.warnings,
        )
        return RunningStepRewards(rewards, stack.pop_all())
    raise AssertionError("unreachable")


def rules_of(args: Args) -> StepRules:
    """Completions may be as long as responses: no step is shorter than a token."""
    steps, max_tokens = args.steps, args.sampling.generate_max_length
    sampling = Sampling(
        num_samples=1,
        temperature=steps.step_temperature,
        top_p=steps.step_top_p,
        top_k=-1,
        max_tokens=steps.step_max_tokens or max_tokens,
    )
    return StepRules(sampling, max_tokens, PROBABILITY)
