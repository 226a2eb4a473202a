"""By what responses and trees were made, as their records say."""

from understand_r1_zero.args import Args
from understand_r1_zero.search.settings import settings_of


def made_by(args: Args) -> dict[str, str]:
    """The policy, the grader's preset, and what judged responses or steps.

    That is the oracle of steps where a search needs values, else that of responses.
    """
    is_valued = args.is_searched and settings_of(args.search).needs_values
    return {
        "policy": args.model.pretrain,
        "preset": args.grading.preset,
        "oracle": args.searches_by if is_valued else args.oracle.oracle,
    }
