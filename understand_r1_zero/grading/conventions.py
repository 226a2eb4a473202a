"""What counts as the same answer: the conventions in which published graders differ, and presets.

They are declared here once, chosen by the flags of `args.GradingArgs`, and stored with every
evaluation, so that a number can always be traced to what it counted.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from understand_r1_zero.args import GradingArgs

MAX_TIMEOUT_S = 86_400.0
"""A day: a longer deadline is none."""


@dataclass(frozen=True, slots=True)
class Conventions:
    """How an answer is compared with a gold answer.

    `mathematics` decides what text and plain numbers cannot: `sympy` reads structure (reading/) and
    compares expressions by value; `math_verify` asks the library of that name, which has conventions
    of its own: the others then hold for text and plain numbers only.

    `order` is that of values listed without brackets, `1, 2`: tuples and intervals are always
    ordered, sets never. `percent`: `50\\%` equals 50 and 0.5 (`either`), 50 only (`ignored`: the sign
    is dropped) or 0.5 only (`exact`). `units`: a missing unit is forgiven and a different one is
    not (`optional`), all are dropped (`ignored`), both must be the same (`required`).

    `relative_tolerance` t is for where a decimal point is written, |a - b| <= t max(|a|, |b|); all other
    numbers are exact. `simplified` demands an integer where the other is one, and fractions in
    lowest terms.
    """

    mathematics: Literal["sympy", "math_verify"] = "sympy"
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
    "fast": Conventions(
        order="ordered", percent="ignored", units="ignored", relative_tolerance=0.0
    ),
    "math_verify": Conventions(mathematics="math_verify"),
}
"""`strict` follows the rules of PRM800K (arXiv:2305.20050), `lenient` those of MARIO_EVAL
(arXiv:2404.13925). `fast` and `math_verify` are Oat's two verifiers without their known mistakes:
`fast` has its conventions, but takes 2/4 for 1/2 and 2^{10} for 1024."""


def conventions_of(args: GradingArgs) -> Conventions:
    """The preset that the flags name, changed by the flags that say otherwise.

    Raises:
        ValueError: a tolerance that is none, or a change to what math-verify decides by itself.
    """
    changes: dict[str, Any] = {}
    for name in ("order", "percent", "units"):
        if (value := getattr(args, f"answer_{name}")) != "preset":
            changes[name] = value
    if args.answer_simplified != "preset":
        changes["simplified"] = args.answer_simplified == "yes"
    if (tolerance := args.answer_tolerance) is not None:
        if not 0 <= tolerance < 1:
            raise ValueError(f"--answer_tolerance must be at least 0 and below 1, got {tolerance}")
        changes["relative_tolerance"] = tolerance
    preset = PRESETS[args.preset]
    if changes and preset.mathematics == "math_verify":
        flags = ", ".join(f"--answer_{name.removeprefix('relative_')}" for name in changes)
        raise ValueError(f"--preset math_verify has conventions of its own: leave out {flags}")
    return replace(preset, **changes)


def check_grading(args: GradingArgs) -> None:
    """Raise ValueError, naming the flag, for what no grader can be made of."""
    conventions_of(args)
    if args.grader_workers < 1:
        raise ValueError(f"--grader_workers must be at least 1, got {args.grader_workers}")
    if not 0 < args.grader_timeout_s <= MAX_TIMEOUT_S:
        raise ValueError(
            f"--grader_timeout_s must be above 0 and at most {MAX_TIMEOUT_S:g}, got "
            f"{args.grader_timeout_s}"
        )


def conventions_record(args: GradingArgs) -> dict[str, Any]:
    """What is stored beside verdicts: the name of the preset, and every option in force."""
    return {"preset": args.preset, **conventions_of(args).to_dict()}
