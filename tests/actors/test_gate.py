"""Who may enter an engine, and when, against a scheduler that writes down what it is told."""

import asyncio
from types import SimpleNamespace

import pytest

from actors.gate import Gate


class Core:
    """In place of the engine core's client; `left` outputs are still to be counted."""

    def __init__(self, events, left=0):
        self.events = events
        self.left = left
        self.outputs_queue = SimpleNamespace(empty=self._is_empty)

    def _is_empty(self):
        self.left -= 1
        return self.left < 0

    async def pause_scheduler_async(self, mode, clear_cache):
        self.events.append(("pause", mode, clear_cache))

    async def resume_scheduler_async(self):
        self.events.append("resume")


PAUSE = ("pause", "keep", True)


async def enter(gate, events):
    async with gate.entered():
        events.append("entered")


def test_inside_a_pause_nobody_enters():
    events = []

    async def run():
        gate = Gate(Core(events))
        async with gate.paused():
            task = asyncio.create_task(enter(gate, events))
            await asyncio.sleep(0.01)
            events.append("inside")
        await task

    asyncio.run(run())
    assert events == [PAUSE, "inside", "resume", "entered"]


def test_a_pause_waits_until_everything_sampled_is_counted():
    async def run():
        core = Core([], left=3)
        async with Gate(core).paused():
            assert core.left < 0

    asyncio.run(run())


@pytest.mark.parametrize(("error", "resumes"), [(ValueError, True), (RuntimeError, False)])
def test_only_a_refused_request_lets_the_engine_go_on(error, resumes):
    events = []

    async def run():
        async with Gate(Core(events)).paused():
            raise error

    with pytest.raises(error):
        asyncio.run(run())
    assert ("resume" in events) == resumes


def test_a_closed_gate_stays_closed_between_calls_and_can_be_closed_again():
    events = []

    async def run():
        gate = Gate(Core(events))
        for _ in range(2):
            await asyncio.create_task(gate.close())
            task = asyncio.create_task(enter(gate, events))
            await asyncio.sleep(0.01)
            async with gate.opening:
                events.append("last words")
            await task

    asyncio.run(run())
    assert events == [PAUSE, "last words", "resume", "entered"] * 2
