"""The order in which problems are asked, so that a run resumes from one integer."""

import functools
import random


class PromptOrder:
    """Every epoch a new permutation of the problems; epochs follow each other without a seam.

    Position p asks problem `permutation(seed, p // num_problems)[p % num_problems]`, so the order
    is a pure function of the seed and a resumed run needs only the next position. A batch may hold
    the end of one epoch and the start of the next: no problem is left out of any epoch.

    The permutations sort by `random.Random.random()`, the one stream that Python promises to keep
    across versions and platforms.
    """

    def __init__(self, num_problems: int, seed: int) -> None:
        assert num_problems > 0, "an order needs at least one problem"
        self.num_problems = num_problems
        self.seed = seed
        self._permutation = functools.lru_cache(maxsize=2)(self._draw_permutation)

    def _draw_permutation(self, epoch: int) -> list[int]:
        stream = random.Random(f"{self.seed}/{epoch}")
        keys = [stream.random() for _ in range(self.num_problems)]
        return sorted(range(self.num_problems), key=keys.__getitem__)

    def batch(self, position: int, size: int) -> list[int]:
        """The problem indices at positions [position, position + size)."""
        return [
            self._permutation(at // self.num_problems)[at % self.num_problems]
            for at in range(position, position + size)
        ]

    def epoch(self, position: int) -> int:
        """The epoch, from 0, that `position` belongs to."""
        return position // self.num_problems


def num_steps(num_problems: int, num_epochs: int, batch_size: int) -> int:
    """Full batches in the given epochs: floor(num_problems * num_epochs / batch_size), at least 1.

    The last problems that fill no batch are not asked; too few for one batch are asked again.
    """
    return max(1, num_problems * num_epochs // batch_size)
