"""How large a benchmark is: as the default recipe trains, or as small as shows that it runs."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """`flags` are train_zero_math.py's, over its defaults; `runs` are whole training runs.

    `golds` are the gold answers that `grader` grades by, a round. `learner` scores a sequence of
    `head_tokens` by a head of `head_size` x `head_vocabulary`, and packs `sequences`; `search` searches
    `questions`.
    """

    flags: tuple[str, ...]
    rounds: int
    warm_up: int
    steps: int
    runs: int
    golds: int
    head_tokens: int
    head_size: int
    head_vocabulary: int
    sequences: int
    questions: int


FULL = Scale(
    (),
    rounds=12,
    warm_up=2,
    steps=14,
    runs=3,
    golds=250,
    head_tokens=2048,
    head_size=896,
    head_vocabulary=50_000,
    sequences=64,
    questions=32,
)
SMOKE = Scale(
    (
        *("--rollout_batch_size", "8"),
        *("--num_samples", "4"),
        *("--generate_max_length", "16"),
        *("--grader_workers", "1"),
    ),
    rounds=2,
    warm_up=1,
    steps=4,
    runs=1,
    golds=20,
    head_tokens=256,
    head_size=32,
    head_vocabulary=20_000,
    sequences=8,
    questions=4,
)
