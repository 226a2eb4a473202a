"""Running one step of code in a namespace: what it prints, its last value, its error.

It runs inside the sandbox, in a process that the step can do to what it likes: nothing here is
for protection.
"""

import ast
import contextlib
import io
import math
import re
import sys
import traceback

NUMBER = re.compile(r"[-+]?(\d+\.\d*|\.\d+|\d+(?=[eE]))([eE][-+]?\d+)?")


class FloodError(BaseException):
    """A step printed more than it may; not an Exception, so that few steps catch it."""


class Capture(io.TextIOBase):
    """A text file that remembers what was written, up to a number of characters."""

    def __init__(self, max_chars: int):
        self._pieces: list[str] = []
        self._left_chars = max_chars
        self.is_flooded = False

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, text: str) -> int:
        """Remember the text.

        Raises:
            FloodError: It is more than may be written.
        """
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        self._pieces.append(text[: self._left_chars])
        if len(text) > self._left_chars:
            self._left_chars = 0
            self.is_flooded = True
            raise FloodError(f"more than {sum(map(len, self._pieces))} characters of output")
        self._left_chars -= len(text)
        return len(text)

    def text(self) -> str:
        """What was written."""
        return "".join(self._pieces)


def round_numbers(text: str, decimals: int) -> str:
    """Round each line that is one number, as AlphaMath does for a text that is one.

    A number is left as it is if it does not become shorter, or if it would become zero: there
    AlphaMath says 0.0.
    """
    lines = text.split("\n")
    for i, line in enumerate(lines):
        if NUMBER.fullmatch(line.strip()):
            rounded = round(float(line), decimals)
            shorter = str(rounded)
            is_number = rounded != 0 and math.isfinite(rounded)
            if is_number and len(shorter) < len(line.strip()):
                lines[i] = shorter
    return "\n".join(lines)


def cut(text: str, max_chars: int) -> str:
    """The first and the last half of a long text, with `...` between (AlphaMath)."""
    if len(text) <= max_chars:
        return text
    return text[: max_chars // 2] + "..." + text[len(text) - (max_chars - max_chars // 2) :]


def _execute(code: str, namespace: dict[str, object]) -> None:
    tree = ast.parse(code)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "<step>", "exec"), namespace)
    if isinstance(last, ast.Expr):
        value = eval(compile(ast.Expression(last.value), "<step>", "eval"), namespace)
        if value is not None:
            print(value)


def _last_line(error: BaseException) -> str:
    return traceback.format_exception_only(type(error), error)[-1].strip()


def run_step(code: str, namespace: dict[str, object], flood_chars: int) -> tuple[str, str, str]:
    """Execute code and print the value of its last expression, if that is one and not None.

    The value is printed by `str`, as AlphaMath does: a string without its quotes.

    Returns:
        What was printed; the kind of error, or ""; the last line of its traceback, or "".
    """
    capture = Capture(flood_chars)
    kind, line = "", ""
    try:
        with contextlib.redirect_stdout(capture), contextlib.redirect_stderr(capture):
            _execute(code, namespace)
    except MemoryError:
        kind, line = "memory", "MemoryError"
    except FloodError as error:
        kind, line = "output", _last_line(error)
    except SystemExit as error:
        # `exit()` ends a script, and so a step.
        if error.code not in (None, 0):
            kind, line = "exception", _last_line(error)
    # The step is text that a model wrote: it may raise anything.
    except BaseException as error:  # noqa: BLE001
        kind, line = "exception", _last_line(error)
    if capture.is_flooded:
        kind = "output"
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
    return capture.text(), kind, line
