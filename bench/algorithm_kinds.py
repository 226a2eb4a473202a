"""The variants that `bench.algorithms` trains, by kind, and what a run of each kind must show."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.algorithm_data import write_homework, write_marked_steps, write_random_model
from bench.side import REPOSITORY
from bench.value_positions import auc_by_position

RUNS = REPOSITORY / "runs" / "algorithms"
DATA = RUNS / "data"
HOMEWORK, MARKED, RANDOM = DATA / "homework.jsonl", DATA / "marked.jsonl", DATA / "random_model"
SEED = 7

ACCURACY, SFT_LOSS, AUC = "eval/average/accuracy", "eval/sft_loss", "eval/value_auc"
CORRECT = "actor/correct"
"""What curves of sampled variants show: greedy accuracy jumps as soon as the likeliest habit is the right
one, while this rises with every step."""
MARGIN = 0.15
"""How far held-out accuracy must rise over the start."""
LOSS_RATIO = 1.05
"""How far above the base's the loss of a model that learned the base's corpus from nothing may stay."""
LEAST_AUC, LEAST_AUC_AT_A_POSITION = 0.8, 0.6
"""Of all held-out steps, and of those at one position, where position cannot help."""

Flags = tuple[str, ...]
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Run:
    """A complete run: its directory, its metrics, and wall seconds from start to end."""

    directory: Path
    rows: Rows
    elapsed_s: float

    def ends(self, key: str) -> tuple[float, float]:
        """A metric at the start and at the end."""
        found = [row[key] for row in self.rows if row.get(key) is not None]
        return found[0], found[-1]

    @property
    def checkpoint(self) -> Path:
        """Of the last step."""
        return self.directory / "checkpoints" / f"step_{self.rows[-1]['step']}"


@dataclass(frozen=True)
class Reading:
    """One number read off a run, at the start where there is one and at the end, and its bound."""

    name: str
    start: float | None
    end: float
    bound: float
    is_least: bool = True

    @property
    def is_met(self) -> bool:
        """Whether the end keeps the bound."""
        return self.end >= self.bound if self.is_least else self.end <= self.bound


@dataclass(frozen=True)
class Kind:
    """Variants that are judged alike and drawn in one panel.

    `flags` are those of all of them, which the table leaves out; `read` is given a variant's run and a
    way to make the run of other flags, by name.
    """

    title: str
    subtitle: str
    curve: str
    variants: Mapping[str, Flags]
    flags: Flags
    read: Callable[[Run, "RunOf"], Sequence[Reading]]
    limit_s: float = 240.0


RunOf = Callable[[str, Flags], Run]


def read_accuracy(run: Run, run_of: RunOf) -> list[Reading]:
    """Greedy accuracy on the benchmarks must rise by `MARGIN`."""
    start, end = run.ends(ACCURACY)
    return [Reading("accuracy", start, end, start + MARGIN)]


def read_supervised(run: Run, run_of: RunOf) -> list[Reading]:
    """Held-out loss must come near, sampled accuracy reach what the bundled model has itself.

    The bundled model's are those of step 0 of a run on the same rows and benchmarks.
    """
    base = run_of("base", (*HOMEWORK_FLAGS, "--max_steps", "1", "--learning_rate", "0"))
    loss, accuracy = (base.ends(key)[0] for key in (SFT_LOSS, ACCURACY))
    return [
        Reading("held-out loss", *run.ends(SFT_LOSS), LOSS_RATIO * loss, is_least=False),
        Reading("accuracy at temperature 1", *run.ends(ACCURACY), accuracy),
    ]


def read_value(run: Run, run_of: RunOf) -> list[Reading]:
    """Held-out steps must be told apart: all together, and by more than position at each position."""
    by_position = auc_by_position(run.checkpoint, run.directory / "config.toml")
    positions = [
        Reading(f"AUC, step {position}", None, auc, LEAST_AUC_AT_A_POSITION)
        for position, auc in by_position.items()
    ]
    return [Reading("held-out AUC", *run.ends(AUC), LEAST_AUC), *positions]


def write_data() -> None:
    """Write what is not there yet of the data and the random model."""
    for path, write in (
        (HOMEWORK, lambda: write_homework(HOMEWORK, 80_000, SEED)),
        (MARKED, lambda: write_marked_steps(MARKED, 3000, SEED)),
        (RANDOM, lambda: write_random_model(RANDOM, SEED)),
    ):
        if not path.exists():
            write()


SAMPLED = ("--max_steps", "30", "--eval_steps", "5")
HOMEWORK_FLAGS = (
    *("--algo", "sft", "--sft_data", str(HOMEWORK.relative_to(REPOSITORY))),
    *("--holdout", "0.02", "--eval_steps", "200", "--eval_temperature", "1", "--eval_n", "8"),
)
"""Cross-entropy teaches a distribution, so it is sampled: the greedy answer to homework is a toss-up
between two habits of nearly equal weight."""
DECAYING = ("--lr_scheduler", "linear", "--lr_warmup_ratio", "0.05")


def _sampled(title: str, variants: Mapping[str, Flags]) -> Kind:
    subtitle = "share of training samples that are correct"
    return Kind(title, subtitle, CORRECT, variants, SAMPLED, read_accuracy)


KINDS = (
    _sampled(
        "Baselines of a group",
        {
            "Dr. GRPO": (),
            "GRPO": ("--critic_type", "grpo"),
            "RLOO": ("--critic_type", "rloo"),
            "REINFORCE++-baseline": ("--critic_type", "reinforce_pp_baseline"),
        },
    ),
    _sampled(
        "Other baselines, or none",
        {
            "REINFORCE": ("--critic_type", "reinforce", "--policy_loss", "reinforce"),
            "REINFORCE++": ("--critic_type", "reinforce_pp"),
            "ReMax": ("--critic_type", "remax"),
        },
    ),
    _sampled(
        "A critic",
        {
            "PPO": ("--critic_type", "ppo"),
            "PPO, shared trunk": (
                *("--critic_type", "ppo", "--critic_trunk", "shared", "--vf_coef", "0.1"),
            ),
        },
    ),
    _sampled(
        "Other losses",
        {
            "DAPO": (
                *("--critic_type", "grpo", "--loss_aggregation", "token"),
                *("--cliprange_high", "0.28", "--filter_zero_variance"),
            ),
            "GSPO": ("--critic_type", "grpo", "--policy_loss", "gspo"),
            "CISPO": ("--critic_type", "grpo", "--policy_loss", "cispo"),
        },
    ),
    _sampled(
        "Pairs, and correct samples",
        {
            "Online DPO": ("--algo", "dpo", "--pairs", "correct_incorrect"),
            "Rejection sampling": ("--algo", "rft"),
        },
    ),
    Kind(
        "Supervised, from random weights",
        "loss of held-out homework, nats a token",
        SFT_LOSS,
        {
            "SFT": (
                *HOMEWORK_FLAGS,
                *("--pretrain", str(RANDOM.relative_to(REPOSITORY)), "--learning_rate", "3e-3"),
                *("--max_steps", "1200", *DECAYING),
            )
        },
        (),
        read_supervised,
        limit_s=480.0,
    ),
    Kind(
        "Value model",
        "AUC of held-out steps",
        AUC,
        {
            "Value": (
                *("--algo", "value", "--value_data", str(MARKED.relative_to(REPOSITORY))),
                *("--value_loss", "bce", "--learning_rate", "3e-3", "--rollout_batch_size", "128"),
                *("--num_prompt_epoch", "12", "--max_steps", "1000", *DECAYING),
                *("--holdout", "0.1", "--eval_steps", "100"),
            )
        },
        (),
        read_value,
        limit_s=480.0,
    ),
)
