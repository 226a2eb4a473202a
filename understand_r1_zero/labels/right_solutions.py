"""Right solutions to fine-tune on: rows {query, response}, or {prompt, completion}, for `--sft_data`.

Source: RFT, Yuan et al. 2023, arXiv:2308.01825; ReST-EM, Singh et al. 2023, arXiv:2312.06585; rStar-Math, Guan et al. 2025,
arXiv:2501.04519, which takes the two of the highest mean Q (`--label_right 2 --label_prefer q`).
"""

from collections.abc import Iterable, Iterator
from typing import Any

from understand_r1_zero.args_rounds import LabelArgs
from understand_r1_zero.labels.critic_filter import is_kept
from understand_r1_zero.labels.rewritten import written
from understand_r1_zero.labels.solutions import LeftOut, Solution, select, solutions_of
from understand_r1_zero.labels.sources import ProblemGroup
from understand_r1_zero.search.codecs.registry import OWN_PROMPTS
from understand_r1_zero.search.codecs.step import StepCodec


def rows(
    groups: Iterable[ProblemGroup], args: LabelArgs, codec: StepCodec, left_out: LeftOut
) -> Iterator[dict[str, Any]]:
    """A row for each right solution that `select` takes.

    Steps of a codec with a prompt of its own follow that prompt; `trained_spans` are then the characters that the policy
    wrote, where an interpreter wrote others.
    """
    for group in groups:
        found, target = written(solutions_of(group, codec, left_out), args, codec, left_out)
        right = [each for each in found if each.is_right]
        kept = [each for each in right if is_kept(each.text, _last_value(each), args)]
        left_out["solutions that the critic doubts, or too short"] += len(right) - len(kept)
        for solution in select(kept, args, left_out):
            yield _row(solution, target)


def _last_value(solution: Solution) -> float | None:
    return solution.way[-1].value if solution.way else None


def _row(solution: Solution, codec: StepCodec) -> dict[str, Any]:
    if solution.tree is None or codec.name not in OWN_PROMPTS:
        return {"query": solution.question, "response": solution.text.rstrip()}
    text, spans = solution.text.rstrip(), solution.trained_spans
    row: dict[str, Any] = {"prompt": codec.prompt(solution.question), "completion": text}
    if spans is not None:
        row["trained_spans"] = [(start, min(end, len(text))) for start, end in spans]
    return row
