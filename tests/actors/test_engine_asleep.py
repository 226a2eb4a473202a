"""Sleep, waking and publication in the engine's own order, without vLLM's engine behind it."""

import asyncio
import pickle
from types import SimpleNamespace

import pytest

from actors.gate import Gate
from actors.versions import VersionLog
from actors.weight_transfer import TransferApi, WeightTransfer

pytestmark = pytest.mark.slow  # vLLM is imported

SHOWN = [pickle.dumps({"names": [], "dtype_names": [], "shapes": [], "handles": []})]


class Llm:
    """In place of `AsyncLLM`: remembers what it is told, its core too."""

    def __init__(self):
        self.calls = []
        self.engine_core = self
        self.outputs_queue = SimpleNamespace(empty=lambda: True)
        self.output_processor = SimpleNamespace(request_states={})

    def __getattr__(self, name):
        async def call(*args, **kwargs):
            what = next((arg for arg in [*args, *kwargs.values()] if isinstance(arg, str)), "")
            tags = "+".join(kwargs.get("tags", []))
            self.calls.append(" ".join(filter(None, [name, what, tags])))
            return ["ab"]

        return call


@pytest.fixture
def engine():
    from actors.engine import Engine

    engine = Engine.__new__(Engine)
    engine._llm = Llm()
    engine._versions = VersionLog()
    engine._adapters = None
    engine._gate = Gate(engine._llm)
    engine.transfer = WeightTransfer(engine._llm, TransferApi(dict, dict, is_packed_at_init=True))
    return engine


def calls_of(engine, steps):
    """What vLLM is told, with a request that is made once the engine has been put to sleep."""

    async def request():
        async with engine._gate.entered():
            engine._llm.calls.append("a request")

    async def run():
        tasks = []
        for step, *args in steps:
            await step(*args)
            if step == engine.sleep:
                tasks.append(asyncio.create_task(request()))
                await asyncio.sleep(0.01)
        async with asyncio.timeout(5):
            await asyncio.gather(*tasks)

    asyncio.run(run())
    return engine._llm.calls


ASLEEP = ["pause_scheduler_async keep", "sleep wait"]
AWAKE = ["wake_up weights", "wake_up kv_cache"]
TAKES_PART = ["collective_rpc begin_receiving", "start_weight_update"]
TOOK_ALL = ["finish_weight_update", "collective_rpc end_receiving"]


def test_a_publication_wakes_the_weights_first_and_keys_and_values_last(engine):
    steps = [
        (engine.sleep,),
        (engine.begin_weights,),
        (engine.transfer.receive_ipc, SHOWN),
        (engine.end_weights, 3),
    ]
    assert calls_of(engine, steps) == [
        *ASLEEP,
        AWAKE[0],
        *TAKES_PART,
        "update_weights",
        *TOOK_ALL,
        AWAKE[1],
        "resume_scheduler_async",
        "a request",
    ]
    assert engine._versions.version == 3


def test_an_engine_that_was_awake_is_stopped_for_a_publication(engine):
    steps = [(engine.begin_weights,), (engine.end_weights, 3)]
    assert calls_of(engine, steps) == [
        ASLEEP[0],
        *TAKES_PART,
        *TOOK_ALL,
        "resume_scheduler_async",
    ]


def test_weights_through_host_memory_find_an_engine_that_is_awake(engine):
    calls = calls_of(engine, [(engine.sleep,), (engine.load_weights, 1, {})])
    assert [call.partition(" /proc")[0] for call in calls] == [
        *ASLEEP,
        *AWAKE,
        "collective_rpc receive_file",
        "resume_scheduler_async",
        "a request",
    ]


def test_waking_without_new_weights_lets_requests_in(engine):
    assert calls_of(engine, [(engine.sleep,), (engine.wake_up,), (engine.wake_up,)]) == [
        *ASLEEP,
        *AWAKE,
        "resume_scheduler_async",
        "a request",
    ]


def test_it_can_sleep_again(engine):
    rounds = [(engine.sleep,), (engine.begin_weights,), (engine.end_weights, 1)] * 2
    once = [*ASLEEP, AWAKE[0], *TAKES_PART, *TOOK_ALL, AWAKE[1], "resume_scheduler_async"]
    found = [call for call in calls_of(engine, rounds) if call != "a request"]
    assert found == once * 2
