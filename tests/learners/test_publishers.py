"""Which way is taken, and publication through host memory and over NCCL, against processes that write down what they are asked."""

import pytest

from learners.publishers import HostPublisher, IpcPublisher, NcclPublisher, publisher_for
from tests.learners.recording import TENSORS, actor, host_ranks, methods, nccl_ranks, of
from understand_r1_zero.args import Args, ClusterArgs
from understand_r1_zero.plan import plan

pytestmark = pytest.mark.timeout(20)


@pytest.mark.parametrize(
    ("cluster", "kind"),
    [
        (ClusterArgs(), HostPublisher),
        (ClusterArgs(gpus=4, weight_transfer="ray"), HostPublisher),
        (ClusterArgs(gpus=4), NcclPublisher),
        (ClusterArgs(gpus=4, collocate=True), IpcPublisher),
        # No learner beside the second actor could show it anything.
        (ClusterArgs(gpus=2, collocate=True, num_learners=1), HostPublisher),
    ],
)
def test_the_way_follows_from_the_flags(cluster, kind):
    planned = plan(Args(cluster=cluster), 2)
    assert type(publisher_for(cluster, planned, host_ranks([]), "x:Sender")) is kind


def test_collocated_actors_read_from_the_learners_on_their_own_gpus():
    cluster = ClusterArgs(gpus=5, collocate=True, num_gpus_per_actor=2)
    publisher = publisher_for(cluster, plan(Args(cluster=cluster), 2), host_ranks([]), "x:Sender")
    assert isinstance(publisher, IpcPublisher)
    assert publisher._ranks_of_actor == [[0, 1], [2, 3]]


class TestHost:
    def test_all_ranks_gather_once_and_every_actor_loads_it(self):
        events = []
        publisher = HostPublisher(host_ranks(events))
        assert publisher.publish(3, [actor("a", events), actor("b", events)]) == []
        assert [event[:3] for event in events] == [
            ("learner-0", "outlet.to_host"),
            ("learner-1", "outlet.to_host"),
            ("a", "load_weights", 3),
            ("b", "load_weights", 3),
        ]

    def test_a_late_actor_gets_the_very_weights_that_the_others_have(self):
        events = []
        publisher = HostPublisher(host_ranks(events))
        publisher.publish(3, [first := actor("a", events)])
        publisher.catch_up(3, actor("late", events))
        assert methods(events, "learner-0") == ["outlet.to_host"]
        assert of(events, "late") == [("late", *of(events, first.name)[0][1:])]

    def test_another_checksum_stops_the_run(self):
        publisher = HostPublisher(host_ranks([]))
        with pytest.raises(RuntimeError, match=r"b loaded .* other for policy version 7.* abc"):
            publisher.publish(7, [actor("a", []), actor("b", [], checksum="other")])
        with pytest.raises(RuntimeError, match="late loaded"):
            publisher.catch_up(7, actor("late", [], checksum="other"))

    def test_the_dead_are_told_and_the_others_served(self):
        events = []
        dead = actor("dead", events, dies_on=["load_weights"])
        deaths = HostPublisher(host_ranks(events)).publish(1, [dead, actor("b", events)])
        assert [death.process for death in deaths] == [dead]
        assert methods(events, "b") == ["load_weights"]


def nccl(learners, gpus_per_actor=1):
    return NcclPublisher(learners, gpus_per_actor, "actors.nccl:NcclSender")


