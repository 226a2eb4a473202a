"""States that fork, what a run says, and the bounds on what is kept."""

import gc
import os
import signal
import threading
import time

import pytest

from understand_r1_zero.interpreter.interpreter import Interpreter
from understand_r1_zero.interpreter.limits import Limits
from understand_r1_zero.interpreter.sandbox import SandboxError
from understand_r1_zero.interpreter.steps import cut, round_numbers, run_step


@pytest.fixture(scope="module")
def interpreter():
    try:
        interpreter = Interpreter(Limits(cpu_s=2.0, wall_s=5.0))
    except SandboxError as error:
        pytest.skip(str(error))
    with interpreter:
        yield interpreter


def test_a_run_leaves_its_state_and_siblings_as_they_are(interpreter):
    root = interpreter.start()
    parent = interpreter.run(root, "import sympy\nx = [1]").state
    left = interpreter.run(parent, "x.append(2)\nx")
    right = interpreter.run(parent, "x.append(3)\nx")
    assert (left.output, right.output) == ("[1, 2]\n", "[1, 3]\n")
    assert interpreter.run(left.state, "x.append(4)\nx").output == "[1, 2, 4]\n"
    assert interpreter.run(left.state, "x").output == "[1, 2]\n"
    assert interpreter.run(parent, "x").output == "[1]\n"
    assert interpreter.run(root, "x").output == "NameError: name 'x' is not defined"
    assert interpreter.num_replays == 0


def test_libraries_are_imported_beforehand(interpreter):
    assert {"math", "numpy", "sympy", "scipy"} <= set(interpreter.libraries)
    code = "import sys\n[name in sys.modules for name in ('sympy', 'numpy', 'math')]"
    assert interpreter.run(interpreter.start(), code).output == "[True, True, True]\n"
    run = interpreter.run(interpreter.start(), "import scipy.special\nscipy.special.comb(5, 2)")
    assert run.output == "10.0\n"


def test_what_a_run_says(interpreter):
    def said(code):
        run = interpreter.run(interpreter.start(), code)
        return run.output, run.error

    assert said("print('a')\nprint(1 / 3)\n2 / 3") == ("a\n0.3333\n0.6667\n", "")
    assert said("x = 3") == ("", "")
    assert said("'text'") == ("text\n", "")
    assert said("None") == ("", "")
    assert said("") == ("", "")
    assert said("if True:\n    5") == ("", "")
    assert said("5;") == ("5\n", "")
    assert said("import numpy\nnumpy.float64(0.5)") == ("0.5\n", "")
    assert said("def f(n):\n    return f(n - 1) if n else f\nf(3)(2) is f") == ("True\n", "")
    assert said("1 +") == ("SyntaxError: invalid syntax", "exception")
    assert said("input()") == ("EOFError: EOF when reading a line", "exception")
    assert said("import sys\nprint('e', file=sys.stderr)") == ("e\n", "")
    assert said("print('before')\n[][1]") == (
        "before\nIndexError: list index out of range",
        "exception",
    )
    long, _ = said("print('a' * 1000 + 'b' * 1000)")
    assert long == "a" * 250 + "..." + "b" * 249 + "\n"


def test_an_exception_keeps_what_was_done_before_it(interpreter):
    run = interpreter.run(interpreter.start(), "x = 1\n1 / 0")
    assert run.error == "exception"
    assert interpreter.run(run.state, "x").output == "1\n"


def test_after_a_deadline_the_state_is_the_one_before(interpreter):
    before = interpreter.run(interpreter.start(), "x = 1").state
    run = interpreter.run(before, "x = 2\nwhile True: pass")
    assert run.error == "timeout"
    interpreter.release(before)
    assert interpreter.run(run.state, "x").output == "1\n"


def test_code_too_long_is_refused_as_text(interpreter):
    run = interpreter.run(interpreter.start(), "#" * 40_000)
    assert run.error == "exception"
    assert "longer" in run.output


