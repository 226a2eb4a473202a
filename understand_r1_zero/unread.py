"""Flags that an `--algo` does not read: given all the same, they are refused."""

from collections.abc import Iterator
from dataclasses import fields

from understand_r1_zero.args import Args

_SAMPLING = ("ppo", "dpo", "rft")
_EVERYWHERE = {
    "policy": ("ppo",),
    "critic": ("ppo",),
    "preference": ("dpo",),
    "supervised": ("sft",),
    "value": ("value",),
}
"""Who reads the flags of an owner, but for those below."""
_READERS = {
    "algorithm.critic_type": ("ppo",),
    "algorithm.num_ppo_epochs": ("ppo", "dpo"),
    "algorithm.cliprange": ("ppo",),
    "algorithm.beta": ("ppo",),
    "algorithm.kl_penalty_coef": ("ppo",),
    "algorithm.tis_c": ("ppo",),
    "algorithm.ignore_no_eos": ("ppo", "dpo"),
    "sampling.max_staleness": _SAMPLING,
    "policy.filter_zero_variance": _SAMPLING,
    "policy.max_refills": _SAMPLING,
    "value.value_head": ("value", "dpo"),
    "supervised.sft_end_token": ("sft", "value", "dpo"),
    "supervised.sft_aggregation": ("sft", "rft", "value"),
    "supervised.loss_on_prompt": ("sft", "rft"),
    "supervised.rft_max_per_problem": ("rft",),
    "supervised.rft_deduplicate": ("rft",),
}


def unread_flags(args: Args) -> Iterator[str]:
    """A refusal for each flag with another value than its default that `--algo` does not read."""
    algo, defaults = args.algorithm.algo, Args()
    for owner in ("algorithm", "sampling", *_EVERYWHERE):
        for field in fields(getattr(args, owner)):
            readers = _READERS.get(f"{owner}.{field.name}", _EVERYWHERE.get(owner, (algo,)))
            value = getattr(getattr(args, owner), field.name)
            if algo in readers or value == getattr(getattr(defaults, owner), field.name):
                continue
            yield (
                f"--{field.name} {value} changes nothing with --algo {algo}; drop it, or use --algo "
                f"{' or '.join(readers)}"
            )