class TestNccl:
    def test_the_first_publication_opens_the_group_and_gives_each_actor_its_ranks(self):
        events = []
        publisher = nccl(nccl_ranks(events), gpus_per_actor=2)
        assert publisher.publish(5, [actor("a", events), actor("b", events)]) == []
        sender = ("outlet.open_nccl", "actors.nccl:NcclSender", "node", 1234, 5)
        assert of(events, "learner-0") == [
            ("learner-0", "reserve_port"),
            ("learner-0", *sender),
            ("learner-0", "outlet.send_nccl"),
        ]
        assert of(events, "learner-1") == [
            ("learner-1", *sender),
            ("learner-1", "outlet.send_nccl"),
        ]
        assert [event[1:] for event in of(events, "b")] == [
            ("begin_weights",),
            ("connect_nccl", "node", 1234, 3, 5),
            ("receive_nccl", TENSORS),
            ("end_weights", 5),
        ]
        assert ("a", "connect_nccl", "node", 1234, 1, 5) in events

    def test_every_actor_has_begun_before_any_is_sent_to_and_ended_after_all(self):
        events = []
        nccl(nccl_ranks(events)).publish(1, [actor("a", events), actor("b", events)])
        order = [event[1] for event in events]
        assert order.index("outlet.open_nccl") == 3  # two beginnings and the port
        last_sent = max(i for i, method in enumerate(order) if "nccl" in method)
        assert order[last_sent + 1 :] == ["end_weights"] * 2

    def test_the_group_is_kept(self):
        events = []
        publisher = nccl(nccl_ranks(events))
        actors = [actor("a", events), actor("b", events)]
        publisher.publish(1, actors)
        events.clear()
        publisher.publish(2, actors)
        assert methods(events, "a") == ["begin_weights", "receive_nccl", "end_weights"]
        assert methods(events, "learner-0") == ["outlet.send_nccl"]

    def test_sender_and_receivers_are_never_waited_for_one_before_the_other(self):
        """Each answers only once all were asked, as in a collective."""
        events, asked = [], {}

        def meet(process):
            answer_at_once = process.submit

            def submit(method, *args):
                future = answer_at_once(method, *args)
                phase = {"connect_nccl": "open", "outlet.open_nccl": "open"}.get(method)
                phase = {"receive_nccl": "send", "outlet.send_nccl": "send"}.get(method, phase)
                if phase is None:
                    return future
                late = type(future)()
                asked.setdefault(phase, []).append((late, future.result()))
                if len(asked[phase]) == 4:
                    for waiting, result in asked[phase]:
                        waiting.set_result(result)
                return late

            process.submit = submit
            return process

        learners = nccl_ranks(events)
        learners.ranks = [meet(rank) for rank in learners.ranks]
        actors = [meet(actor("a", events)), meet(actor("b", events))]
        assert nccl(learners).publish(1, actors) == []

    def test_an_actor_found_dead_at_the_beginning_is_left_out_of_the_group(self):
        events = []
        dead = actor("dead", events, dies_on=["begin_weights"])
        deaths = nccl(nccl_ranks(events)).publish(1, [dead, actor("b", events)])
        assert [death.process for death in deaths] == [dead]
        assert ("b", "connect_nccl", "node", 1234, 1, 2) in events
        assert methods(events, "b")[-1] == "end_weights"

    def test_with_every_actor_dead_nothing_is_sent(self):
        events = []
        dead = actor("dead", events, dies_on=["begin_weights"])
        assert len(nccl(nccl_ranks(events)).publish(1, [dead])) == 1
        assert of(events, "learner-0", "learner-1") == []

    @pytest.mark.parametrize("method", ["connect_nccl", "receive_nccl"])
    def test_an_actor_that_dies_within_the_collective_ends_the_run_at_once(self, method):
        """The others never answer: nobody may wait for them."""
        waits = {"connect_nccl": "outlet.open_nccl", "receive_nccl": "outlet.send_nccl"}[method]
        learners = nccl_ranks(events := [], hangs_on=[waits])
        actors = [
            actor("dying", events, dies_on=[method]),
            actor("b", events, hangs_on=[method]),
        ]
        with pytest.raises(RuntimeError, match=r"over NCCL, which needs all .* dying died: killed"):
            nccl(learners).publish(1, actors)

    def test_an_actor_that_dies_at_the_end_is_told_and_the_group_opened_again_without_it(self):
        events = []
        publisher = nccl(nccl_ranks(events))
        dying, other = actor("dying", events, dies_on=["end_weights"]), actor("b", events)
        assert [death.process for death in publisher.publish(1, [dying, other])] == [dying]
        new = actor("new", events)
        events.clear()
        publisher.publish(2, [new, other])
        assert ("new", "connect_nccl", "node", 1234, 1, 3) in events
        assert ("b", "connect_nccl", "node", 1234, 2, 3) in events

    def test_checksums(self):
        with pytest.raises(RuntimeError, match=r"a loaded .* other for policy version 4.* abc"):
            nccl(nccl_ranks([])).publish(4, [actor("a", [], checksum="other")])
        with pytest.raises(RuntimeError, match="ranks hold different weights: abc, abd"):
            nccl(nccl_ranks([], ("abc", "abd"))).publish(4, [actor("a", [])])

    def test_a_late_actor_gets_the_weights_through_host_memory(self):
        events = []
        nccl(nccl_ranks(events)).catch_up(4, actor("late", events))
        assert [event[:3] for event in events] == [
            ("learner-0", "outlet.to_host"),
            ("learner-1", "outlet.to_host"),
            ("late", "load_weights", 4),
        ]
