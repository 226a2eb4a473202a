"""The ways of the policy from the learners to the actors: one class each, used alike.

| way  | class           | placement         | weights go                                                |
|------|-----------------|-------------------|-----------------------------------------------------------|
| ray  | `HostPublisher` | any               | through host memory, once for all actors                  |
| nccl | `NcclPublisher` | GPUs of their own | from rank 0's GPU to all actors' GPUs, in one broadcast   |
| ipc  | `IpcPublisher`  | shared GPUs       | from each learner's memory to the actor on the same GPU   |

Every way compares the checksum of what each actor's model was fed with that of what was sent. An actor
that is started while a run goes on gets the policy through host memory, whatever the way: it is rare,
needs no cooperation of the others, and cannot wait for them.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from learners.group import LearnerGroup, results_of
from understand_r1_zero.args import ClusterArgs
from understand_r1_zero.fleet import Publisher
from understand_r1_zero.launch import ProcessDied, Shared
from understand_r1_zero.plan import Plan
from understand_r1_zero.protocols import Process
from understand_r1_zero.weights import transfer_backend


def publisher_for(
    cluster: ClusterArgs, plan: Plan, learners: LearnerGroup, nccl_sender: str
) -> Publisher:
    """The way that `transfer_backend` names; `nccl_sender` is what `Outlet.open_nccl` imports."""
    way = transfer_backend(cluster)
    if way == "nccl":
        return NcclPublisher(learners, cluster.num_gpus_per_actor, nccl_sender)
    if way == "ipc":
        rank_on = {learner.gpus[0]: rank for rank, learner in enumerate(plan.learners)}
        return IpcPublisher(learners, [[rank_on[g] for g in actor.gpus] for actor in plan.actors])
    return HostPublisher(learners)


class HostPublisher:
    """Through host memory: rank 0 puts the weights there, Ray brings them to every actor's node."""

    def __init__(self, learners: LearnerGroup) -> None:
        self._learners = learners
        self._weights = Shared(None)
        self._checksum = ""

    def publish(self, version: int, actors: Sequence[Process]) -> list[ProcessDied]:
        """See `Publisher`."""
        self._weights, self._checksum = self._learners.to_host()
        audience = _Audience(actors)
        fed = audience.ask("load_weights", version, self._weights)
        _verify(version, self._checksum, fed)
        return audience.deaths

    def catch_up(self, version: int, actor: Process) -> None:
        """See `Publisher`; the weights are still there."""
        _catch_up(version, actor, self._weights, self._checksum)


class NcclPublisher:
    """Over one NCCL group: the learners' rank 0, then each actor's GPUs in the order of the actors.

    The group is opened at the first publication, and again at the next one after an actor was
    replaced. An actor found dead before the broadcast, or after it, is replaced and the run goes on. One
    that dies within it ends the run: all other members wait in the collective, which nothing
    but their own death ends.

    Args:
        learners: all ranks; those other than 0 only help to gather weights.
        gpus_per_actor: ranks of the group that each actor takes.
        nccl_sender: import path of what `Outlet.open_nccl` opens the group with.
    """

    def __init__(self, learners: LearnerGroup, gpus_per_actor: int, nccl_sender: str) -> None:
        self._learners = learners
        self._gpus_per_actor = gpus_per_actor
        self._nccl_sender = nccl_sender
        self._members: list[Process] = []
        self._tensors: Any = None

    def publish(self, version: int, actors: Sequence[Process]) -> list[ProcessDied]:
        """See `Publisher`. Raises RuntimeError when an actor dies within the collective, too."""
        audience = _Audience(actors)
        audience.ask("begin_weights")
        if audience.alive:
            if audience.alive != self._members:
                self._open(audience.alive)
            checksum = self._broadcast()
            fed = audience.ask("end_weights", version)
            _verify(version, checksum, fed)
        return audience.deaths

    def catch_up(self, version: int, actor: Process) -> None:
        """See `Publisher`."""
        _catch_up(version, actor, *self._learners.to_host())

    def _open(self, actors: Sequence[Process]) -> None:
        host, port = self._learners.ranks[0].reserve_port().result()
        width = self._gpus_per_actor
        size = 1 + width * len(actors)
        opening = self._learners.submit("outlet.open_nccl", self._nccl_sender, host, port, size)
        joining = [
            actor.submit("connect_nccl", host, port, 1 + width * position, size)
            for position, actor in enumerate(actors)
        ]
        self._tensors = _collective([*opening, *joining])[0]
        self._members = list(actors)

    def _broadcast(self) -> str:
        receiving = [actor.submit("receive_nccl", self._tensors) for actor in self._members]
        sending = self._learners.submit("outlet.send_nccl")
        return _common(_collective([*sending, *receiving])[: len(sending)])


