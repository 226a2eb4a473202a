"""What a file of collected responses or explored solutions amounts to, in lines for a terminal."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from understand_r1_zero.console import table
from understand_r1_zero.labels.explored import first_pit, given_chain
from understand_r1_zero.search.records import OUR_KEY, facts_of
from understand_r1_zero.search.tree import SearchTree
from understand_r1_zero.types import Status


def response_lines(records: Iterable[Mapping[str, Any]]) -> list[str]:
    """Of records of responses: how many, and what became of them. One pass."""
    statuses: Counter[str] = Counter()
    num_problems = num_tokens = num_solved = 0
    for record in records:
        ours = record[OUR_KEY]
        num_problems += 1
        num_solved += Status.CORRECT in ours["statuses"]
        num_tokens += ours["tokens"]
        statuses.update(ours["statuses"])
    num_known = statuses.total() - statuses[Status.UNKNOWN]
    rows = [["problems", str(num_problems), ""]]
    rows.append(_share("  a right response found", num_solved, num_problems))
    rows.append(["responses", str(statuses.total()), ""])
    rows.append(_share("  right", statuses[Status.CORRECT], num_known))
    rows += _some("  truncated", statuses[Status.TRUNCATED], num_known)
    rows += _some("  not graded", statuses[Status.UNKNOWN], statuses.total())
    rows.append(["sampled tokens", f"{num_tokens:,}", ""])
    return table(rows)


def explored_lines(trees: Iterable[SearchTree]) -> list[str]:
    """Of explored solutions: how many, at which step the first errors are, and what it cost. One pass."""
    problems: set[str] = set()
    statuses: Counter[str] = Counter()
    pits: Counter[int] = Counter()
    num_without = num_steps = num_tokens = num_completions = num_right = 0
    for tree in trees:
        facts = facts_of(tree)
        problems.add(facts.get("problem", ""))
        status = facts.get("status", "")
        statuses[status] += 1
        num_tokens += facts.get("tokens", 0)
        asked = [tree.nodes[n].labels for n in given_chain(tree) if tree.nodes[n].labels]
        num_steps += len(asked)
        num_completions += round(sum(labels["num_completions"] for labels in asked))
        num_right += round(sum(labels["num_right"] for labels in asked))
        if status in (Status.CORRECT, Status.UNKNOWN):
            continue
        if (place := first_pit(tree)) is not None:
            pits[place + 1] += 1
        else:
            num_without += 1
    num_wrong = pits.total() + num_without
    rows = [["problems", str(len(problems)), ""], ["solutions", str(statuses.total()), ""]]
    rows += _some("  right", statuses[Status.CORRECT], statuses.total())
    rows += _some("  not graded, not explored", statuses[Status.UNKNOWN], statuses.total())
    rows += _some("  wrong", num_wrong, statuses.total())
    for step, count in sorted(pits.items()):
        rows.append(_share(f"    first pit at step {step}", count, num_wrong))
    rows += _some("    without a pit", num_without, num_wrong)
    rows.append(["steps asked about", str(num_steps), ""])
    rows.append(["completions", str(num_completions), ""])
    rows += _some("  right", num_right, num_completions)
    rows.append(["sampled tokens", f"{num_tokens:,}", ""])
    return table(rows)


def _share(label: str, count: int, total: int) -> list[str]:
    return [label, str(count), f"{count / total:.1%}" if total else ""]


def _some(label: str, count: int, total: int) -> Iterator[list[str]]:
    """A row, unless there are none."""
    if count:
        yield _share(label, count, total)
