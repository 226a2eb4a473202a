"""Pairs at the first pit: a right way on against the step after which no completion is right.

Source: Self-Explore, Hwang et al. 2024, arXiv:2404.10346, section 3.3; hbin0701/Self-Explore,
`gen/utils_others.py`, `form_gpair`.

Departures. The code looks for the rejected step among the completions, so that it passes over one that is the
step alone; the paper's reason holds for one that contains it, which is passed over here. A prompt is what the
codec asks, not the problem and a line end. "The answer is ..." stays in a rejected last step. The code knows
a problem by the first line of its prompt, here the whole problem counts.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from understand_r1_zero.args_rounds import LabelArgs
from understand_r1_zero.labels.explored import completions, first_pit, given_chain, text_after
from understand_r1_zero.labels.solutions import LeftOut
from understand_r1_zero.labels.sources import ProblemGroup
from understand_r1_zero.search.codecs.step import StepCodec
from understand_r1_zero.search.tree import ROOT, SearchTree


@dataclass
class _Seen:
    """Texts of one problem: completions that were taken, and what is in its rows."""

    taken: set[str] = field(default_factory=set)
    chosen: set[str] = field(default_factory=set)
    rejected: set[str] = field(default_factory=set)


def rows(
    groups: Iterable[ProblemGroup],
    args: LabelArgs,
    codec: StepCodec,
    left_out: LeftOut,
) -> Iterator[dict[str, Any]]:
    """A row {prompt, chosen, rejected} for each explored tree that has a pit and a right way around it.

    - The pit is the first step: the whole problem is the prompt, chosen is the tree's own `chosen` (the right
      response of the pair that was explored), without one the shortest right completion of the problem.
    - It is a later step: the steps before it are in the prompt, chosen is the shortest right completion of
      them that was not taken before for the same problem and does not contain the rejected step.
    - There is no pit, or nothing to choose: no row.

    Rejected is the step alone. Line ends that both begin with belong to the prompt. Of rows of one problem whose
    chosen or whose rejected texts are equal, the first stays. `left_out` counts the trees without a row by reason.

    Raises:
        ValueError: a tree was not explored.
    """
    del args  # A rule's flags; this one has none.
    problems: dict[str, _Seen] = {}
    for group in groups:
        seen = problems.setdefault(group.question, _Seen())
        for tree in group.trees:
            place = first_pit(tree)
            if place is None:
                left_out["solutions without a pit"] += 1
            elif (row := _row(tree, place, group.question, codec, seen.taken)) is None:
                left_out["pits without a right way around them"] += 1
            elif row["chosen"] in seen.chosen or row["rejected"] in seen.rejected:
                left_out["pairs with a text of another pair"] += 1
            else:
                seen.chosen.add(row["chosen"])
                seen.rejected.add(row["rejected"])
                yield row


def _row(
    tree: SearchTree, place: int, question: str, codec: StepCodec, taken: set[str]
) -> dict[str, Any] | None:
    chain = given_chain(tree)
    before = chain[place - 1] if place else ROOT
    rejected = tree.nodes[chain[place]].text
    chosen = _own_chosen(tree) if place == 0 else None
    if chosen is None:
        chosen = _shortest_completion(tree, before, rejected, taken)
    if chosen is None:
        return None
    # Line ends that both begin with tell nothing of which is better.
    num_line_ends = min(len(text) - len(text.lstrip("\n")) for text in (chosen, rejected))
    is_last = place == len(chain) - 1
    # What stands behind the end of a solution is the codec's.
    chosen, rejected = chosen.rstrip(), rejected.rstrip() if is_last else rejected
    return {
        "prompt": codec.prompt(question, tree.steps(before)) + "\n" * num_line_ends,
        "chosen": chosen[num_line_ends:],
        "rejected": rejected[num_line_ends:],
        "chosen_is_whole": True,
        "rejected_is_whole": is_last,
    }


def _own_chosen(tree: SearchTree) -> str | None:
    chosen = tree.record.get("chosen")
    return chosen if isinstance(chosen, str) and chosen.strip() else None


def _shortest_completion(
    tree: SearchTree, number: int, rejected: str, taken: set[str]
) -> str | None:
    texts = [
        text_after(tree, number, end)
        for end in completions(tree, number)
        if (tree.nodes[end].reward or 0.0) > 0
    ]
    fitting = [text for text in texts if text not in taken and rejected.strip() not in text]
    if not fitting:
        return None
    chosen = min(fitting, key=len)
    taken.add(chosen)
    return chosen
