"""How often other graders would have judged otherwise, from verdicts that hold their opinions.

An audited verdict (`--audit_grader`) names the status of its answer under every preset of
conventions.py other than the one in force. They disagree where one says correct and the other not;
a preset that timed out, crashed or could not read the gold answer did not say correct.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from understand_r1_zero.grading.conventions import PRESETS, Conventions
from understand_r1_zero.types import Group, Response, Status, Verdict

EXAMPLES_OF_A_PRESET = 5
"""Examples of disagreement with one preset, at most, of one batch of groups."""
_SHOWN_CHARS = 2000


def other_presets(conventions: Conventions) -> dict[str, Conventions]:
    """The presets that differ from the conventions in force, by name."""
    return {name: preset for name, preset in PRESETS.items() if preset != conventions}


def disagreement_shares(groups: Sequence[Group], prefix: str) -> dict[str, float]:
    """Share of the audited responses on which each other preset disagrees, as `{prefix}/{preset}`.

    Responses without an answer and those whose gold answer cannot be read are not among them;
    without any, the result is empty.
    """
    responses = [response for group in groups for response in group.responses]
    verdicts = [response.verdict for response in responses if _is_audited(response)]
    names = [name for name, _ in verdicts[0].audit] if verdicts else []
    counts = Counter(name for verdict in verdicts for name in dissenters(verdict))
    return {f"{prefix}/{name}": counts[name] / len(verdicts) for name in names}


def disagreements(groups: Sequence[Group]) -> Iterator[dict[str, Any]]:
    """Different examples of disagreement, in the order of the groups, as JSON holds them.

    At most `EXAMPLES_OF_A_PRESET` for each preset, so that a preset that often disagrees does not
    hide one that seldom does.
    """
    num_shown: Counter[str] = Counter()
    seen = set()
    for group in groups:
        for response in filter(_is_audited, group.responses):
            verdict = response.verdict
            names = [name for name in dissenters(verdict) if num_shown[name] < EXAMPLES_OF_A_PRESET]
            key = (group.problem.id, verdict.answer)
            if not names or key in seen:
                continue
            seen.add(key)
            num_shown.update(names)
            yield {
                "source": group.problem.source,
                "row": group.problem.row,
                "answer": str(verdict.answer)[:_SHOWN_CHARS],
                "gold": list(group.problem.answers),
                "status": str(verdict.status),
                "presets": {name: str(status) for name, status in verdict.audit},
            }


def dissenters(verdict: Verdict) -> list[str]:
    """The presets that disagree with a verdict on whether its answer is correct."""
    is_correct = verdict.status is Status.CORRECT
    return [name for name, status in verdict.audit if (status is Status.CORRECT) != is_correct]


def _is_audited(response: Response) -> bool:
    return bool(response.verdict.audit) and response.verdict.status is not Status.UNKNOWN
