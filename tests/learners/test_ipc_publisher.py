"""Publication by CUDA IPC, and deaths and sleep as the loop has them, against processes that write down what
they are asked."""

import pytest

from learners.publishers import IpcPublisher, NcclPublisher
from tests.learners.recording import (
    actor,
    done,
    fleet_of,
    ipc_ranks,
    methods,
    names,
    nccl_ranks,
    of,
)

pytestmark = pytest.mark.timeout(20)


class TestIpc:
    def test_every_part_is_read_before_the_next_is_shown(self):
        events = []
        publisher = IpcPublisher(ipc_ranks(events, 2), [[0], [1]])
        assert publisher.publish(6, [actor("a", events), actor("b", events)]) == []
        assert of(events, "learner-0", "a") == [
            ("a", "begin_weights"),
            ("learner-0", "outlet.show", True),
            ("a", "receive_ipc", [b"0.1"]),
            ("learner-0", "outlet.show", True),
            ("a", "receive_ipc", [b"0.2"]),
            ("learner-0", "outlet.show", True),
            ("learner-0", "outlet.shown_checksum"),
            ("a", "end_weights", 6),
        ]
        assert [event[2] for event in of(events, "b") if event[1] == "receive_ipc"] == [
            [b"1.1"],
            [b"1.2"],
        ]

    def test_a_part_is_read_by_all_before_any_rank_shows_the_next(self):
        events = []
        slow = actor("slow", events)
        at_once = slow.submit

        def submit(method, *args):
            if method != "receive_ipc":
                return at_once(method, *args)

            class Slow(type(done(None))):
                def result(self, timeout=None):
                    events.append(("slow", "has read"))

            events.append(("slow", method))
            return Slow()

        slow.submit = submit
        IpcPublisher(ipc_ranks(events, 2), [[0], [1]]).publish(1, [actor("a", events), slow])
        order = [event[:2] for event in events]
        first_read = order.index(("slow", "has read"))
        shown = [i for i, event in enumerate(order) if event[1] == "outlet.show"]
        assert len([i for i in shown if i < first_read]) == 3  # one part, on each rank

    def test_a_tensor_parallel_actor_reads_on_all_its_gpus_and_nobody_on_the_spare_one(self):
        events = []
        IpcPublisher(ipc_ranks(events, 1), [[0, 1]]).publish(1, [actor("a", events)])
        assert ("a", "receive_ipc", [b"0.1", b"1.1"]) in events
        assert of(events, "learner-1")[0] == ("learner-1", "outlet.show", True)
        assert of(events, "learner-2")[0] == ("learner-2", "outlet.show", False)
        assert methods(events, "learner-2") == methods(events, "learner-0")

    @pytest.mark.parametrize("call", ["begin_weights", "receive_ipc", ("receive_ipc", 2)])
    def test_after_a_death_the_others_go_on_and_nothing_more_is_shown_to_the_dead(self, call):
        events = []
        dying = actor("dying", events, dies_on=[call])
        publisher = IpcPublisher(ipc_ranks(events, 3), [[0], [1]])
        deaths = publisher.publish(1, [dying, actor("b", events)])
        assert [death.process for death in deaths] == [dying]
        assert methods(events, "b") == ["begin_weights", *["receive_ipc"] * 3, "end_weights"]
        read = {"begin_weights": 0, "receive_ipc": 1}.get(call, 2)
        shown = [event[2] for event in of(events, "learner-0") if event[1] == "outlet.show"]
        assert shown == [True] * read + [False] * (4 - read)
        assert "end_weights" not in methods(events, "dying")

    def test_a_death_at_the_end_is_told(self):
        dying = actor("dying", [], dies_on=["end_weights"])
        deaths = IpcPublisher(ipc_ranks([], 1), [[0], [1]]).publish(1, [dying, actor("b", [])])
        assert [death.process for death in deaths] == [dying]

    def test_checksums(self):
        with pytest.raises(RuntimeError, match=r"a loaded .* other for policy version 4.* abc"):
            IpcPublisher(ipc_ranks([], 1), [[0]]).publish(4, [actor("a", [], checksum="other")])
        with pytest.raises(RuntimeError, match="ranks hold different weights: abc, abd"):
            learners = ipc_ranks([], 1, ("abc", "abd"))
            IpcPublisher(learners, [[0], [1]]).publish(4, [actor("a", []), actor("b", [])])


class TestWithAFleet:
    """Deaths and replacements, and sleeping, as the loop has them."""

    def test_a_replacement_catches_up_with_the_version_that_its_predecessor_missed(self):
        events = []
        actors = [
            actor("dying", events, dies_on=[("receive_ipc", 2)]),
            actor("b", events),
            actor("new", events),
        ]
        fleet = fleet_of(actors, 2)
        publisher = IpcPublisher(ipc_ranks(events, 2), [[0], [1]])
        fleet.publish(publisher, 8)
        assert names(fleet) == ["new", "b"]
        assert [event[1] for event in of(events, "new")] == ["start", "load_weights"]
        assert of(events, "new")[1][2] == 8
        events.clear()
        fleet.publish(publisher, 9)
        assert methods(events, "new") == ["begin_weights", *["receive_ipc"] * 2, "end_weights"]

    def test_one_that_dies_after_a_publication_is_replaced_with_the_same_version(self):
        events = []
        fleet = fleet_of([actor("a", events), actor("new", events)], 1)
        fleet.publish(NcclPublisher(nccl_ranks(events), 1, "x:Sender"), 3)
        dead = fleet.groups.processes[0]
        dead.dies_on = {"statistics"}
        fleet.call("statistics")
        assert [event[1:3] for event in of(events, "new")] == [
            ("start",),
            ("load_weights", 3),
            ("statistics",),
        ]

    def test_actors_sleep_while_the_learner_works_and_wake_with_the_publication(self):
        events = []
        publisher = IpcPublisher(ipc_ranks(events, 1), [[0]])
        fleet = fleet_of([actor("a", events)], 1, can_sleep=True)
        fleet.sleep()
        fleet.publish(publisher, 1)
        assert methods(events, "a") == ["sleep", "begin_weights", "receive_ipc", "end_weights"]

    def test_the_replacement_of_one_that_dies_falling_asleep_sleeps_too(self):
        events = []
        actors = [actor("a", events), actor("dying", events, dies_on=["sleep"])]
        fleet = fleet_of([*actors, actor("new", events)], 2, can_sleep=True)
        fleet.sleep()
        assert methods(events, "new") == ["start", "sleep"]
        assert methods(events, "a") == ["sleep"]

    def test_one_that_died_asleep_is_replaced_once_the_learner_is_done(self):
        events = []
        actors = [actor("dying", events, dies_on=["begin_weights"]), actor("new", events)]
        publisher = IpcPublisher(ipc_ranks(events, 1), [[0]])
        fleet = fleet_of(actors, 1, can_sleep=True)
        fleet.sleep()
        fleet.publish(publisher, 2)
        assert names(fleet) == ["new"]
        assert methods(events, "dying") == ["sleep", "begin_weights"]
        assert methods(events, "new") == ["start", "load_weights"]

    def test_without_the_flag_nobody_sleeps(self):
        events = []
        fleet = fleet_of([actor("a", events)], 1)
        fleet.sleep()
        fleet.wake_up()
        assert events == []
