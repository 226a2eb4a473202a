"""Publication to every actor, its verification, and replacement of the dead; actors are threads."""

import threading
from concurrent.futures import Future

import pytest

from understand_r1_zero.fleet import Fleet, Publication
from understand_r1_zero.launch import ProcessDied, Shared


class LoadingProcess:
    """An actor that answers at once and dies on the methods named in `dies_on`."""

    def __init__(self, name, events, checksum="abc", dies_on=()):
        self.name = name
        self.events = events
        self.checksum = checksum
        self.dies_on = dies_on

    def submit(self, method, *args):
        future = Future()
        self.events.append((self.name, method, *args[:1]))
        if method in self.dies_on:
            future.set_exception(ProcessDied(self, "killed"))
        else:
            future.set_result(self.checksum if method == "load_weights" else None)
        return future

    def kill(self):
        self.events.append((self.name, "kill"))


def fleet(processes, **kwargs):
    waiting = list(processes)
    return Fleet(
        lambda index: waiting.pop(0),
        kwargs.pop("num_actors", len(waiting)),
        max_restarts=2,
        warn=lambda line: None,
        should_stop=threading.Event(),
    )


def test_every_actor_loads_what_was_published():
    events = []
    actors = fleet([LoadingProcess("a", events), LoadingProcess("b", events)])
    actors.wait_until_ready()
    actors.publish(Publication(3, Shared(None), "abc"))
    assert events == [
        ("a", "start"),
        ("b", "start"),
        ("a", "load_weights", 3),
        ("b", "load_weights", 3),
    ]


def test_an_actor_that_loaded_other_bytes_stops_the_run():
    actors = fleet([LoadingProcess("a", []), LoadingProcess("b", [], checksum="other")])
    with pytest.raises(RuntimeError, match=r"b loaded weights with checksum other.*version 7.*abc"):
        actors.publish(Publication(7, Shared(None), "abc"))


def test_an_actor_that_dies_while_loading_is_replaced_with_the_new_weights():
    events = []
    dying = LoadingProcess("dying", events, dies_on=("load_weights",))
    actors = fleet([dying, LoadingProcess("new", events)], num_actors=1)
    actors.publish(Publication(1, Shared(None), "abc"))
    assert [process.name for process in actors.groups.processes] == ["new"]
    assert events[-2:] == [("new", "start"), ("new", "load_weights", 1)]


def test_a_replacement_that_loads_other_bytes_stops_the_run():
    dying = LoadingProcess("dying", [], dies_on=("load_weights",))
    actors = fleet([dying, LoadingProcess("new", [], checksum="other")], num_actors=1)
    with pytest.raises(RuntimeError, match="new loaded weights with checksum other"):
        actors.publish(Publication(1, Shared(None), "abc"))


def test_shutdown_ends_every_process_even_a_dead_one():
    events = []
    actors = fleet(
        [LoadingProcess("a", events, dies_on=("shutdown",)), LoadingProcess("b", events)]
    )
    actors.shutdown()
    assert ("a", "kill") in events
    assert ("b", "kill") in events
