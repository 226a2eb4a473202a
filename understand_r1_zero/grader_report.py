"""What a run tells about its grader: the conventions, unreadable gold answers, where presets differ."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from understand_r1_zero.args import Args
from understand_r1_zero.evaluate import Evaluation
from understand_r1_zero.grading.audit import disagreement_shares, disagreements
from understand_r1_zero.grading.conventions import conventions_record
from understand_r1_zero.run_directory import RunDirectory, append_rows, read_rows
from understand_r1_zero.templates import load_template
from understand_r1_zero.types import Group, Status

ROWS_NAMED = 10
"""Rows that one warning names, at most; the file has them all."""


def graded_by(args: Args) -> dict[str, Any]:
    """What decided the verdicts, as files hold it: the oracle, and the rule-based one's conventions.

    `extraction` is where the prompt template's answers stand. A user's own oracle judges as it likes;
    the conventions then say only which answers share a vote.
    """
    if not args.oracle.is_rule_based:
        return {"oracle": args.oracle.oracle, "votes": conventions_record(args.grading)}
    extraction = load_template(args.data.prompt_template).extraction
    return {"oracle": "math", "extraction": extraction, **conventions_record(args.grading)}


class GraderReport:
    """Stores evaluations with their conventions, and what graded groups show of the grader.

    `unknown_golds.jsonl` and `grader_audit.jsonl` grow by it; `warn` prints a line. Every problem
    without a readable gold answer is told once in a run.
    """

    def __init__(self, args: Args, run: RunDirectory, warn: Callable[[str], None]) -> None:
        self.conventions = graded_by(args)
        self._run = run
        self._warn = warn
        self._told: set[tuple[str, int]] | None = None

    def store_evaluations(
        self, step: int, evaluations: Mapping[str, Evaluation]
    ) -> dict[str, float]:
        """Store every benchmark's results; returns metrics of how the presets disagree on them."""
        metrics: dict[str, float] = {}
        for name, evaluation in evaluations.items():
            groups, shares = evaluation.groups, disagreement_shares(evaluation.groups, "disagree")
            score = evaluation.score.to_dict() | shares
            self._run.write_evaluation(step, name, groups, score, self.conventions)
            metrics |= {f"eval/{name}/{key}": share for key, share in shares.items()}
        self.add(step, [group for each in evaluations.values() for group in each.groups])
        return metrics

    def add(self, step: int, groups: Sequence[Group]) -> None:
        """Store what the groups of a step or of an evaluation after it show, and warn."""
        append_rows(
            self._run.grader_audit, [{"step": step} | example for example in disagreements(groups)]
        )
        rows = [row for row in unknown_golds(groups) if self._is_new(row)]
        append_rows(self._run.unknown_golds, [{"step": step} | row for row in rows])
        if rows:
            self._warn(
                f"gold answers that cannot be read: {_row_names(rows)} (counted from 0); nothing is "
                f"learned from them, no evaluation counts them; see {self._run.unknown_golds}"
            )

    def _is_new(self, row: Mapping[str, Any]) -> bool:
        if self._told is None:  # not before: a resumed run first forgets rows past its checkpoint
            self._told = {
                (known["source"], known["row"]) for known in read_rows(self._run.unknown_golds)
            }
        key = (row["source"], row["row"])
        is_new = key not in self._told
        self._told.add(key)
        return is_new


def unknown_golds(groups: Sequence[Group]) -> list[dict[str, Any]]:
    """One row for each group with an unknown verdict: source, row, gold answers, the first reason."""
    rows = []
    for group in groups:
        verdicts = [response.verdict for response in group.responses]
        unknown = [verdict for verdict in verdicts if verdict.status is Status.UNKNOWN]
        if unknown:
            problem = group.problem
            rows.append(
                {
                    "source": problem.source,
                    "row": problem.row,
                    "gold": list(problem.answers),
                    "reason": unknown[0].reason,
                }
            )
    return rows


def _row_names(rows: Sequence[Mapping[str, Any]]) -> str:
    """`math rows 3, 17; gsm8k row 4; and 12 more`."""
    named: dict[str, list[int]] = {}
    for row in rows[:ROWS_NAMED]:
        named.setdefault(row["source"], []).append(row["row"])
    parts = [
        f"{source} row{'s' if len(numbers) > 1 else ''} {', '.join(map(str, sorted(numbers)))}"
        for source, numbers in named.items()
    ]
    if len(rows) > ROWS_NAMED:
        parts.append(f"and {len(rows) - ROWS_NAMED} more")
    return "; ".join(parts)
