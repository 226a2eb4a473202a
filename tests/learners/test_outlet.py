"""One rank's end of each way, on a policy of plain tensors."""

import pickle
import sys
from types import ModuleType

import pytest
import torch

from learners import outlet
from learners.outlet import Outlet
from understand_r1_zero.weights import checksum, describe, to_arrays

WEIGHTS = {
    "a": torch.arange(4.0),
    "b": torch.arange(6.0).reshape(2, 3).T,
    "large": torch.arange(10.0),
    "c": torch.ones(2).bfloat16(),
}


class GatheredPolicy:
    """As under ZeRO-3: a weight is whole only until the next is asked for, then its memory is reused."""

    def __init__(self, rank=0):
        self.rank = rank
        self.gathers = 0

    def full_tensors(self):
        self.gathers += 1
        for name, weight in WEIGHTS.items():
            gathered = weight.clone()
            yield name, gathered
            gathered.fill_(-1)

    def published_weights(self):
        return to_arrays(WEIGHTS) if self.rank == 0 else None


class Sender:
    """In place of `NcclSender`: takes several tensors before it sends any, as vLLM's does."""

    opened: list = []  # noqa: RUF012

    def __init__(self, *place):
        self.place, self.sent, self.is_closed = place, [], False
        self.opened.append(self)

    def send(self, tensors):
        self.sent = [(name, tensor.clone()) for name, tensor in list(tensors)]

    def close(self):
        self.is_closed = True


@pytest.fixture
def sender(monkeypatch):
    module = ModuleType("a_sender")
    module.Sender = Sender  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setitem(sys.modules, "a_sender", module)
    monkeypatch.setattr(Sender, "opened", [])
    return "a_sender:Sender"


@pytest.fixture
def shown(monkeypatch):
    """Messages hold the tensors themselves, instead of handles that need a GPU."""
    monkeypatch.setattr(outlet, "show", lambda tensors: pickle.dumps(dict(tensors)))
    monkeypatch.setattr(outlet, "SHOWN_BYTES", 48)


def test_to_host_gives_rank_0_the_weights_and_others_nothing():
    weights, found = Outlet(GatheredPolicy()).to_host()
    assert weights.keys() == WEIGHTS.keys() and found == checksum(WEIGHTS)
    assert Outlet(GatheredPolicy(rank=1)).to_host() == (None, "")


def test_rank_0_opens_the_group_and_describes_what_it_will_send(sender):
    described = Outlet(GatheredPolicy()).open_nccl(sender, "host", 1234, 5)
    assert described == describe(WEIGHTS)
    assert [opened.place for opened in Sender.opened] == [("host", 1234, 5)]


def test_other_ranks_help_to_gather_and_open_nothing(sender):
    policy = GatheredPolicy(rank=1)
    rank = Outlet(policy)
    assert rank.open_nccl(sender, "host", 1234, 5) == describe(WEIGHTS)
    assert rank.send_nccl() == checksum(WEIGHTS)
    assert policy.gathers == 2
    assert Sender.opened == []


def test_what_is_sent_is_whole_and_its_checksum_returned(sender):
    rank = Outlet(GatheredPolicy())
    rank.open_nccl(sender, "host", 1234, 5)
    for _ in range(2):
        assert rank.send_nccl() == checksum(WEIGHTS)
        sent = dict(Sender.opened[0].sent)
        assert list(sent) == list(WEIGHTS)
        assert all(torch.equal(sent[name], WEIGHTS[name]) for name in WEIGHTS)


def test_a_group_that_is_opened_anew_replaces_the_last(sender):
    rank = Outlet(GatheredPolicy())
    rank.open_nccl(sender, "host", 1, 3)
    rank.open_nccl(sender, "host", 2, 3)
    rank.send_nccl()
    first, second = Sender.opened
    assert first.is_closed and not first.sent
    assert not second.is_closed and second.sent


def test_everything_is_shown_once_in_bounded_parts(shown):
    rank = Outlet(GatheredPolicy())
    for _ in range(2):
        parts = []
        while (message := rank.show(True)) is not None:
            parts.append(pickle.loads(message))
        # 16 + 24 bytes, then one of 40 to which the last 4 fit.
        assert [list(part) for part in parts] == [["a", "b"], ["large", "c"]]
        together = {name: tensor for part in parts for name, tensor in part.items()}
        assert all(torch.equal(together[name], WEIGHTS[name]) for name in WEIGHTS)
        assert all(tensor.is_contiguous() for tensor in together.values())
        assert rank.shown_checksum() == checksum(WEIGHTS)


def test_what_was_shown_lives_until_the_next_is_asked_for_and_no_longer(shown, monkeypatch):
    alive = []
    monkeypatch.setattr(outlet, "show", lambda tensors: alive.append(dict(tensors)) or b"x")
    rank = Outlet(GatheredPolicy())
    rank.show(True)
    assert rank._shown.keys() == alive[0].keys()
    rank.show(True)
    assert rank._shown.keys() == alive[1].keys()
    rank.show(True)
    assert rank._shown == {}


def test_where_nobody_reads_nothing_is_exported_but_all_is_gathered(shown, monkeypatch):
    monkeypatch.setattr(outlet, "show", None)
    policy = GatheredPolicy(rank=2)
    rank = Outlet(policy)
    assert [rank.show(False) for _ in range(3)] == [b"", b"", None]
    assert policy.gathers == 1
    assert rank.shown_checksum() == checksum(WEIGHTS)
