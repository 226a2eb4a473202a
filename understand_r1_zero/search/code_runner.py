"""Runs the code of steps, each in the state that the steps before it left."""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace

from understand_r1_zero.interpreter.interpreter import Interpreter, State
from understand_r1_zero.search.codecs.step import StepCodec
from understand_r1_zero.search.step import Step


@dataclass(frozen=True, slots=True)
class _Ran:
    """What running a step came to."""

    state: State
    output: str = ""
    has_failed: bool = False


class CodeRunner:
    """Runs code of one problem's partial solutions, the same code after the same code once.

    Steps that somebody else ran, as those of a given solution, are run here again when something is to follow
    them. `close` ends the processes of all states.
    """

    def __init__(self, interpreter: Interpreter, codec: StepCodec, threads: Executor) -> None:
        self._interpreter = interpreter
        self._codec = codec
        self._threads = threads
        self._start = _Ran(interpreter.start())
        self._ran: dict[tuple[str, ...], asyncio.Task[_Ran]] = {}

    async def run(self, steps: Sequence[Step], step: Step) -> Step:
        """The step with what its code printed, after these steps."""
        assert step.code is not None, "only code is run"
        codes = [each.code for each in [*steps, step] if each.code is not None]
        ran = await self._after(tuple(codes))
        observed = self._codec.observe(step, ran.output, steps)
        return replace(observed, has_failed=ran.has_failed)

    def close(self) -> None:
        """Let go of all states."""
        for task in self._ran.values():
            if task.cancel() or task.cancelled() or task.exception() is not None:
                continue
            self._interpreter.release(task.result().state)
        self._interpreter.release(self._start.state)
        self._ran.clear()

    async def _after(self, codes: tuple[str, ...]) -> _Ran:
        if not codes:
            return self._start
        if codes not in self._ran:
            self._ran[codes] = asyncio.create_task(self._run(codes))
        return await asyncio.shield(self._ran[codes])

    async def _run(self, codes: tuple[str, ...]) -> _Ran:
        before = await self._after(codes[:-1])
        loop = asyncio.get_running_loop()
        run = await loop.run_in_executor(
            self._threads, self._interpreter.run, before.state, codes[-1]
        )
        return _Ran(run.state, run.output, bool(run.error))


class CodeRunners:
    """A `CodeRunner` for each problem that is being worked on.

    Args:
        interpreter: runs all code.
        codec: writes what it printed.
        threads: wait for it.
    """

    def __init__(self, interpreter: Interpreter, codec: StepCodec, threads: Executor) -> None:
        self._interpreter = interpreter
        self._codec = codec
        self._threads = threads
        self._runners: dict[str, CodeRunner] = {}
        self._users: dict[str, int] = {}

    @contextlib.contextmanager
    def of(self, problem_id: str) -> Iterator[CodeRunner]:
        """The problem's, closed once nobody uses it any more."""
        if problem_id not in self._runners:
            self._runners[problem_id] = CodeRunner(self._interpreter, self._codec, self._threads)
        self._users[problem_id] = self._users.get(problem_id, 0) + 1
        try:
            yield self._runners[problem_id]
        finally:
            self._users[problem_id] -= 1
            if not self._users[problem_id]:
                del self._users[problem_id]
                self._runners.pop(problem_id).close()
