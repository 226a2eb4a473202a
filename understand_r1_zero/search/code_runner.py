"""Runs the code of steps for the search of one problem, each in the state that its ancestors left."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import replace

from understand_r1_zero.interpreter.interpreter import Interpreter, State
from understand_r1_zero.search.codecs.step import StepCodec
from understand_r1_zero.search.step import Step


class CodeRunner:
    """The interpreter's states of one problem's partial solutions, by their texts.

    Equal partial solutions have one state. Close it when the search is over, so that the states' processes
    end.
    """

    def __init__(self, interpreter: Interpreter, codec: StepCodec, threads: Executor) -> None:
        self._interpreter = interpreter
        self._codec = codec
        self._threads = threads
        self._states: dict[str, State] = {"": interpreter.start()}

    async def run(self, steps: Sequence[Step], step: Step) -> Step:
        """The step with what its code printed, after these steps."""
        assert step.code is not None, "only code is run"
        state = self._state_after(steps)
        loop = asyncio.get_running_loop()
        run = await loop.run_in_executor(self._threads, self._interpreter.run, state, step.code)
        observed = self._codec.observe(step, run.output, steps)
        solution = "".join(each.text for each in [*steps, observed])
        self._states.setdefault(solution, run.state)
        return replace(observed, has_failed=bool(run.error))

    def close(self) -> None:
        """Let go of all states."""
        for state in self._states.values():
            self._interpreter.release(state)
        self._states.clear()

    def _state_after(self, steps: Sequence[Step]) -> State:
        """That of the longest beginning that ended in code: a step without code changes nothing."""
        for length in range(len(steps), -1, -1):
            solution = "".join(step.text for step in steps[:length])
            if solution in self._states:
                return self._states[solution]
        raise AssertionError("the empty solution has a state")