def test_chance_is_the_same_in_each_interpreter(interpreter):
    code = (
        "import random, numpy, sympy.core.random\n"
        "print(random.random(), numpy.random.rand(), sympy.core.random.random(), hash('a'))"
    )
    first = interpreter.run(interpreter.start(), code).output
    assert interpreter.run(interpreter.start(), code).output == first
    after = interpreter.run(interpreter.run(interpreter.start(), "1").state, code).output
    assert after != first
    with Interpreter() as another:
        assert another.run(another.start(), code).output == first
        state = another.run(another.start(), "1").state
        assert another.run(state, code).output == after


def test_the_least_recently_used_state_is_dropped_and_made_again():
    with Interpreter(Limits(max_states=3)) as interpreter:
        states = [interpreter.start()]
        for i in range(6):
            states.append(
                interpreter.run(states[-1], f"import random\nx{i} = random.random()").state
            )
        assert (interpreter.num_kept, interpreter.num_dropped, interpreter.num_replays) == (3, 3, 0)
        deep = interpreter.run(states[6], "x5 + x0").output
        assert interpreter.num_replays == 0
        early = interpreter.run(states[2], "x1 + x0")
        assert (early.error, interpreter.num_replays) == ("", 2)
        for state in states[3:6]:
            assert interpreter.run(state, "x2").error == ""
        assert interpreter.run(states[6], "x5 + x0").output == deep
        assert interpreter.num_kept <= 3


def test_states_that_are_large_together_make_room():
    limits = Limits(kept_bytes=100 * 2**20)
    with Interpreter(limits) as interpreter:
        root = interpreter.start()
        small = [interpreter.run(root, f"x = {i}").state for i in range(5)]
        large = [interpreter.run(root, f"x = bytearray({60 * 2**20})").state for _ in range(2)]
        assert interpreter.num_dropped == 6
        assert interpreter.num_kept == 1
        assert interpreter.run(large[0], "len(x)").output == f"{60 * 2**20}\n"
        assert interpreter.run(small[3], "x").output == "3\n"


def test_runs_leave_no_descriptor_behind(interpreter):
    def open_files():
        gc.collect()
        assert interpreter.num_kept == 0
        return len(os.listdir("/proc/self/fd"))

    interpreter.run(interpreter.start(), "1")
    before = open_files()
    for code in ["1", "1 / 0", "import os; os._exit(0)", "import os; os.write(3, b'x')"] * 10:
        interpreter.run(interpreter.start(), code)
    assert open_files() == before


def test_a_state_that_died_is_made_again(interpreter):
    state = interpreter.run(interpreter.start(), "x = 7").state
    os.kill(state.node.process.pid, signal.SIGKILL)
    replays = interpreter.num_replays
    assert interpreter.run(state, "x").output == "7\n"
    assert interpreter.num_replays == replays + 1


def test_released_and_forgotten_states_end():
    with Interpreter() as interpreter:
        root = interpreter.start()
        run = interpreter.run(root, "x = 1")
        child = interpreter.run(run.state, "x + 1").state
        assert interpreter.num_kept == 2
        interpreter.release(run.state)
        interpreter.release(run.state)
        assert interpreter.num_kept == 1
        assert interpreter.run(child, "x").output == "1\n"
        with pytest.raises(ValueError, match="released"):
            interpreter.run(run.state, "x")
        del child
        gc.collect()
        assert interpreter.num_kept == 0
        assert interpreter.run(root, "1").output == "1\n"


def test_the_descendant_of_a_released_state_can_be_made_again():
    with Interpreter(Limits(max_states=1)) as interpreter:
        first = interpreter.run(interpreter.start(), "x = 1").state
        second = interpreter.run(first, "x += 1").state
        interpreter.release(first)
        other = interpreter.run(interpreter.start(), "x = 10").state
        assert interpreter.run(second, "x").output == "2\n"
        assert interpreter.run(other, "x").output == "10\n"
        assert interpreter.num_kept <= 1


