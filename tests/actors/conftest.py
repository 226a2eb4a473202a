"""One actor with a real engine, shared by all tests of this folder: it takes long to start."""

import asyncio
import os
from collections.abc import Iterator

import pytest

from actors.sampling import SamplingActor
from understand_r1_zero.args import Args


class Live:
    """An actor and the event loop it lives in."""

    def __init__(self):
        self.runner = asyncio.Runner()
        self.actor = SamplingActor(Args(), 0, (0,))
        cores = os.sched_getaffinity(0)
        self.run(self.actor.start())
        # An actor binds its process, which here runs all other tests too.
        os.sched_setaffinity(0, cores)
        self.engine = self.actor._engine
        self.tokenizer = self.actor._tokenizer

    def run(self, coroutine):
        return self.runner.run(coroutine)


@pytest.fixture(scope="package")
def live() -> Iterator[Live]:
    live = Live()
    yield live
    live.run(live.actor.shutdown())
    live.runner.close()
