r"""Solutions with values, in rows as published data have them: what they say in the terms of `value_examples.py`.

| columns | of | a row is |
|---|---|---|
| `input`, `label` | Math-Shepherd | a solution with a label at each step's end |
| `prompt_answer`, `label` | ReST-MCTS* | the beginning of a solution, with a value at its end |
| `solution_prefix`, `mc_value` | OmegaPRM, flat | the same; the problem ends at the first empty line, or is in a column `question` |
| `text`, `mc_value`, `children` | OmegaPRM, a tree | all ways down it, each step with its value on the first way through it alone |
| `question`, and `reasoning_steps` or `data` | OmegaPRM, a problem's record | as the form of its data |

Problems are asked by `--prompt_template`. Math-Shepherd's steps are the texts `Step k: ...` without tags, a line each,
as the codec `step_k` writes them; OmegaPRM's end in an empty line, as `paragraphs` does. Values are taken as they stand, labels as the data's signs. A beginning without a
step, which is the value of a problem, is no example.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from understand_r1_zero.labels.formats import math_shepherd, omega, rest
from understand_r1_zero.search.records import question_of
from understand_r1_zero.search.tree import ROOT, SearchTree
from understand_r1_zero.table_rows import RowFault, require_cells

Value = float | bool | None
"""A value, whether a step is good, or nothing."""


@dataclass(frozen=True, slots=True)
class ValuedSolution:
    """A problem, the texts of steps, which join to the solution or its beginning, and a value for each."""

    problem_text: str
    steps: list[str]
    values: list[Value]


Reader = Callable[[Mapping[str, Any]], list[ValuedSolution]]


def published_reader(columns: Iterable[str]) -> Reader | None:
    """What reads rows with these columns; None where they are of none of the formats.

    The reader raises RowFault for a row at fault.
    """
    present = set(columns)
    for keys, read in READERS.items():
        if set(keys) <= present:
            return lambda row, keys=keys, read=read: _checked(row, keys, read)
    return None


def _checked(row: Any, keys: tuple[str, ...], read: Reader) -> list[ValuedSolution]:
    require_cells(row, keys)
    try:
        found = read(row)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise RowFault(f"{' and '.join(keys)} cannot be read: {error}") from error
    for solution in found:
        if not solution.problem_text.strip():
            raise RowFault("there is no problem")
    return found


def _labelled(row: Mapping[str, Any]) -> list[ValuedSolution]:
    solution = math_shepherd.read_row(row)
    steps = [f"{text}\n" for text in solution.step_texts]
    return [ValuedSolution(solution.problem_text, steps, list(solution.labels))]


def _prompt_answer(row: Mapping[str, Any]) -> list[ValuedSolution]:
    found = rest.read_value_row(row)
    return _beginning(found["problem"].strip(), found["steps"][0], row["label"])


def _prefix(row: Mapping[str, Any]) -> list[ValuedSolution]:
    prefix, question = row[omega.PREFIX], row.get("question")
    if question is None:
        question, _, steps = prefix.partition(omega.BETWEEN)
    elif prefix.startswith(question):
        steps = prefix[len(question) :].removeprefix(omega.BETWEEN)
    else:
        raise ValueError(f"{omega.PREFIX} must begin with the question, got {prefix[:60]!r}")
    return _beginning(question, steps and steps + omega.BETWEEN, row[omega.MC_VALUE])


def _beginning(problem_text: str, steps: str, value: Any) -> list[ValuedSolution]:
    return [ValuedSolution(problem_text, [steps], [value])] if steps.strip() else []


def _tree(row: Mapping[str, Any]) -> list[ValuedSolution]:
    return _ways(omega.read_record(row))


def _ways(tree: SearchTree) -> list[ValuedSolution]:
    told = {ROOT}
    ways = []
    for end in (number for number in tree.below(ROOT) if not tree.nodes[number].children):
        path = tree.path(end)
        values = [tree.nodes[n].labels.get(omega.MC_VALUE) if n not in told else None for n in path]
        told |= set(path)
        if any(value is not None for value in values):
            steps = [tree.nodes[n].text for n in path]
            ways.append(ValuedSolution(question_of(tree.record), steps, list(values)))
    return ways


READERS: dict[tuple[str, ...], Reader] = {
    ("input", "label"): _labelled,
    ("prompt_answer", "label"): _prompt_answer,
    (omega.PREFIX, omega.MC_VALUE): _prefix,
    (omega.TEXT, omega.MC_VALUE, omega.CHILDREN): _tree,
    **{("question", key): _tree for key in omega.DATA_KEYS},
}
"""By the columns that a table must have."""