def test_runs_go_side_by_side(interpreter):
    state = interpreter.run(interpreter.start(), "import time").state
    sleepers = interpreter.limits.max_running
    started = time.monotonic()
    threads = [
        threading.Thread(target=interpreter.run, args=(state, "time.sleep(0.5)"))
        for _ in range(2 * sleepers)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Twice as many as may run at once: two rounds.
    assert 1.0 <= time.monotonic() - started < 0.5 * sleepers


def test_many_threads_grow_their_own_trees():
    wrong = []
    with Interpreter(Limits(max_states=6, cpu_s=5.0)) as interpreter:

        def search(k):
            state = interpreter.run(interpreter.start(), f"x = [{k}]").state
            for depth in range(6):
                run = interpreter.run(state, f"x.append({depth})\nsum(x)")
                interpreter.run(state, "x.clear()")
                if run.output != f"{k + sum(range(depth + 1))}\n":
                    wrong.append(run)
                state = run.state

        threads = [threading.Thread(target=search, args=(k,)) for k in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_a_broken_or_closed_sandbox_raises():
    interpreter = Interpreter()
    state = interpreter.start()
    interpreter._sandbox.guard.kill()
    deadline = time.monotonic() + 10
    while interpreter._sandbox.is_alive() and time.monotonic() < deadline:
        time.sleep(0.01)
    with pytest.raises(SandboxError, match="gone"):
        interpreter.run(state, "1")
    interpreter.close()
    interpreter.close()
    with pytest.raises(SandboxError, match="closed"):
        interpreter.run(state, "1")


def test_closing_ends_runs_in_other_threads():
    interpreter = Interpreter(Limits(wall_s=60.0))
    raised = []

    def sleep():
        try:
            interpreter.run(interpreter.start(), "import time\ntime.sleep(50)")
        except SandboxError as error:
            raised.append(str(error))

    thread = threading.Thread(target=sleep)
    thread.start()
    time.sleep(0.5)
    started = time.monotonic()
    interpreter.close()
    thread.join()
    assert time.monotonic() - started < 10
    assert raised == ["the interpreter is closed"]


def test_without_a_mechanism_it_refuses_unless_told(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SandboxError, match=r"bwrap is not installed.*--unsafe_interpreter"):
        Interpreter(mechanisms=("bubblewrap",))
    limits = Limits(cpu_s=1.0)
    with Interpreter(limits, mechanisms=("bubblewrap",), is_unsafe=True) as interpreter:
        assert interpreter.mechanism == "unsafe"
        run = interpreter.run(interpreter.start(), "x = 2\nx")
        assert run.output == "2\n"
        assert interpreter.run(run.state, "while True: x += 1").error == "timeout"
        assert interpreter.run(run.state, "x").output == "2\n"


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="cpu_s must be positive, got 0"):
        Limits(cpu_s=0)
    with pytest.raises(ValueError, match="mechanisms must be among"):
        Interpreter(mechanisms=("docker",))


def test_numbers_are_rounded_as_in_the_paper():
    assert round_numbers("0.99999999", 4) == "1.0"
    assert (
        round_numbers("3.14159265\nx = 3.14159265\n-2.5\n7", 4) == "3.1416\nx = 3.14159265\n-2.5\n7"
    )
    assert round_numbers("123456789012345678901234567890", 4) == "123456789012345678901234567890"
    assert round_numbers("1.23456789e-07", 4) == "1.23456789e-07"
    assert round_numbers("1e400\n1e100", 4) == "1e400\n1e100"


def test_long_output_is_cut_in_the_middle():
    assert cut("abcdefgh", 8) == "abcdefgh"
    assert cut("abcdefghi", 4) == "ab...hi"
    assert cut("abcdefghi", 5) == "ab...ghi"


def test_a_step_without_a_sandbox_prints_the_same(capfd):
    namespace = {}
    assert run_step("x = 2\nprint(x)\nx ** 2", namespace, 100) == ("2\n4\n", "", "")
    assert run_step("print('a' * 101)", namespace, 100)[1] == "output"
    assert capfd.readouterr().out == ""
