"""Self-Explore's files: responses, pairs, explored solutions, and pairs at the first pit.

| file | a row | here |
|---|---|---|
| `_gen.jsonl` | `prompt`, `preds` (texts), `answer` | a problem and its responses |
| `_rft.jsonl` | `query`, `response` | what `--sft_data` reads, and `--label solutions` writes |
| `_dpo.jsonl` | `prompt` (the problem and a line end), `chosen`, `rejected` | a row of `--preference_data` |
| of exploring | a row of pairs, with `merged_steps`, `final_steps`, `step_pred`, ... | an explored tree |
| `_gpair_4.jsonl` | `prompt` (with the steps before), `rejected`, `chosen` | a row of `--preference_data` |

Prompts of pairs are the text itself: they are read with `--preference_template no`.

Source: Hwang et al. 2024, arXiv:2404.10346; hbin0701/Self-Explore, `gen/`.
"""

from collections.abc import Callable, Mapping
from typing import Any

from understand_r1_zero.labels.explored import (
    GIVEN_KEY,
    NUM_COMPLETIONS,
    NUM_RIGHT,
    completions,
    first_pit,
    given_chain,
    text_after,
)
from understand_r1_zero.labels.sources import GivenResponse, ProblemGroup
from understand_r1_zero.search.records import FACTS_KEY, golds_of, question_of
from understand_r1_zero.search.step import Step
from understand_r1_zero.search.tree import ROOT, Node, SearchTree

IsRight = Callable[[str, str], bool]
"""Whether an answer is the gold one."""
NO_ANSWER = "[invalid]"
"""What the original writes for a completion without an answer; for MATH with a capital letter."""
_OUR_CELLS = ("question", FACTS_KEY)


def read_generated(row: Mapping[str, Any]) -> ProblemGroup:
    """The responses of a row of `_gen.jsonl`, not graded; the gold is the row's, as it stands."""
    responses = tuple(GivenResponse(text, None, None, False) for text in row["preds"])
    return ProblemGroup(row["prompt"], tuple(golds_of(row)), (), responses)


def write_generated(group: ProblemGroup) -> dict[str, Any]:
    """A row of `_gen.jsonl`; of several golds the answer is a list."""
    golds = list(group.golds)
    return {
        "prompt": group.question,
        "preds": [response.text for response in group.responses],
        "answer": golds[0] if len(golds) == 1 else golds,
    }


def read_pair(row: Mapping[str, Any], *, is_at_pit: bool = False) -> dict[str, Any]:
    """A row of `_dpo.jsonl`, or of `_gpair_4.jsonl`, as a row of `--preference_data`.

    The latter does not say whether the rejected step ends its solution: it is taken as one that does not.
    """
    return {
        **{name: row[name] for name in ("prompt", "chosen", "rejected")},
        "chosen_is_whole": True,
        "rejected_is_whole": not is_at_pit,
    }


def write_pair(row: Mapping[str, Any]) -> dict[str, str]:
    """A row of `_dpo.jsonl` or `_gpair_4.jsonl` of a row of `--preference_data`."""
    return {name: row[name] for name in ("prompt", "chosen", "rejected")}


def read_explored(row: Mapping[str, Any], is_right: IsRight = str.__eq__) -> SearchTree:
    """The explored tree of a row: its rejected solution, and the completions up to the first pit.

    A completion is one node. The record keeps the row's cells but the completions. `is_right` compares the
    answers of completions with the row's; equal texts, as the original does it for GSM8K.
    """
    cells = {name: value for name, value in row.items() if name != "step_pred"}
    tree = SearchTree({"question": row["prompt"].strip(), **cells})
    chain: list[int] = []
    for text in row["merged_steps"]:
        parent = chain[-1] if chain else ROOT
        chain.append(_insert(tree, parent, Step(text)))
    tree.nodes[chain[-1]].reward = -1.0
    tree.end(chain[-1], "answer")
    for place, found in row["step_pred"].items():
        answers = [str(answer) for answer in found["answers"]]
        rewards = [1.0 if is_right(answer, str(row["answer"])) else -1.0 for answer in answers]
        number = chain[int(place) - 1]
        tree.nodes[number].labels = {
            NUM_RIGHT: sum(reward > 0 for reward in rewards),
            NUM_COMPLETIONS: len(rewards),
        }
        for text, answer, reward in zip(found["preds"], answers, rewards, strict=True):
            has_answer = answer.casefold() != NO_ANSWER
            end = _insert(tree, number, Step(text, answer=answer if has_answer else None))
            tree.nodes[end].reward = reward
            tree.end(end, "answer" if has_answer else answer)
    tree.record[FACTS_KEY] = {GIVEN_KEY: tree.tag(chain[-1]), "scan": "linear"}
    return tree


def write_explored(tree: SearchTree) -> dict[str, Any]:
    """A row as the original's exploring writes it, of a tree of ours or of `read_explored`.

    Has what the original's next part reads, and the record's own cells, as `chosen` and `rejected` of a pair; the
    prompt is the problem and a line end, unless the record has the original's `final_steps`. Steps that were not asked for, as by a binary scan, have no entry in `step_pred`.
    """
    chain = given_chain(tree)
    texts = [tree.nodes[number].text for number in chain]
    question, golds = question_of(tree.record), golds_of(tree.record)
    cells = {name: cell for name, cell in tree.record.items() if name not in _OUR_CELLS}
    if "final_steps" not in cells:
        cells["prompt"] = f"{question}\n"
    row: dict[str, Any] = {
        "rejected": "".join(texts),
        "merged_steps": texts,
        "final_steps": [f"{question}\n{''.join(texts[: k + 1])}" for k in range(len(texts))],
        "num_steps": len(texts),
        **cells,
        "answer": golds[0] if len(golds) == 1 else golds,
    }
    pit = first_pit(tree)
    asked = chain if pit is None else chain[: pit + 1]
    row["step_pred"] = {
        str(place): _step_pred(tree, number, prompt)
        for place, (number, prompt) in enumerate(
            zip(asked, row["final_steps"], strict=False), start=1
        )
        if completions(tree, number)
    }
    return row


def _step_pred(tree: SearchTree, number: int, prompt: str) -> dict[str, Any]:
    ends = completions(tree, number)
    return {
        "prompt": prompt,
        "preds": [text_after(tree, number, end) for end in ends],
        "answers": [_written_answer(tree.nodes[end]) for end in ends],
    }


def _written_answer(node: Node) -> str:
    if node.answer is not None:
        return node.answer
    return node.terminal if node.terminal.casefold() == NO_ANSWER else NO_ANSWER


def _insert(tree: SearchTree, parent: int, step: Step) -> int:
    return tree.insert(Node(step, parent=parent, depth=tree.nodes[parent].depth + 1))
