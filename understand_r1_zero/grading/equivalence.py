r"""Whether an answer equals a gold answer under declared conventions.

First the exact path (exact.py), then structure (reading/, comparison/) with SymPy below it, and
math-verify for integrals, sums and limits. Plain rules, beyond the conventions: `1,234` is one number
and `1, 234` two; `x=5` equals `5` and not `y=5`; a tuple is ordered, a set is not, `(1,2)` is not
`[1,2]`; `2 1/3` is a mixed number; a letter keeps its case, a word does not.

SymPy evaluates text that a model wrote, which may take for ever or all memory: only a grading
worker (worker.py) may call `is_equivalent`.
"""

import contextlib
import re
from typing import TYPE_CHECKING

from understand_r1_zero.grading.conventions import Conventions
from understand_r1_zero.grading.exact import is_exact_match, is_plain_number
from understand_r1_zero.grading.reading.latex import Unreadable
from understand_r1_zero.grading.reading.words import chosen

if TYPE_CHECKING:
    from understand_r1_zero.grading.reading.forms import Form


_SUBSCRIPT = re.compile(r"_\{[^{}]*\}")


class UnparsableGoldError(ValueError):
    """The gold answer cannot be read, so no answer can be judged by it."""


def is_equivalent(answer: str, gold: str, conventions: Conventions) -> bool:
    """Whether both are the same answer. May never return, and may take all memory.

    Raises `UnparsableGoldError` where the gold answer can be read neither as mathematics nor as
    words, and the answer is not the same text.
    """
    is_exact = is_exact_match(answer, gold, conventions)
    if is_exact:
        return True
    if is_exact is False:
        require_readable(gold, conventions)
        return False
    if conventions.mathematics == "math_verify":
        return _agrees_by_library(answer, gold)
    return _is_same(answer, gold, conventions)


def require_readable(gold: str, conventions: Conventions) -> None:
    """Raise `UnparsableGoldError` unless answers can be judged by this gold answer."""
    from understand_r1_zero.grading.reading.expressions import NeedsLibraryError

    if is_plain_number(gold):
        return
    if conventions.mathematics == "sympy":
        with contextlib.suppress(NeedsLibraryError):
            _read_gold(gold)
            return
    _agrees_by_library(gold, gold)


def warm_up() -> None:
    """Load SymPy and math-verify and fill their caches, which takes a second."""
    for answer, gold in (
        (r"-\frac{1}{2}x^{2}+\sqrt{3}", r"\sqrt{3}-x^2/2"),
        (r"(-\infty, 2] \cup \{3, 4\}", r"\{3\}"),
        (r"y=2\sin(\pi x)", r"\pi"),
    ):
        is_equivalent(answer, gold, Conventions())
        is_equivalent(answer, gold, Conventions(mathematics="math_verify"))


def _is_same(answer: str, gold: str, conventions: Conventions) -> bool:
    # SymPy takes a second to import, and most processes that import this module never compare.
    from understand_r1_zero.grading.comparison.answers import same_answer
    from understand_r1_zero.grading.reading.answers import read
    from understand_r1_zero.grading.reading.expressions import NeedsLibraryError

    if (choices := chosen(answer, gold)) is not None:
        return choices[0] == choices[1]
    try:
        gold_form = _read_gold(gold)
    except NeedsLibraryError:
        return _is_alike(answer, gold) and _agrees_by_library(answer, gold)
    try:
        form = read(answer)
    except Unreadable:
        return False
    except NeedsLibraryError:
        # A gold answer that can be read must not become unknown by what is asked about it.
        with contextlib.suppress(UnparsableGoldError):
            return _is_alike(answer, gold) and _agrees_by_library(answer, gold)
        return False
    return same_answer(form, gold_form, conventions)


def _is_alike(answer: str, gold: str) -> bool:
    """Whether both have as many separators: math-verify alone takes `6=5` for 5."""
    texts = [_SUBSCRIPT.sub("", text) for text in (answer, gold)]
    return all(texts[0].count(mark) == texts[1].count(mark) for mark in "=,;<>")


def _read_gold(gold: str) -> "Form":
    from understand_r1_zero.grading.reading.answers import read

    try:
        return read(gold)
    except Unreadable as error:
        raise _unparsable(gold, error) from error


def _agrees_by_library(answer: str, gold: str) -> bool:
    from understand_r1_zero.grading.library import agrees

    try:
        return agrees(answer, gold)
    except Unreadable as error:
        raise _unparsable(gold, error) from error


def _unparsable(gold: str, error: Unreadable) -> UnparsableGoldError:
    return UnparsableGoldError(f"cannot parse the gold answer {gold!r}: {error}")
