"""Code of steps, run in the sandbox in the states that steps before it left."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from understand_r1_zero.interpreter.interpreter import Interpreter
from understand_r1_zero.interpreter.limits import Limits
from understand_r1_zero.interpreter.sandbox import SandboxError
from understand_r1_zero.search.code_runner import CodeRunner, CodeRunners
from understand_r1_zero.search.codecs.registry import load_codec
from understand_r1_zero.search.step import Step

CODEC = load_codec("xml")


@pytest.fixture
def interpreter():
    try:
        interpreter = Interpreter(Limits(cpu_s=5.0, wall_s=1.0))
    except SandboxError as error:
        pytest.skip(str(error))
    with interpreter:
        yield interpreter


def coded(code):
    return CODEC.parse(f"<step>\n<p>\nRun.\n</p>\n<code>\n```python\n{code}\n```\n</code>")


def ran(interpreter, work):
    """What `work` makes of a runner, which is closed after it."""

    async def run():
        with ThreadPoolExecutor(4) as threads:
            runner = CodeRunner(interpreter, CODEC, threads)
            try:
                return await work(runner)
            finally:
                runner.close()

    return asyncio.run(run())


async def solved(runner, *codes):
    """The steps of a solution, each run after those before it."""
    steps = []
    for code in codes:
        steps.append(await runner.run(steps, coded(code)))
    return steps


def said(steps):
    return [(step.observation, step.has_failed) for step in steps]


def test_an_endless_loop_fails_its_step_alone(interpreter):
    async def work(runner):
        return await asyncio.gather(
            solved(runner, "x = 1", "while True:\n    x += 1", "print(x)"),
            solved(runner, "x = 1", "print(x + 1)"),
            solved(runner, "print(5)"),
        )

    endless, beside, other = ran(interpreter, work)
    assert [failed for _, failed in said(endless)] == [False, True, False]
    assert said(endless)[2] == ("1", False), "the state before the loop goes on"
    assert said(beside) == [("", False), ("2", False)]
    assert said(other) == [("5", False)]


def test_steps_share_their_state_and_siblings_do_not(interpreter):
    async def work(runner):
        first = await runner.run([], coded("x = 1"))
        left, right = await asyncio.gather(
            solved_after(runner, first, "x += 1"), solved_after(runner, first, "x += 10")
        )
        return first, left, right

    async def solved_after(runner, first, code):
        second = await runner.run([first], coded(code))
        return await runner.run([first, second], coded("print(x)"))

    first, left, right = ran(interpreter, work)
    assert (first.observation, left.observation, right.observation) == ("", "2", "11")
    assert left.text.endswith("</code>\n<output>\n2\n</output>\n</step>\n")
    assert left.text[left.observation_start :].startswith("\n<output>")


def test_equal_code_after_equal_code_runs_once(interpreter):
    async def work(runner):
        told = await asyncio.gather(
            *(solved(runner, "x = 1", "print(x)") for _ in range(4)), solved(runner, "print(2)")
        )
        words = [Step("Only words.\n")]
        words.append(await runner.run(words, coded("x = 1")))
        return [*told, words]

    before = interpreter.num_runs
    *same, other, words = ran(interpreter, work)
    assert interpreter.num_runs - before == 3
    assert all(said(steps) == [("", False), ("1", False)] for steps in same)
    assert said(other) == [("2", False)] and words[-1].observation == ""


def test_an_error_fails_its_step_and_what_it_set_stays(interpreter):
    async def work(runner):
        return await solved(runner, "x = 1", "x = 2\nprint(1 / 0)", "print(x)")

    steps = ran(interpreter, work)
    assert [failed for _, failed in said(steps)] == [False, True, False]
    assert "ZeroDivisionError" in steps[1].observation and steps[2].observation == "2"


def test_the_states_of_a_problem_are_kept_while_somebody_uses_them(interpreter):
    async def work():
        with ThreadPoolExecutor(2) as threads:
            runners = CodeRunners(interpreter, CODEC, threads)
            with runners.of("sums:1") as outer:
                with runners.of("sums:1") as inner:
                    assert inner is outer
                    await solved(inner, "x = 1")
                await solved(outer, "x = 1", "print(x)")
                kept = interpreter.num_kept
                with runners.of("sums:2") as other:
                    assert other is not outer
            with runners.of("sums:1") as again:
                await solved(again, "x = 1")
            return kept

    before = interpreter.num_runs
    assert asyncio.run(work()) == 2
    assert interpreter.num_runs - before == 3 and interpreter.num_kept == 0
