"""What attacks share: an interpreter under each mechanism that works here, and the proof that it goes on."""

import pytest

from understand_r1_zero.interpreter.interpreter import SAFE_MECHANISMS, Interpreter
from understand_r1_zero.interpreter.limits import Limits
from understand_r1_zero.interpreter.sandbox import SandboxError

LIMITS = Limits(cpu_s=1.0, wall_s=3.0, memory_bytes=256 * 2**20)


@pytest.fixture(scope="module", params=SAFE_MECHANISMS)
def interpreter(request):
    try:
        interpreter = Interpreter(LIMITS, mechanisms=(request.param,))
    except SandboxError as error:
        pytest.skip(str(error))
    with interpreter:
        yield interpreter


@pytest.fixture(autouse=True)
def the_next_run_works(request, interpreter):
    yield
    state = interpreter.start()
    run = interpreter.run(state, "import sympy\nprint(len('abc'))\nsympy.sqrt(8)")
    assert (run.output, run.error) == ("3\n2*sqrt(2)\n", "")


def attack(interpreter, code):
    return interpreter.run(interpreter.start(), code)
