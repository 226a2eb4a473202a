"""From the flags to running searches."""

from concurrent.futures import Executor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from actors.exploring import Explorer
from actors.policy_steps import PolicySteps
from actors.searching import Searcher
from actors.start_hands import StepRules, start_hands
from actors.start_oracle import start_oracle
from actors.valuing import Valuer
from understand_r1_zero.args import Args
from understand_r1_zero.evaluate import evaluation_sampling
from understand_r1_zero.search.settings import settings_of

if TYPE_CHECKING:
    from actors.engine import Engine


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
    settings = settings_of(args.search)
    rules = StepRules(evaluation_sampling(args), settings.depth, settings.scale)
    async with AsyncExitStack() as stack:
        hands = start_hands(args, engine, tokenizer, num_cores, threads, rules, stack)
        oracle = None
        if settings.needs_values:
            oracle = await start_oracle(args, hands, stack)
        searcher = Searcher(
            hands.policy,
            hands.writer,
            settings,
            hands.answers,
            hands.valuer,
            oracle,
            hands.warnings,
        )
        explorer = Explorer(hands.writer, hands.answers, args.valuing, hands.warnings)
        return RunningSearch(
            searcher, explorer, engine, hands.policy, hands.valuer, stack.pop_all()
        )
    raise AssertionError("unreachable")