class IpcPublisher:
    """By CUDA IPC: each learner shows its weights, part by part, to the actor on the same GPU.

    No actor waits for another, so that one may die at any moment.

    Args:
        learners: all ranks.
        ranks_of_actor: for each actor, in order, the learners' ranks on its GPUs.
    """

    def __init__(self, learners: LearnerGroup, ranks_of_actor: Sequence[Sequence[int]]) -> None:
        self._learners = learners
        self._ranks_of_actor = ranks_of_actor

    def publish(self, version: int, actors: Sequence[Process]) -> list[ProcessDied]:
        """See `Publisher`."""
        ranks_of = dict(zip(actors, self._ranks_of_actor, strict=True))
        audience = _Audience(actors)
        audience.ask("begin_weights")
        while (shown := self._show({r for a in audience.alive for r in ranks_of[a]})) is not None:
            parts = {a: [shown[rank] for rank in ranks_of[a]] for a in audience.alive}
            audience.ask_each("receive_ipc", parts)
        checksum = _common(self._learners.call("outlet.shown_checksum"))
        fed = audience.ask("end_weights", version)
        _verify(version, checksum, fed)
        return audience.deaths

    def catch_up(self, version: int, actor: Process) -> None:
        """See `Publisher`."""
        _catch_up(version, actor, *self._learners.to_host())

    def _show(self, readers: set[int]) -> list[bytes] | None:
        """What every rank shows next, to be read at the ranks in `readers`; None after the last."""
        ranks = enumerate(self._learners.ranks)
        shown = results_of([rank.submit("outlet.show", i in readers) for i, rank in ranks])
        return None if shown[0] is None else shown


class _Audience:
    """The actors of one publication: those that are still there, and the deaths of the others."""

    def __init__(self, actors: Sequence[Process]) -> None:
        self.alive = list(actors)
        self.deaths: list[ProcessDied] = []

    def ask(self, method: str, *args: Any) -> dict[Process, Any]:
        """Call all that are alive at once; what those answered that are alive afterwards."""
        return self._wait({actor: actor.submit(method, *args) for actor in self.alive})

    def ask_each(self, method: str, args: Mapping[Process, Any]) -> dict[Process, Any]:
        """As `ask`, with an argument for each."""
        return self._wait({actor: actor.submit(method, args[actor]) for actor in self.alive})

    def _wait(self, futures: "Mapping[Process, Future[Any]]") -> dict[Process, Any]:
        answers = {}
        for actor, future in futures.items():
            try:
                answers[actor] = future.result()
            except ProcessDied as death:
                self.deaths.append(death)
        self.alive = list(answers)
        return answers


def _catch_up(version: int, actor: Process, weights: Shared, checksum: str) -> None:
    loaded = actor.submit("load_weights", version, weights).result()
    _verify(version, checksum, {actor: loaded})


def _verify(version: int, published: str, fed: dict[Process, str]) -> None:
    for actor, checksum in fed.items():
        if checksum != published:
            raise RuntimeError(
                f"{actor.name} loaded weights with checksum {checksum} for policy version "
                f"{version}, but the learner published {published}"
            )


def _common(checksums: Sequence[str]) -> str:
    """The checksum that all ranks agree on."""
    if len(set(checksums)) != 1:
        raise RuntimeError(f"the learner's ranks hold different weights: {', '.join(checksums)}")
    return checksums[0]


def _collective(futures: "Sequence[Future[Any]]") -> list[Any]:
    """Every result, or the first error at once: whoever is left waits for the one that failed."""
    try:
        return results_of(futures)
    except ProcessDied as death:
        raise RuntimeError(
            f"in a publication over NCCL, which needs all its members: {death}"
        ) from death
