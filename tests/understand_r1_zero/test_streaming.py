"""Dispatch, order and recovery of groups, over processes that are threads."""

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from understand_r1_zero.args import Args, RunArgs, SamplingArgs
from understand_r1_zero.args_policy import PolicyArgs
from understand_r1_zero.collect import Collector, Position, has_equal_rewards, request_seed
from understand_r1_zero.search.explore import GivenSolution
from understand_r1_zero.search.step import Step
from understand_r1_zero.streaming import GroupStream, Interrupted, Request
from understand_r1_zero.types import Problem, Sampling, Status, Verdict

SAMPLING = Sampling(num_samples=2, temperature=1.0, top_p=1.0, top_k=-1, max_tokens=8)
GIVEN = GivenSolution((Step("1\n"),))
PROBLEMS = [Problem("test", row, f"{row} + 0", (str(row),)) for row in range(10)]


class Died(RuntimeError):
    def __init__(self, process):
        super().__init__("killed")
        self.process = process


class ThreadProcess:
    """An actor on threads; `dies_on` names the requests at whose arrival it dies, with all it runs."""

    def __init__(
        self, name, *, delay_s=0.0, dies_on=(), version=lambda: 0, rewards=lambda index: (0.0, 1.0)
    ):
        self.name = name
        self.delay_s = delay_s
        self.dies_on = set(dies_on)
        self.version = version
        self.rewards = rewards
        self.asked = []
        self.served = []
        self._pool = ThreadPoolExecutor(4)
        self._open = []

    def submit(self, method, *args):
        future = Future()
        self._open.append(future)
        self.asked += [args[0]] if method == "sample" else [item[0] for item in args[0]]
        if method == "sample" and args[0] in self.dies_on:
            for lost in self._open:
                if not lost.done():
                    lost.set_exception(Died(self))
            return future
        self._pool.submit(self._run, future, method, args)
        return future

    def _run(self, future, method, args):
        version = self.version()
        time.sleep(self.delay_s)
        items = args[0] if method == "sample_batch" else [args]
        groups = [
            group(index, problem, version, self.rewards(index)) for index, problem, _ in items
        ]
        self.served += [group.index for group in groups]
        if not future.done():
            future.set_result(groups if method == "sample_batch" else groups[0])

    def kill(self):
        self._pool.shutdown(wait=False)


def group(index, problem, version, rewards):
    verdicts = [Verdict(reward, Status.INCORRECT) for reward in rewards]
    responses = [SimpleNamespace(oldest_version=version, verdict=verdict) for verdict in verdicts]
    return SimpleNamespace(index=index, problem=problem, responses=responses)


def stream(processes, respawn=None, max_restarts=3, stop=None):
    return GroupStream(
        processes,
        respawn or (lambda index: pytest.fail("no actor died")),
        max_restarts=max_restarts,
        warn=lambda line: None,
        should_stop=stop or threading.Event(),
    )


def requests(count):
    return [Request(index, PROBLEMS[index % 10], SAMPLING) for index in range(count)]


def test_every_request_comes_back_once_and_a_straggler_blocks_nobody(monkeypatch):
    monkeypatch.setattr("understand_r1_zero.streaming.RUNNING_RESPONSES", 4)
    slow, fast = ThreadProcess("slow", delay_s=0.2), ThreadProcess("fast", delay_s=0.001)
    indices = [group.index for group in stream([slow, fast]).stream(requests(40))]
    assert sorted(indices) == list(range(40))
    assert len(fast.served) > 3 * len(slow.served)


@pytest.mark.parametrize(
    ("asks", "method"),
    [({}, "sample"), ({"is_search": True}, "search"), ({"given": GIVEN}, "explore")],
)
def test_an_actor_is_asked_for_what_the_request_is(asks, method):
    asked = []

    class Process:
        def submit(self, *call):
            asked.append(call)
            future = Future()
            future.set_result(group(0, PROBLEMS[0], 0, (1.0,)))
            return future

    [_] = stream([Process()]).stream([Request(0, PROBLEMS[0], SAMPLING, **asks)])
    given = (GIVEN,) if "given" in asks else ()
    assert asked == [(method, 0, PROBLEMS[0], SAMPLING, *given)]


def test_groups_go_to_the_least_loaded_actor(monkeypatch):
    one, two = ThreadProcess("one", delay_s=0.05), ThreadProcess("two", delay_s=0.05)
    list(stream([one, two]).stream(requests(20)))
    assert len(one.served) == len(two.served) == 10


