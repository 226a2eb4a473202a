"""Publication to every actor and replacement of the dead; the ways themselves are tested with learners."""

import threading
from concurrent.futures import Future

import pytest

from understand_r1_zero.fleet import Fleet
from understand_r1_zero.launch import ProcessDied


class AnsweringProcess:
    """An actor that answers at once with its own name and dies on the methods named in `dies_on`."""

    def __init__(self, name, events, dies_on=()):
        self.name = name
        self.events = events
        self.dies_on = dies_on

    def submit(self, method, *args):
        future = Future()
        self.events.append((self.name, method, *args[:1]))
        if method in self.dies_on:
            future.set_exception(ProcessDied(self, "killed"))
        else:
            future.set_result(self.name)
        return future

    def kill(self):
        self.events.append((self.name, "kill"))


class RecordingPublisher:
    """A way that meets the deaths of the actors named in `deaths`."""

    def __init__(self, events, deaths=()):
        self.events = events
        self.deaths = deaths

    def publish(self, version, actors):
        self.events.append(("publish", version, [actor.name for actor in actors]))
        return [ProcessDied(actor, "killed") for actor in actors if actor.name in self.deaths]

    def catch_up(self, version, actor):
        self.events.append(("catch up", version, actor.name))


def fleet(processes, **kwargs):
    waiting = list(processes)
    return Fleet(
        lambda index: waiting.pop(0),
        kwargs.pop("num_actors", len(waiting)),
        max_restarts=2,
        warn=lambda line: None,
        should_stop=threading.Event(),
        **kwargs,
    )


def test_a_fleet_without_actors_publishes_nothing():
    events = []
    empty = fleet([], can_sleep=True)
    empty.publish(RecordingPublisher(events), 1)
    empty.sleep()
    empty.wake_up()
    assert empty.wait_until_ready() == [] and empty.groups.processes == []
    empty.shutdown()
    assert events == []


def names(actors):
    return [process.name for process in actors.groups.processes]


def test_every_actor_is_started_and_published_to():
    events = []
    actors = fleet([AnsweringProcess("a", events), AnsweringProcess("b", events)])
    assert actors.wait_until_ready() == ["a", "b"]
    actors.publish(RecordingPublisher(events), 3)
    assert events == [("a", "start"), ("b", "start"), ("publish", 3, ["a", "b"])]


def test_an_actor_that_dies_in_a_publication_is_replaced_and_catches_up_with_it():
    events = []
    processes = [AnsweringProcess(name, events) for name in ("dying", "b", "new")]
    actors = fleet(processes, num_actors=2)
    actors.publish(RecordingPublisher(events), 1)
    actors.publish(RecordingPublisher(events, deaths=["dying"]), 2)
    assert names(actors) == ["new", "b"]
    assert events[-3:] == [("publish", 2, ["dying", "b"]), ("new", "start"), ("catch up", 2, "new")]


def test_before_the_first_publication_there_is_nothing_to_catch_up_with():
    events = []
    dying = AnsweringProcess("dying", events, dies_on=("statistics",))
    actors = fleet([dying, AnsweringProcess("new", events)], num_actors=1)
    assert actors.call("statistics") == ["new"]
    assert events[-2:] == [("new", "start"), ("new", "statistics")]


def test_a_call_is_answered_by_every_actor_in_order_and_by_the_replacement_of_a_dead_one():
    events = []
    processes = [
        AnsweringProcess("a", events),
        AnsweringProcess("dying", events, dies_on=("statistics",)),
        AnsweringProcess("c", events),
        AnsweringProcess("new", events),
    ]
    actors = fleet(processes, num_actors=3)
    assert actors.call("statistics") == ["a", "new", "c"]
    assert events.count(("a", "statistics")) == 1


def test_a_call_at_which_every_replacement_dies_gives_up():
    processes = [AnsweringProcess(f"{i}", [], dies_on=("statistics",)) for i in range(9)]
    with pytest.raises(RuntimeError, match="actors died 3 times in a row"):
        fleet(processes, num_actors=1).call("statistics")


@pytest.mark.parametrize("can_sleep", [True, False])
def test_actors_sleep_and_wake_only_if_they_can(can_sleep):
    events = []
    actors = fleet([AnsweringProcess("a", events)], can_sleep=can_sleep)
    actors.sleep()
    actors.wake_up()
    assert events[1:] == ([("a", "sleep"), ("a", "wake_up")] if can_sleep else [])


def test_shutdown_ends_every_process_even_a_dead_one():
    events = []
    actors = fleet(
        [AnsweringProcess("a", events, dies_on=("shutdown",)), AnsweringProcess("b", events)]
    )
    actors.shutdown()
    assert ("a", "kill") in events
    assert ("b", "kill") in events
