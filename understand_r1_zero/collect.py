"""Batches of fresh groups for the learner: which problems are asked, and how stale an answer may be."""

import hashlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from understand_r1_zero.args import Args
from understand_r1_zero.prompt_order import PromptOrder
from understand_r1_zero.streaming import GroupStream, Request
from understand_r1_zero.types import Group, Problem, Sampling


@dataclass
class Position:
    """Where in the prompt order the run stands: all that resuming needs.

    `next` is the first position never asked; `asked` are positions asked before but not yet trained
    on, in order: in flight when a checkpoint was taken, they are asked again after a resume.
    """

    next: int = 0
    asked: list[int] = field(default_factory=list)


class Collector:
    """Keeps `(1 + max_staleness)` batches in flight and returns them one batch at a time.

    With `max_staleness = 0` nothing is in flight between batches: synchronous, on-policy training.
    Otherwise actors go on sampling while the learner updates, and a group any of whose tokens is
    more than `max_staleness` versions old is thrown away, counted, and asked again.

    With `--deterministic` requests carry their own seeds and each batch enters the engines together,
    so that the same run gives the same groups to the last bit.

    Args:
        args: the flags.
        groups: the actors' stream.
        problems: the training problems.
        position: where to start; what was in flight at a checkpoint is asked first.
    """

    def __init__(
        self, args: Args, groups: GroupStream, problems: Sequence[Problem], position: Position
    ) -> None:
        sampling = args.sampling
        self.sampling = Sampling(
            num_samples=sampling.num_samples,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            max_tokens=sampling.generate_max_length,
        )
        self._groups = groups
        self._problems = problems
        self._order = PromptOrder(len(problems), args.run.seed)
        self._batch_size = sampling.rollout_batch_size
        self._max_staleness = sampling.max_staleness
        self._seed = args.run.seed if args.run.deterministic else None
        assert self._seed is None or self._max_staleness == 0, "a fixed batch cannot overlap"
        self._channel = groups.open_channel()
        self._in_flight = 0
        self._again = deque(position.asked)
        self.position = position
        self.position.asked = []
        self._num_dropped_stale = 0

    def collect(self, version: int) -> list[Group]:
        """The next batch for a learner at policy `version`, in the order the problems were asked."""
        if self._seed is not None:
            batch = self._collect_together()
        else:
            batch = self._collect_streaming(version)
        for group in batch:
            self.position.asked.remove(group.index)
        return sorted(batch, key=lambda group: group.index)

    def metrics(self) -> dict[str, float]:
        """Groups thrown away since the last call, and how far the prompts are."""
        dropped, self._num_dropped_stale = self._num_dropped_stale, 0
        return {
            "actor/stale_dropped_count": float(dropped),
            "misc/prompt_consumed": float(self.position.next - len(self.position.asked)),
            "misc/prompt_epoch": float(self._order.epoch(self.position.next)),
            "misc/prompt_dataset_len": float(len(self._problems)),
        }

    def _collect_together(self) -> list[Group]:
        requests = [self._next_request() for _ in range(self._batch_size)]
        return list(self._groups.together(requests))

    def _collect_streaming(self, version: int) -> list[Group]:
        while self._in_flight < self._batch_size * (1 + self._max_staleness):
            self._ask()
        return [self._next_fresh(version) for _ in range(self._batch_size)]

    def _next_fresh(self, version: int) -> Group:
        while True:
            group = self._groups.next_group(self._channel)
            self._in_flight -= 1
            oldest = min(response.oldest_version for response in group.responses)
            if version - oldest <= self._max_staleness:
                return group
            self._num_dropped_stale += 1
            self.position.asked.remove(group.index)
            self._again.append(group.index)
            self._ask()

    def _ask(self) -> None:
        self._groups.submit(self._channel, self._next_request())
        self._in_flight += 1

    def _next_request(self) -> Request:
        if self._again:
            index = self._again.popleft()
        else:
            index = self.position.next
            self.position.next += 1
        self.position.asked.append(index)
        sampling = self.sampling
        if self._seed is not None:
            sampling = replace(sampling, seed=request_seed(self._seed, index))
        (row,) = self._order.batch(index, 1)
        return Request(index, self._problems[row], sampling)


def request_seed(seed: int, index: int) -> int:
    """A 31-bit seed of the request at `index`, unrelated between neighbours and between runs."""
    digest = hashlib.blake2b(f"{seed}:{index}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") >> 1