def test_lost_groups_of_a_dead_actor_are_asked_again():
    dying, healthy = ThreadProcess("dying", delay_s=0.05, dies_on={6}), ThreadProcess("healthy")
    spawned = []

    def respawn(index):
        assert index == 0
        spawned.append(ThreadProcess("replacement"))
        return spawned[-1]

    groups = stream([dying, healthy], respawn)
    indices = [group.index for group in groups.stream(requests(20))]
    assert sorted(indices) == list(range(20))
    assert groups.restarts == len(spawned) == 1
    assert 6 in spawned[0].served


def test_actors_that_keep_dying_end_the_run():
    groups = stream(
        [ThreadProcess("dying", dies_on={0})],
        lambda index: ThreadProcess("dying again", dies_on={0}),
        max_restarts=2,
    )
    with pytest.raises(RuntimeError, match=r"died 3 times in a row.*max_actor_restarts 2"):
        list(groups.stream(requests(1)))


def test_an_error_of_the_sampling_itself_is_raised():
    process = ThreadProcess("actor")
    process._run = lambda future, method, args: future.set_exception(ValueError("bad template"))
    with pytest.raises(ValueError, match="bad template"):
        list(stream([process]).stream(requests(1)))


def test_waiting_ends_when_the_run_is_asked_to_stop():
    stop = threading.Event()
    groups = stream([ThreadProcess("slow", delay_s=2)], stop=stop)
    threading.Timer(0.1, stop.set).start()
    start = time.perf_counter()
    with pytest.raises(Interrupted):
        list(groups.stream(requests(1)))
    assert time.perf_counter() - start < 1.5


def test_groups_that_keep_finishing_do_not_hide_the_wish_to_stop():
    stop = threading.Event()
    groups = stream([ThreadProcess("fast")], stop=stop)
    asked = groups.stream(requests(40))
    next(asked)
    stop.set()
    with pytest.raises(Interrupted):
        list(asked)


def test_together_gives_each_actor_one_fixed_share():
    one, two = ThreadProcess("one"), ThreadProcess("two")
    indices = [group.index for group in stream([one, two]).together(requests(5))]
    assert sorted(indices) == list(range(5))
    assert (one.served, two.served) == ([0, 2, 4], [1, 3])


def collector(groups, *, max_staleness=0, position=None, max_refills=0, deterministic=False):
    args = Args(
        run=RunArgs(deterministic=deterministic),
        sampling=SamplingArgs(rollout_batch_size=4, max_staleness=max_staleness),
        policy=PolicyArgs(filter_zero_variance=max_refills > 0, max_refills=max_refills),
    )
    return Collector(args, groups, PROBLEMS, position or Position())


def test_synchronous_batches_follow_the_prompt_order_and_leave_nothing_in_flight():
    collect = collector(stream([ThreadProcess("actor")]))
    batches = [[group.index for group in collect.collect(version=0)] for _ in range(3)]
    assert batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    assert collect.position.next == 12
    assert collect.position.asked == []


def test_asynchronous_batches_never_hold_a_group_staler_than_allowed():
    learner = SimpleNamespace(version=0)
    process = ThreadProcess("actor", delay_s=0.02, version=lambda: learner.version)
    collect = collector(stream([process]), max_staleness=1)
    seen = []
    for version in range(6):
        learner.version = version
        batch = collect.collect(version)
        assert len(batch) == 4
        assert all(version - group.responses[0].oldest_version <= 1 for group in batch)
        seen += [group.index for group in batch]
    assert len(seen) == len(set(seen))


def test_stale_groups_are_dropped_counted_and_asked_again():
    versions = iter([0, 0, 0, 0] + [5] * 100)
    process = ThreadProcess("actor", version=lambda: next(versions))
    collect = collector(stream([process]))
    indices = [group.index for group in collect.collect(5)]
    assert indices == [0, 1, 2, 3]
    assert collect.metrics()["actor/stale_dropped_count"] == 4
    assert collect.metrics()["actor/stale_dropped_count"] == 0


def test_what_was_in_flight_at_a_checkpoint_is_asked_first_after_a_resume():
    before = collector(stream([ThreadProcess("actor", delay_s=0.01)]), max_staleness=1)
    trained = {group.index for group in before.collect(0)}
    in_flight = set(range(8)) - trained
    assert set(before.position.asked) == in_flight
    resumed = ThreadProcess("actor")
    collector(stream([resumed]), max_staleness=1, position=before.position).collect(0)
    assert set(resumed.asked[:4]) == in_flight
    assert resumed.asked[4:] == [8, 9, 10, 11]


