"""The GPU paths against an engine that only writes down what it is told."""

import asyncio
import base64
import pickle

import pytest
import torch

from actors.weight_transfer import TransferApi, WeightTransfer
from understand_r1_zero.weights import describe


class Recorder:
    """In place of `AsyncLLM`: remembers each call."""

    def __init__(self):
        self.calls = []

    def __getattr__(self, name):
        async def call(*args, **kwargs):
            told = [*args, *kwargs.values()]
            self.calls.append((name, *told))
            return ["ab"] if told == ["end_receiving"] else None

        return call


def init(init_info):
    return init_info


def update(update_info):
    return update_info


LATEST = TransferApi(init, update, is_packed_at_init=True)
OLDER = TransferApi(init, update, is_packed_at_init=False)
TENSORS = describe({"a": torch.zeros(2), "b": torch.zeros(3)})


def shown(gpu):
    return pickle.dumps({**TENSORS, "handles": [{gpu: 1}, {gpu: 2}]})


def record(api, *steps):
    """What the engine is told by the given steps, and the last one's result."""
    llm = Recorder()
    transfer = WeightTransfer(llm, api)

    async def take():
        for name, *args in steps:
            result = await getattr(transfer, name)(*args)
        return result

    return llm.calls, asyncio.run(take())


@pytest.mark.parametrize(
    ("api", "at_init", "at_update"), [(LATEST, {"packed": True}, {}), (OLDER, {}, {"packed": True})]
)
def test_nccl_in_order(api, at_init, at_update):
    calls, checksums = record(
        api,
        ("connect_nccl", "host", 1234, 3, 9),
        ("begin",),
        ("receive_nccl", TENSORS),
        ("end",),
    )
    info = {"master_address": "host", "master_port": 1234, "rank_offset": 3, "world_size": 9}
    assert calls == [
        ("collective_rpc", "leave_group"),
        ("init_weight_transfer_engine", info | at_init),
        ("collective_rpc", "begin_receiving"),
        ("start_weight_update",),
        ("update_weights", TENSORS | at_update),
        ("finish_weight_update",),
        ("collective_rpc", "end_receiving"),
    ]
    assert checksums == ["ab"]


def test_ipc_in_parts_wakes_the_weights_first_and_the_cache_last():
    calls, checksums = record(
        LATEST,
        ("sleep",),
        ("begin",),
        ("receive_ipc", [shown("GPU-1"), shown("GPU-2")]),
        ("receive_ipc", [shown("GPU-1"), shown("GPU-2")]),
        ("end",),
    )
    assert [call for call in calls if call[0] != "update_weights"] == [
        ("sleep", 1, "wait"),
        ("wake_up", ["weights"]),
        ("collective_rpc", "begin_receiving"),
        ("start_weight_update",),
        ("finish_weight_update",),
        ("collective_rpc", "end_receiving"),
        ("wake_up", ["kv_cache"]),
    ]
    updates = [call[1] for call in calls if call[0] == "update_weights"]
    assert len(updates) == 2
    handles = pickle.loads(base64.b64decode(updates[0].pop("ipc_handles_pickled")))
    assert handles == [{"GPU-1": 1, "GPU-2": 1}, {"GPU-1": 2, "GPU-2": 2}]
    assert updates[0] == TENSORS
    assert checksums == ["ab"]


def test_an_engine_that_is_awake_is_not_woken():
    calls, _ = record(LATEST, ("begin",), ("receive_ipc", [shown("GPU-1")]), ("end",), ("wake_up",))
    assert "wake_up" not in {call[0] for call in calls}


def test_waking_without_new_weights():
    calls, _ = record(LATEST, ("sleep",), ("sleep",), ("wake_up",), ("wake_up",))
    assert calls == [
        ("sleep", 1, "wait"),
        ("wake_up", ["weights"]),
        ("wake_up", ["kv_cache"]),
    ]
