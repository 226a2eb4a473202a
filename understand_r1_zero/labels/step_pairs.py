"""Pairs of sibling steps: rows {prompt, chosen, rejected, ...} for `--preference_data`, or {prompt, pos, neg} for
`--value_data`. A row's prompt is the codec's, up to the step, to be taken as it is.

Source: SVPO, Chen et al. 2024, arXiv:2406.10858 (steps of one beginning, by the Q of the search, here `--label_value q`); rStar-Math, Guan et
al. 2025, arXiv:2501.04519, section 3.3 (the two best that lead to a right answer against the two worst that lead to a
wrong one). Departs from rStar-Math where it compares whole solutions at the last step.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from understand_r1_zero.args_rounds import LabelArgs
from understand_r1_zero.labels.edit_distance import edit_distance
from understand_r1_zero.labels.solutions import LeftOut
from understand_r1_zero.labels.sources import ProblemGroup
from understand_r1_zero.labels.worths import WORTHS, Worths, end_of
from understand_r1_zero.search.codecs.step import StepCodec
from understand_r1_zero.search.step import trainable_spans
from understand_r1_zero.search.tree import Node, SearchTree


@dataclass(frozen=True, slots=True)
class Candidate:
    """A step below a node, what it is worth in [-1, 1], and whether right and wrong ends are at or below it."""

    node: Node
    worth: float
    leads_right: bool
    leads_wrong: bool


Qualifies = Callable[[Candidate, Candidate], bool]


def rows(
    groups: Iterable[ProblemGroup], args: LabelArgs, codec: StepCodec, left_out: LeftOut
) -> Iterator[dict[str, Any]]:
    """The pairs of every node, or with `--pair_sets` its set, in the order of the nodes."""
    for group in groups:
        for tree in group.trees:
            right, wrong = leading(tree)
            worths = WORTHS[args.label_value](tree)
            for number, node in enumerate(tree.nodes):
                if len(node.children) < 2:
                    continue
                candidates = _candidates(tree, number, worths, right, wrong, left_out)
                prompt = codec.prompt(group.question, tree.steps(number))
                found = list(_rows_of(prompt, candidates, args))
                left_out["nodes without a pair"] += not found
                yield from found


def leading(tree: SearchTree) -> tuple[set[int], set[int]]:
    """The nodes at or below which a solution ends right, and those where one ends wrong or fails."""
    right: set[int] = set()
    wrong: set[int] = set()
    for number in range(len(tree.nodes) - 1, -1, -1):
        node = tree.nodes[number]
        if (is_right := end_of(node)) is not None:
            (right if is_right else wrong).add(number)
        for found in (right, wrong):
            if not found.isdisjoint(node.children):
                found.add(number)
    return right, wrong


def pairs_of(candidates: Sequence[Candidate], args: LabelArgs) -> list[tuple[Candidate, Candidate]]:
    """Each of the `--pair_top` best against each of the worst, where the two qualify."""
    best, worst = _ends_of(candidates, args)
    qualifies = partial(_qualifies, args)
    return [(chosen, other) for chosen in best for other in worst if qualifies(chosen, other)]


def sets_of(
    candidates: Sequence[Candidate], args: LabelArgs
) -> tuple[list[Candidate], list[Candidate]]:
    """The best and the worst steps, each of the first qualifying against each of the others; both empty if there are none.

    The more of the best the better: the last of them goes only where no step is worse than all of them.
    """
    best, worst = _ends_of(candidates, args)
    qualifies = partial(_qualifies, args)
    while best:
        others = [each for each in worst if all(qualifies(chosen, each) for chosen in best)]
        if others:
            return best, others
        best = best[:-1]
    return [], []


def _candidates(
    tree: SearchTree,
    number: int,
    worths: Worths,
    right: set[int],
    wrong: set[int],
    left_out: LeftOut,
) -> list[Candidate]:
    """The children of which it is known what they are worth: there is no better and worse among others."""
    found = []
    for child in tree.nodes[number].children:
        if (worth := worths[child]) is None:
            left_out["steps without a value"] += 1
        elif not tree.nodes[child].text.strip():
            left_out["steps that are blank"] += 1
        else:
            found.append(Candidate(tree.nodes[child], worth, child in right, child in wrong))
    return found


def _ends_of(
    candidates: Sequence[Candidate], args: LabelArgs
) -> tuple[list[Candidate], list[Candidate]]:
    """The best, best first, and the worst, worst first; of equals the first."""
    is_any = not args.pair_outcome
    best = sorted((c for c in candidates if is_any or c.leads_right), key=lambda c: -c.worth)
    worst = sorted((c for c in candidates if is_any or c.leads_wrong), key=lambda c: c.worth)
    return best[: args.pair_top], worst[: args.pair_top]


def _qualifies(args: LabelArgs, chosen: Candidate, rejected: Candidate) -> bool:
    if chosen.worth - rejected.worth <= args.pair_margin:
        return False
    distance = edit_distance(chosen.node.text, rejected.node.text)
    return distance >= max(args.pair_edits, 1)


def _rows_of(
    prompt: str, candidates: Sequence[Candidate], args: LabelArgs
) -> Iterator[dict[str, Any]]:
    if args.pair_sets:
        best, worst = sets_of(candidates, args)
        if best:
            yield {
                "prompt": prompt,
                "pos": [each.node.text for each in best],
                "neg": [each.node.text for each in worst],
                "pos_count": len(best),
                "neg_count": len(worst),
            }
        return
    for chosen, rejected in pairs_of(candidates, args):
        yield {
            "prompt": prompt,
            "chosen": _text(chosen.node),
            "rejected": _text(rejected.node),
            "margin": chosen.worth - rejected.worth,
            **_facts("chosen", chosen),
            **_facts("rejected", rejected),
        }


def _text(node: Node) -> str:
    """As the policy wrote it: line ends behind the end of a solution are the codec's."""
    return node.text if node.answer is None else node.text.rstrip()


def _facts(side: str, candidate: Candidate) -> dict[str, Any]:
    """What the row says of one side; what an interpreter wrote is no part of its loss."""
    node = candidate.node
    facts: dict[str, Any] = {
        f"{side}_visits": node.visits,
        f"{side}_value": candidate.worth,
        f"{side}_is_whole": node.answer is not None,
    }
    if node.step.observation_start is not None:
        facts[f"{side}_spans"] = trainable_spans([node.step])
    return facts
