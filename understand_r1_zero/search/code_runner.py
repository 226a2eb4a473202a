"""Runs the code of steps, each in the state that the steps before it left."""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import replace

from understand_r1_zero.interpreter.interpreter import Interpreter, State
from understand_r1_zero.search.codecs.step import StepCodec
from understand_r1_zero.search.step import Step


class CodeRunner:
    """The interpreter's states of one problem's partial solutions.

    Equal partial solutions have one state. Steps that somebody else ran, as those of a given solution, are run
    here again when something is to follow them. `close` ends the states' processes.
    """

    def __init__(self, interpreter: Interpreter, codec: StepCodec, threads: Executor) -> None:
        self._interpreter = interpreter
        self._codec = codec
        self._threads = threads
        self._states: dict[tuple[str, ...], State] = {(): interpreter.start()}

    async def run(self, steps: Sequence[Step], step: Step) -> Step:
        """The step with what its code printed, after these steps."""
        assert step.code is not None, "only code is run"
        before = tuple(each.code for each in steps if each.code is not None)
        state, output, has_failed = await self._run(await self._state_after(before), step.code)
        self._states.setdefault((*before, step.code), state)
        return replace(self._codec.observe(step, output, steps), has_failed=has_failed)

    def close(self) -> None:
        """Let go of all states."""
        for state in self._states.values():
            self._interpreter.release(state)
        self._states.clear()

    async def _state_after(self, codes: tuple[str, ...]) -> State:
        known = next(n for n in range(len(codes), -1, -1) if codes[:n] in self._states)
        state = self._states[codes[:known]]
        for number in range(known, len(codes)):
            state, _, _ = await self._run(state, codes[number])
            self._states.setdefault(codes[: number + 1], state)
        return state

    async def _run(self, state: State, code: str) -> tuple[State, str, bool]:
        loop = asyncio.get_running_loop()
        run = await loop.run_in_executor(self._threads, self._interpreter.run, state, code)
        return run.state, run.output, bool(run.error)


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
