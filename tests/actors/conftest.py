"""One actor with a real engine, shared by all tests of this folder: it takes long to start."""

import asyncio
import os
from collections.abc import Iterator

import pytest

from actors.sampling import SamplingActor
from understand_r1_zero.args import Args


class Live:
    """An actor and the event loop it lives in."""

    def __init__(self, args: Args):
        self.runner = asyncio.Runner()
        self.actor = SamplingActor(args, 0, (0,))
        cores = os.sched_getaffinity(0)
        self.run(self.actor.start())
        # An actor binds its process, which here runs all other tests too.
        os.sched_setaffinity(0, cores)
        self.engine = self.actor._engine
        self.tokenizer = self.actor._tokenizer

    def run(self, coroutine):
        return self.runner.run(coroutine)

    def close(self):
        self.run(self.actor.shutdown())
        self.runner.close()


@pytest.fixture(scope="package")
def live() -> Iterator[Live]:
    live = Live(Args())
    yield live
    live.close()
