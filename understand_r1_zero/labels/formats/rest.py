r"""ReST-MCTS*'s files: questions, what a search found, and the rows that its policy and value model learn from.

| file | a row |
|---|---|
| questions | `content`, `answer` |
| of a search | `content`, `policy_samples` (`solution`, `summary`, `correct`), `value_samples` (`steps`, `value`), `real_answer` |
| policy | `content`, `summary` (solution and summary), `label` (correct), `real_answer` |
| value | `prompt_answer` (`Problem:{content}\nSolution:\n{steps}`), `label` (the value) |

`steps` are a solution up to some step, whose value it is.

Source: Zhang et al. 2024, arXiv:2406.03816; THUDM/ReST-MCTS, `MCTS/task.py`, `utils/extract_both_samples.py`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from understand_r1_zero.args_rounds import LabelArgs
from understand_r1_zero.labels.critic_filter import kept_ends
from understand_r1_zero.labels.sources import ProblemGroup
from understand_r1_zero.search.records import golds_of, question_of
from understand_r1_zero.search.step import Step
from understand_r1_zero.search.step_values import rest_values
from understand_r1_zero.search.tree import ROOT, Node, SearchTree

_PROMPT_ANSWER = re.compile(r"Problem:(?P<problem>.*?)\nSolution:\n(?P<steps>.*)", re.DOTALL)
_SUMMED_UP = "final answer is"
"""A solution that says so needs no summary."""


def read_question(row: Mapping[str, Any]) -> ProblemGroup:
    """The problem of a row of questions, without solutions."""
    return ProblemGroup(row["content"], tuple(golds_of(row)), (), ())


def write_question(group: ProblemGroup) -> dict[str, Any]:
    """A row of questions."""
    return {"content": group.question, "answer": _written(list(group.golds))}


def read_search(row: Mapping[str, Any]) -> SearchTree:
    """The tree that a search's row tells of.

    A node's parent is the longest of the other samples that its text begins with, so that a step is what a sample
    adds to it. Ends have their reward; their answer is the summary. Nodes off every way to an end are not told,
    and without a right solution no steps are: then a solution is one node.
    """
    tree = SearchTree({"question": row["content"], "answer": row["real_answer"]})
    texts = {ROOT: ""}
    for sample in row["value_samples"]:
        number = _insert(tree, texts, sample["steps"])
        tree.nodes[number].value = float(sample["value"])
    numbers = {text: number for number, text in texts.items()}
    for sample in row["policy_samples"]:
        number = numbers.get(sample["solution"])
        if number is None:
            number = _insert(tree, texts, sample["solution"])
        node = tree.nodes[number]
        node.step = Step(node.text, answer=sample["summary"])
        node.reward = 1.0 if sample["correct"] else -1.0
        tree.end(number, "answer")
    return tree


def write_search(
    tree: SearchTree, args: LabelArgs, *, with_summaries: bool = True
) -> dict[str, Any]:
    """A search's row: every end with an answer and a reward is a policy sample, every labelled node a value sample.

    Values are `step_values.rest_values`. The summary is the answer of the end, as `read_search` keeps it; without
    `with_summaries` it is empty, for solutions whose last step names the answer. Policy samples pass the critic's
    filter (`critic_filter.py`).
    """
    found = rest_values(tree)
    order = list(tree.below(ROOT))
    ends = [
        n for n in order if tree.nodes[n].reward is not None and tree.nodes[n].answer is not None
    ]
    return {
        "content": question_of(tree.record),
        "policy_samples": [
            {
                "solution": tree.text(number),
                "summary": (tree.nodes[number].answer or "") if with_summaries else "",
                "correct": (tree.nodes[number].reward or 0.0) > 0,
            }
            for number in kept_ends(tree, ends, args)
        ],
        "value_samples": [
            {"steps": tree.text(number), "value": found[number]}
            for number in order
            if number in found
        ],
        "real_answer": _written(golds_of(tree.record)),
    }


def write_rows(groups: Iterable[ProblemGroup], args: LabelArgs) -> Iterator[dict[str, Any]]:
    """A search's row for each tree, without summaries: the last step of our solutions names the answer."""
    for group in groups:
        for tree in group.trees:
            yield write_search(tree, args, with_summaries=False)


def policy_rows(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The policy's rows of a search's row, right and wrong."""
    for sample in row["policy_samples"]:
        solution = sample["solution"]
        yield {
            "content": row["content"],
            "summary": solution if _SUMMED_UP in solution else solution + sample["summary"],
            "label": sample["correct"],
            "real_answer": row["real_answer"],
        }


def value_rows(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The value model's rows of a search's row."""
    for sample in row["value_samples"]:
        yield _value_row(row["content"], sample["steps"], sample["value"])


def read_policy_row(row: Mapping[str, Any]) -> dict[str, str] | None:
    """A right solution as a row {query, response} of `--sft_data`; None for a wrong one."""
    return {"query": row["content"], "response": row["summary"]} if row["label"] else None


def write_policy_row(row: Mapping[str, str], real_answer: Any) -> dict[str, Any]:
    """A policy's row of a right solution {query, response}."""
    return {
        "content": row["query"],
        "summary": row["response"],
        "label": True,
        "real_answer": real_answer,
    }


def read_value_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row {problem, steps, values} of `--value_data`, its steps one text.

    Raises:
        ValueError: it does not begin with a problem, or has no solution.
    """
    found = _PROMPT_ANSWER.fullmatch(row["prompt_answer"])
    if found is None:
        raise ValueError(
            r"prompt_answer must be 'Problem:', a problem, '\nSolution:\n' and steps, got "
            f"{row['prompt_answer'][:60]!r}"
        )
    return {"problem": found["problem"], "steps": [found["steps"]], "values": [row["label"]]}


def write_value_rows(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A value model's row for each step with a value of a row {problem, steps, values}."""
    steps = ""
    for text, value in zip(row["steps"], row["values"], strict=True):
        steps += text
        if value is not None:
            yield _value_row(row["problem"], steps, value)


def _value_row(content: str, steps: str, value: float) -> dict[str, Any]:
    return {"prompt_answer": f"Problem:{content}\nSolution:\n{steps}", "label": value}


def _insert(tree: SearchTree, texts: dict[int, str], text: str) -> int:
    parent = max(
        (n for n, above in texts.items() if text.startswith(above)), key=lambda n: len(texts[n])
    )
    step = Step(text[len(texts[parent]) :])
    number = tree.insert(Node(step, parent=parent, depth=tree.nodes[parent].depth + 1))
    texts[number] = text
    return number


def _written(golds: list[str]) -> str | list[str]:
    return golds[0] if len(golds) == 1 else golds
