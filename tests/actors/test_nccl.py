"""The learner's end of the NCCL group, without a GPU: what surrounds vLLM's own sending."""

from types import SimpleNamespace

import pytest
import torch

pytestmark = pytest.mark.slow  # vLLM is imported


@pytest.fixture
def events(monkeypatch):
    from actors import nccl

    events = []

    def produce(tensors, group, src, post_iter_func):
        events.append(("produce", group.info, src, [post_iter_func(item) for item in tensors]))

    def open_end(info):
        return SimpleNamespace(info=info, destroy=lambda: events.append("destroy"))

    monkeypatch.setattr(nccl, "_open_trainer_end", open_end)
    monkeypatch.setattr(nccl, "packed_nccl_broadcast_producer", produce)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: events.append("synchronize"))
    return events


def test_weights_are_complete_before_they_are_sent_and_sent_before_they_may_change(events):
    from actors.nccl import NcclSender

    sender = NcclSender("host", 1234, 5)
    sender.send(iter([("a", 1), ("b", 2)]))
    sender.close()
    info = {"master_address": "host", "master_port": 1234, "world_size": 5}
    assert events == ["synchronize", ("produce", info, 0, [1, 2]), "synchronize", "destroy"]


def test_the_installed_vllm_has_what_is_asked_of_it():
    from actors import nccl

    api = nccl.transfer_api()
    info = {"master_address": "host", "master_port": 1, "rank_offset": 1, "world_size": 2}
    packed = {"packed": True} if api.is_packed_at_init else {}
    nccl.NCCLWeightTransferInitInfo(**info, **packed)
    assert api.init_request(init_info=info).init_info == info
    pynccl = pytest.importorskip("vllm.distributed.device_communicators.pynccl")
    assert callable(pynccl.PyNcclCommunicator.destroy)
