"""Both sides of `grader`: `ours`, a grader pool, and `theirs`, math-verify as its README has it.

Each grades the parts of a round one after the other and reports, of each, the number of pairs, the
seconds, and how many verdicts were as expected.
"""

import itertools
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack

from bench.math_answers import Pair, pairs_of_round, split
from bench.side import DoRound, Round, answer
from understand_r1_zero.args import GradingArgs
from understand_r1_zero.grading.conventions import PRESETS
from understand_r1_zero.grading.pool import GraderPool
from understand_r1_zero.types import Status

NUM_WORKERS = 2
Grade = Callable[[list[Pair]], list[bool]]


def main() -> None:
    """`ours GOLDS` or `theirs GOLDS`, golds a round."""
    side, golds_a_round = sys.argv[1], int(sys.argv[2])
    with ExitStack() as stack:
        answer(lambda: _prepare({"ours": _ours, "theirs": _theirs}[side](stack), golds_a_round))


def _prepare(grade: Grade, golds_a_round: int) -> DoRound:
    numbers = itertools.count()
    grade([Pair("1+x", "x+1", True)] * 4)

    def do_round() -> Round:
        found: Round = {}
        for part, pairs in split(pairs_of_round(next(numbers), golds_a_round)).items():
            started_s = time.perf_counter()
            verdicts = grade(pairs)
            found[f"{part}_seconds"] = time.perf_counter() - started_s
            found[part] = len(pairs)
            found[f"{part}_same_text"] = sum(pair.answer == pair.gold for pair in pairs)
            found[f"{part}_own"] = sum(pair.is_own for pair in pairs)
            found[f"{part}_as_expected"] = sum(
                verdict is pair.is_own for verdict, pair in zip(verdicts, pairs, strict=True)
            )
        return found

    return do_round


def _ours(stack: ExitStack) -> Grade:
    default = PRESETS["default"]
    pool = stack.enter_context(GraderPool(NUM_WORKERS, GradingArgs().grader_timeout_s))

    def grade(pairs: list[Pair]) -> list[bool]:
        futures = [pool.submit(pair.answer, [pair.gold], default) for pair in pairs]
        return [future.result().status is Status.CORRECT for future in futures]

    return grade


def _theirs(stack: ExitStack) -> Grade:
    from math_verify import parse, verify

    def grade(pairs: list[Pair]) -> list[bool]:
        return [
            verify(parse(rf"\boxed{{{pair.gold}}}"), parse(rf"\boxed{{{pair.answer}}}"))
            for pair in pairs
        ]

    return grade


if __name__ == "__main__":
    main()
