"""Steps a second after six others: a state forked from its parent's over all steps run again.

Both in the same sandbox, in turns. The steps are what a solution by SymPy looks like, and no two
rounds solve the same equation: SymPy remembers what it has computed.
"""

import statistics
import time
from concurrent.futures import ThreadPoolExecutor

from bench.result import Result
from bench.scale import Scale
from understand_r1_zero.interpreter.interpreter import Interpreter, State

TARGET = 10.0
CHILDREN = 4
STEPS = (
    "from sympy import *\nx, y = symbols('x y')\nf = x**3 - 6*x**2 + 11*x - {n}\nprint(f)",
    "roots = solve(Eq(x**2 - 5*x, {n}), x)\nprint(roots)",
    "a = integrate(f * sin(x), (x, 0, pi))\nprint(simplify(a))",
    "b = diff(f, x)\ncritical = solve(b, x)\nprint(critical)",
    "s = solve([x + y - {n}, x*y - 12], [x, y])\nprint(s)",
    "v = [simplify(f.subs(x, c)) for c in critical]\nprint(v, factorint({n}))",
)
LAST = "N(max(v) - min(v) + {k})"


def run(scale: Scale) -> Result:
    """Measure it; also runs a second by two threads, and the memory of a kept state."""
    ours, theirs, fork_ms = [], [], []
    with Interpreter() as interpreter:
        for i in range(scale.warm_up + scale.rounds):
            state = _replayed(interpreter, interpreter.start(), 100 + i)
            started = time.monotonic()
            inside_s = [interpreter.run(state, LAST.format(k=k)).seconds for k in range(CHILDREN)]
            forked_s = (time.monotonic() - started) / CHILDREN
            started = time.monotonic()
            again = _replayed(interpreter, interpreter.start(), 1000 + i)
            interpreter.run(again, LAST.format(k=0))
            replayed_s = time.monotonic() - started
            if i >= scale.warm_up:
                ours.append(1 / forked_s)
                theirs.append(1 / replayed_s)
                fork_ms.append(1000 * (forked_s - statistics.mean(inside_s)))
        state = _replayed(interpreter, interpreter.start(), 99)
        kept = [interpreter.run(state, LAST.format(k=k)).state for k in range(8)]
        kept_bytes = interpreter.kept_bytes()
        del kept
        details = {
            "mechanism": interpreter.mechanism,
            "fork_ms": statistics.median(fork_ms),
            "runs_per_s_two_threads": _runs_per_s(interpreter, state, 25 * scale.rounds),
            "kept_bytes_of_a_state": statistics.median(kept_bytes),
        }
    return Result("interpreter", "steps/s", ours, theirs, TARGET, details=details)


def _replayed(interpreter: Interpreter, state: State, n: int) -> State:
    """The state after all steps."""
    for step in STEPS:
        result = interpreter.run(state, step.format(n=n))
        assert result.error == "", result
        state = result.state
    return state


def _runs_per_s(interpreter: Interpreter, state: State, num_runs: int) -> float:
    started = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda k: interpreter.run(state, f"{k} + 1"), range(num_runs)))
    return num_runs / (time.monotonic() - started)
