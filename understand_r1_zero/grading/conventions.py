"""What counts as the same answer: the conventions in which published graders differ, and presets.

They are declared here once, chosen by the flags of `args.GradingArgs`, and stored with every
evaluation, so that a number can always be traced to what it counted.
"""

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from understand_r1_zero.args import GradingArgs


@dataclass(frozen=True, slots=True)
class Conventions:
    """How an answer is compared with a gold answer.

    `mathematics` decides what text and plain numbers cannot: `sympy` reads structure (reading/) and
    compares expressions by value; `math_verify` asks the library of that name; `none` calls
    everything else incorrect and needs no grading process.

    `order` is that of values listed without brackets, `1, 2`: tuples and intervals are always
    ordered, sets never. `percent`: `50\\%` equals 50 and 0.5 (`either`), 50 only (`ignored`: the sign
    is dropped) or 0.5 only (`exact`). `units`: a missing unit is forgiven and a different one is
    not (`optional`), all are dropped (`ignored`), both must be the same (`required`).

    `relative_tolerance` t is for where a decimal point is written, |a - b| <= t max(|a|, |b|); all other
    numbers are exact. `simplified` demands an integer where the other is one, and fractions in
    lowest terms.
    """

    mathematics: Literal["none", "sympy", "math_verify"] = "sympy"
    order: Literal["any", "ordered"] = "any"
    percent: Literal["either", "ignored", "exact"] = "either"
    units: Literal["optional", "ignored", "required"] = "optional"
    relative_tolerance: float = 1e-6
    simplified: bool = False

    def to_dict(self) -> dict[str, Any]:
        """The conventions as JSON holds them."""
        return asdict(self)


PRESETS = {
    "default": Conventions(),
    "strict": Conventions(
        order="ordered", percent="ignored", units="ignored", relative_tolerance=0.0, simplified=True
    ),
    "lenient": Conventions(units="ignored", relative_tolerance=1e-3),
    "fast": Conventions(mathematics="none"),
    "math_verify": Conventions(mathematics="math_verify"),
}
"""`strict` follows the rules of PRM800K (arXiv:2305.20050), `lenient` those of MARIO_EVAL
(arXiv:2404.13925); `fast` and `math_verify` are the names of Oat's two verifiers."""


def conventions_record(args: GradingArgs) -> dict[str, Any]:
    """What is stored beside verdicts: the name of the preset, and every option in force."""
    return {"preset": args.preset, **conventions_of(args).to_dict()}


def conventions_of(args: GradingArgs) -> Conventions:
    """The preset that the flags name, changed by the flags that say otherwise."""
    changes: dict[str, Any] = {}
    if args.answer_order != "preset":
        changes["order"] = args.answer_order
    if args.answer_percent != "preset":
        changes["percent"] = args.answer_percent
    if args.answer_units != "preset":
        changes["units"] = args.answer_units
    if args.answer_tolerance >= 0:
        changes["relative_tolerance"] = args.answer_tolerance
    elif math.isnan(args.answer_tolerance):
        raise ValueError("--answer_tolerance must be a number, got nan")
    if args.answer_simplified != "preset":
        changes["simplified"] = args.answer_simplified == "yes"
    return replace(PRESETS[args.preset], **changes)
