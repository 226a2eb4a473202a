"""Batches of fresh groups for the learner: which problems are asked, and how stale an answer may be."""

import hashlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from understand_r1_zero.args import Args
from understand_r1_zero.prompt_order import PromptOrder
from understand_r1_zero.streaming import GroupStream, Request
from understand_r1_zero.types import Group, Problem, Sampling, Status


@dataclass
class Position:
    """Where in the prompt order the run stands: all that resuming needs.

    `next` is the first position never asked; `asked` are positions before it whose batch is not
    complete, in order: in flight when a checkpoint was taken, they are asked again after a resume.
    """

    next: int = 0
    asked: list[int] = field(default_factory=list)


def training_sampling(args: Args) -> Sampling:
    """How training samples a group, without a seed."""
    sampling = args.sampling
    return Sampling(
        num_samples=sampling.num_samples,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        max_tokens=sampling.generate_max_length,
        has_greedy=args.algorithm.critic_type == "remax",
        has_step_rewards=bool(args.step_oracle),
    )


class Collector:
    """Keeps `(1 + max_staleness)` batches in flight and returns them one batch at a time.

    With `max_staleness = 0` nothing is in flight between batches: synchronous, on-policy training.
    Otherwise actors go on sampling while the learner updates, and a group any of whose tokens is
    more than `max_staleness` versions old is thrown away, counted, and asked again.

    With `--filter_zero_variance` groups whose rewards are all equal are thrown away too, counted, and
    replaced by the next problems, up to `--max_refills` batches of them a call; beyond that limit they are
    kept. Once their batch is complete they are not asked again before the next epoch, resumed or not;
    a run that is stopped before asks for the whole batch again, and so finds what it would have.

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
        self.sampling = training_sampling(args)
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
        self._num_dropped_stale = 0
        is_filtering = args.policy.filter_zero_variance
        self._max_filtered = args.policy.max_refills * self._batch_size if is_filtering else 0
        self._filtered: list[int] = []
        self._num_kept_uniform = 0

    def collect(self, version: int) -> list[Group]:
        """The next batch for a learner at policy `version`, in the order the problems were asked."""
        self._filtered, self._num_kept_uniform = [], 0
        if self._seed is not None:
            batch = self._collect_together()
        else:
            batch = self._collect_streaming(version)
        for index in [*self._filtered, *(group.index for group in batch)]:
            self.position.asked.remove(index)
        return sorted(batch, key=lambda group: group.index)

    def metrics(self) -> dict[str, float]:
        """Groups thrown away since the last call or for the last batch, and how far the prompts are.

        With `--filter_zero_variance`, `actor/filtered_count` groups of equal rewards were thrown away
        for the last batch and `actor/unfiltered_count` beyond the limit are in it.
        """
        dropped, self._num_dropped_stale = self._num_dropped_stale, 0
        filtering = {
            "actor/filtered_count": float(len(self._filtered)),
            "actor/unfiltered_count": float(self._num_kept_uniform),
        }
        return {
            **(filtering if self._max_filtered else {}),
            "actor/stale_dropped_count": float(dropped),
            "misc/prompt_consumed": float(self.position.next - len(self.position.asked)),
            "misc/prompt_epoch": float(self._order.epoch(self.position.next)),
            "misc/prompt_dataset_len": float(len(self._problems)),
        }

    def _collect_together(self) -> list[Group]:
        batch: list[Group] = []
        while len(batch) < self._batch_size:
            requests = [self._next_request() for _ in range(self._batch_size - len(batch))]
            # Which groups the limit keeps must not depend on who finished first.
            groups = sorted(self._groups.together(requests), key=lambda group: group.index)
            batch += [group for group in groups if not self._filters(group)]
        return batch

    def _collect_streaming(self, version: int) -> list[Group]:
        while self._in_flight < self._batch_size * (1 + self._max_staleness):
            self._ask()
        return [self._next_useful(version) for _ in range(self._batch_size)]

    def _next_useful(self, version: int) -> Group:
        while True:
            group = self._groups.next_group(self._channel)
            self._in_flight -= 1
            if self._is_stale(group, version):
                self._again.append(group.index)
            elif not self._filters(group):
                return group
            self._ask()

    def _is_stale(self, group: Group, version: int) -> bool:
        """Whether the group is too old, which is counted."""
        oldest = min(response.oldest_version for response in group.responses)
        if version - oldest <= self._max_staleness:
            return False
        self._num_dropped_stale += 1
        return True

    def _filters(self, group: Group) -> bool:
        """Whether the group is thrown away for its equal rewards, which is counted."""
        if not self._max_filtered or not has_equal_rewards(group):
            return False
        if len(self._filtered) == self._max_filtered:
            self._num_kept_uniform += 1
            return False
        self._filtered.append(group.index)
        return True

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


def has_equal_rewards(group: Group) -> bool:
    """Whether all known verdicts of the group give the same rewards, those of steps included."""
    verdicts = [r.verdict for r in group.responses if r.verdict.status is not Status.UNKNOWN]
    return len({(verdict.reward, verdict.step_rewards) for verdict in verdicts}) <= 1


def request_seed(seed: int, index: int | str) -> int:
    """A 31-bit seed of the request at `index` (or of a problem, by its id), unrelated between neighbours and between runs."""
    digest = hashlib.blake2b(f"{seed}:{index}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") >> 1
