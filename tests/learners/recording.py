"""Learner ranks and actors that answer at once and write down, in one list, what they are asked."""

import threading
from concurrent.futures import Future
from types import SimpleNamespace

from learners.group import LearnerGroup
from understand_r1_zero.fleet import Fleet
from understand_r1_zero.launch import ProcessDied, Shared

TENSORS = {"names": ["a"], "dtype_names": ["float32"], "shapes": [[2]]}
"""As `weights.describe` gives them."""


class Recording:
    """A process; `answers` are values, or functions of the arguments, by method.

    It dies at the calls in `dies_on`, and never answers those in `hangs_on`: a method, or (method, n) for
    its nth call.
    """

    def __init__(self, name, events, answers=None, dies_on=(), hangs_on=()):
        self.name, self.events = name, events
        self.answers = answers or {}
        self.dies_on, self.hangs_on = set(dies_on), set(hangs_on)
        self.counts = {}

    def submit(self, method, *args):
        self.counts[method] = self.counts.get(method, 0) + 1
        call = {method, (method, self.counts[method])}
        self.events.append((self.name, method, *args))
        future = Future()
        if call & self.dies_on:
            future.set_exception(ProcessDied(self, "killed"))
        elif not call & self.hangs_on:
            answer = self.answers.get(method)
            future.set_result(answer(*args) if callable(answer) else answer)
        return future

    def submit_shared(self, method, *args):
        return Shared("the weights"), self.submit(method, *args)

    def identify(self):
        return done(("node", 1))

    def reserve_port(self):
        self.events.append((self.name, "reserve_port"))
        return done(("node", 1234))

    def kill(self):
        self.events.append((self.name, "kill"))


def done(value):
    future = Future()
    future.set_result(value)
    return future


def actor(name, events, checksum="abc", **deaths):
    return Recording(
        name, events, {"load_weights": checksum, "end_weights": checksum, "start": {}}, **deaths
    )


def group_of(ranks):
    """The ranks as a learner that has started; what that took is not in their events."""
    group = LearnerGroup(SimpleNamespace(share=Shared), ranks)
    ranks[0].events.clear()
    return group


def fleet_of(actors, num_actors, **kwargs):
    """The first actors, with the others waiting to replace them; their starting is not recorded."""
    waiting = list(actors)
    fleet = Fleet(
        lambda index: waiting.pop(0),
        num_actors,
        max_restarts=2,
        warn=lambda line: None,
        should_stop=threading.Event(),
        **kwargs,
    )
    actors[0].events.clear()
    return fleet


def host_ranks(events, checksum="abc"):
    answers = {"outlet.to_host": checksum}
    return group_of(
        [
            Recording("learner-0", events, answers),
            Recording("learner-1", events, {"outlet.to_host": ""}),
        ]
    )


def nccl_ranks(events, checksums=("abc", "abc"), **rank_0):
    return group_of(
        [
            Recording(
                f"learner-{rank}",
                events,
                {
                    "outlet.open_nccl": TENSORS,
                    "outlet.send_nccl": checksum,
                    "outlet.to_host": checksum if rank == 0 else "",
                },
                **(rank_0 if rank == 0 else {}),
            )
            for rank, checksum in enumerate(checksums)
        ]
    )


def ipc_ranks(events, num_chunks, checksums=("abc", "abc", "abc")):
    """Ranks that show `num_chunks` parts, named for their rank and number, then begin anew."""

    def show(rank):
        shown = 0

        def answer(is_read):
            nonlocal shown
            shown = (shown + 1) % (num_chunks + 1)
            return (f"{rank}.{shown}".encode() if is_read else b"") if shown else None

        return answer

    return group_of(
        [
            Recording(
                f"learner-{rank}",
                events,
                {
                    "outlet.show": show(rank),
                    "outlet.shown_checksum": checksum,
                    "outlet.to_host": checksum if rank == 0 else "",
                },
            )
            for rank, checksum in enumerate(checksums)
        ]
    )


def of(events, *names):
    """What the named processes were asked, in order."""
    return [event for event in events if event[0] in names]


def methods(events, name):
    return [event[1] for event in events if event[0] == name]


def names(fleet):
    return [process.name for process in fleet.groups.processes]