def odd_are_equal(index):
    return (0.5, 0.5) if index % 2 else (0.0, 1.0)


@pytest.mark.parametrize("deterministic", [False, True])
def test_groups_of_equal_rewards_are_replaced_and_counted(deterministic):
    actors = [ThreadProcess(name, rewards=odd_are_equal) for name in ("one", "two")]
    collect = collector(stream(actors), max_refills=3, deterministic=deterministic)
    assert [group.index for group in collect.collect(0)] == [0, 2, 4, 6]
    assert collect.metrics()["actor/filtered_count"] == 3
    assert [group.index for group in collect.collect(0)] == [8, 10, 12, 14]
    metrics = collect.metrics()
    assert (metrics["actor/filtered_count"], metrics["actor/unfiltered_count"]) == (4, 0)
    assert (collect.position.next, collect.position.asked) == (15, [])


@pytest.mark.parametrize("deterministic", [False, True])
def test_beyond_the_limit_groups_of_equal_rewards_are_kept(deterministic):
    actors = [ThreadProcess(name, rewards=lambda index: (1.0, 1.0)) for name in ("one", "two")]
    collect = collector(stream(actors), max_refills=2, deterministic=deterministic)
    indices = [group.index for group in collect.collect(0)]
    assert len(indices) == 4
    assert not deterministic or indices == [8, 9, 10, 11]
    metrics = collect.metrics()
    assert (metrics["actor/filtered_count"], metrics["actor/unfiltered_count"]) == (8, 4)


def test_filtering_loses_and_repeats_no_problem_when_stopped_and_resumed_with_staleness():
    position, trained, asked = Position(), [], []
    for _ in range(3):
        process = ThreadProcess("actor", delay_s=0.001, rewards=odd_are_equal)
        collect = collector(stream([process]), max_staleness=1, max_refills=3, position=position)
        trained += [group.index for _ in range(2) for group in collect.collect(0)]
        position = collect.position
        asked.append(process.asked)
    assert len(trained) == len(set(trained)) == 24
    assert all(index % 2 == 0 for index in trained)
    assert set(range(position.next)) == set(trained) | set(position.asked) | {
        index for index in range(position.next) if index % 2
    }
    handled = [set(each) - set(position.asked) for each in asked]
    again = (handled[0] & handled[1]) | (handled[1] & handled[2])
    assert len(again) <= 8  # what was in flight at the two stops, and nothing else


def test_a_batch_that_is_stopped_while_it_filters_is_asked_again_as_a_whole():
    stop = threading.Event()
    process = ThreadProcess("actor", delay_s=0.01, rewards=lambda index: (1.0, 1.0))
    collect = collector(stream([process], stop=stop), max_refills=10_000)
    threading.Timer(0.2, stop.set).start()
    with pytest.raises(Interrupted):
        collect.collect(0)
    position = Position(collect.position.next, list(collect.position.asked))
    assert len(position.asked) > 4
    assert sorted(position.asked) == list(range(position.next))
    # Fewer are needed now: those not asked again must not be forgotten either.
    resumed = collector(stream([ThreadProcess("actor")]), position=position)
    assert [group.index for group in resumed.collect(0)] == [0, 1, 2, 3]
    assert sorted(position.asked) == list(range(4, position.next))


def test_rewards_of_steps_tell_groups_apart_and_unknown_verdicts_do_not():
    def graded(*verdicts):
        return SimpleNamespace(responses=[SimpleNamespace(verdict=v) for v in verdicts])

    right, unknown = Verdict(1.0, Status.CORRECT), Verdict(0.0, Status.UNKNOWN)
    stepped = Verdict(1.0, Status.CORRECT, step_rewards=(0.5,))
    assert has_equal_rewards(graded(right, right, unknown))
    assert has_equal_rewards(graded(unknown))
    assert not has_equal_rewards(graded(right, stepped))


def test_seeds_differ_between_requests_and_repeat_between_runs():
    seeds = [request_seed(42, index) for index in range(1000)]
    assert len(set(seeds)) == 1000
    assert seeds == [request_seed(42, index) for index in range(1000)]
    assert all(0 <= seed < 2**31 for seed in seeds)
