"""What one step learns from, by `--algo`: pure functions of the flags."""

import math
from dataclasses import dataclass
from typing import Literal

from understand_r1_zero.args import Args

Unit = Literal["response", "pair", "example"]


@dataclass(frozen=True, slots=True)
class Workload:
    """What one step learns from.

    `units` are what `--train_batch_size` counts: exactly that many, or at most (`is_exact`), of which each
    is `sequences_per_unit` prompts with a response. `longest_tokens` is the longest such sequence, None
    where nothing bounds it. Stored examples come from `source`; sampled ones from problems, of which
    `source` is empty.
    """

    unit: Unit
    units: int
    is_exact: bool = True
    sequences_per_unit: int = 1
    passes: int = 1
    longest_tokens: int | None = None
    source: str = ""
    split: str = ""

    @property
    def is_stored(self) -> bool:
        """Whether a file holds the examples, so that nothing is sampled to learn from."""
        return bool(self.source)

    def units_per_optimizer_step(self, args: Args) -> int:
        """`--train_batch_size`, resolved."""
        return min(args.optim.train_batch_size or self.units, self.units)

    def optimizer_steps(self, args: Args) -> int:
        """Of one step, at most; a last one that is not full counts."""
        return math.ceil(self.units / self.units_per_optimizer_step(args)) * self.passes


def workload(args: Args) -> Workload:
    """What one step of `--algo` learns from."""
    problems, samples = args.sampling.rollout_batch_size, args.sampling.num_samples
    preference, supervised = args.preference, args.supervised
    longest = args.data.prompt_max_length + args.sampling.generate_max_length
    passes = args.algorithm.num_ppo_epochs
    match args.algorithm.algo:
        case "ppo":
            return Workload("response", problems * samples, passes=passes, longest_tokens=longest)
        case "dpo":
            of_group = 1
            if preference.pairs == "correct_incorrect":
                of_group = max(1, min(preference.max_pairs_per_group, samples * samples // 4))
            is_stored = bool(preference.preference_data)
            return Workload(
                "pair",
                problems if is_stored else problems * of_group,
                is_exact=is_stored,
                sequences_per_unit=2,
                passes=passes,
                longest_tokens=longest,
                source=preference.preference_data,
            )
        case "rft":
            kept = min(supervised.rft_max_per_problem or samples, samples)
            return Workload("response", problems * kept, is_exact=False, longest_tokens=longest)
        case "sft":
            return Workload(
                "example",
                problems,
                longest_tokens=supervised.sft_max_length or None,
                source=supervised.sft_data,
                split=supervised.sft_split,
            )
        case "value":
            return Workload(
                "example", problems, source=args.value.value_data, split=args.value.value_split
            )


def train_batch_refusal(args: Args) -> str:
    """Why `--train_batch_size` cannot be, with the nearest sizes that can; empty when it can.

    The policy gradient's steps are all of one size; elsewhere the last may be smaller.
    """
    size, work = args.optim.train_batch_size, workload(args)
    if args.algorithm.algo == "ppo":
        return _uneven(args)
    if size <= work.units:
        return ""
    most = "" if work.is_exact else "at most "
    return (
        f"--train_batch_size must be at most {work.units}, got {size}: a step of --algo "
        f"{args.algorithm.algo} has {most}so many {work.unit}s; lower it, leave it out, or raise "
        "--rollout_batch_size"
    )


def _uneven(args: Args) -> str:
    prompts, samples = args.sampling.rollout_batch_size, args.sampling.num_samples
    responses, size = args.responses_per_step, args.responses_per_optimizer_step
    if responses % size == 0:
        return ""
    divisors = [divisor for divisor in range(1, responses + 1) if responses % divisor == 0]
    below = [divisor for divisor in divisors if divisor < size][-1:]
    above = [divisor for divisor in divisors if divisor > size][:1]
    nearest = " or ".join(str(divisor) for divisor in below + above)
    return (
        f"--rollout_batch_size {prompts} x --num_samples {samples} = {responses} responses cannot be "
        f"cut into optimizer steps of --train_batch_size {size}; nearest possible: "
        f"--train_batch_size {nearest}"
    )
