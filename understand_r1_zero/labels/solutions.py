"""The solutions of a problem, out of its trees or its responses, and which of them are taken."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from understand_r1_zero.args_rounds import LabelArgs
from understand_r1_zero.grading.conventions import Conventions
from understand_r1_zero.grading.exact import is_exact_match
from understand_r1_zero.labels.distinct import distinct
from understand_r1_zero.labels.explored import given_chain
from understand_r1_zero.labels.sources import ProblemGroup
from understand_r1_zero.labels.worths import WORTHS, end_of, path_values
from understand_r1_zero.search.codecs.step import StepCodec
from understand_r1_zero.search.step import Step, trainable_spans
from understand_r1_zero.search.tree import Node, SearchTree

LeftOut = Counter[str]
"""How much was left out, by what it was and why."""


@dataclass(frozen=True, slots=True)
class Solution:
    """A solution in steps, right or wrong; `nodes` are those of its steps where it is of a tree.

    `answer` is None where it ended without one.
    """

    question: str
    steps: tuple[Step, ...]
    is_right: bool
    answer: str | None
    tree: SearchTree | None = None
    nodes: tuple[int, ...] = ()

    @property
    def text(self) -> str:
        """The steps, joined."""
        return "".join(step.text for step in self.steps)

    @property
    def way(self) -> list[Node]:
        """The nodes of its steps; none for a response."""
        return [self.tree.nodes[number] for number in self.nodes] if self.tree else []

    @property
    def trained_spans(self) -> list[tuple[int, int]] | None:
        """The characters that the policy wrote; None where it wrote all of them."""
        if all(step.observation_start is None for step in self.steps):
            return None
        return trainable_spans(self.steps)

    @property
    def mean_q(self) -> float:
        """The mean of `path_values` over the steps that have one; 0 for a response."""
        if self.tree is None:
            return 0.0
        values = path_values(WORTHS["q"](self.tree), self.nodes, self.is_right)
        known = [value for value in values if value is not None]
        return sum(known) / len(known)


def solutions_of(
    group: ProblemGroup, codec: StepCodec, left_out: LeftOut, *, is_given: bool = False
) -> list[Solution]:
    """Every solution of which it is known whether it is right, in the order in which they were found.

    Of a tree these are the ways to ends with a reward, and to ends that failed, which are wrong; with `is_given`
    the one that was explored, alone. A response has the steps that the codec cuts it into.

    Raises:
        ValueError: `is_given`, and a tree was not explored.
    """
    found = [
        solution
        for tree in group.trees
        for solution in _of_tree(group, tree, codec, left_out, is_given)
    ]
    for response in group.responses:
        if response.is_right is None:
            left_out["solutions of unknown worth"] += 1
            continue
        steps = tuple(codec.split(response.text))
        found.append(Solution(group.question, steps, response.is_right, response.answer))
    whole = [each for each in found if each.steps and all(s.text.strip() for s in each.steps)]
    left_out["solutions with a blank step"] += len(found) - len(whole)
    return whole


def select(solutions: Iterable[Solution], args: LabelArgs, left_out: LeftOut) -> list[Solution]:
    """`--label_right` right solutions and then `--label_wrong` wrong ones, at most; 0: all.

    Those that `--label_prefer` puts first are taken first, and of those that `--label_distinct` calls the same one
    alone (`distinct`). Wrong solutions may have wrong equations: by equations these are told apart by their words.
    """
    chosen: list[Solution] = []
    in_order = sorted(solutions, key=_PREFERENCES[args.label_prefer])
    for is_right, flag in ((True, "label_right"), (False, "label_wrong")):
        found = [solution for solution in in_order if solution.is_right == is_right]
        by = args
        if not is_right and args.label_distinct == "equations":
            by = replace(args, label_distinct="text")
        kept = distinct([solution.text for solution in found], by, getattr(args, flag))
        chosen += [found[place] for place in kept]
        left_out[f"solutions like another one, or beyond --{flag}"] += len(found) - len(kept)
    return chosen


def code_rank(solution: Solution) -> int:
    """2 where the last code printed the answer, 1 where all code ran, else 0 as without code.

    Source: AlphaMath, Chen et al. 2024, arXiv:2405.03553, appendix: which right solutions are trained on. What is
    printed is compared as text and as a number. Files of other programs do not say which code failed: all of it ran.
    """
    run = [step for step in solution.steps if step.code is not None]
    if not run or any(step.has_failed for step in run):
        return 0
    printed = (run[-1].observation or "").strip()
    shown = {printed, printed.rpartition("\n")[2].strip()} - {""}
    answer = solution.answer
    is_printed = answer is not None and any(
        is_exact_match(each, answer, Conventions()) for each in shown
    )
    return 2 if is_printed else 1


_PREFERENCES: dict[str, Callable[[Solution], float]] = {
    "order": lambda solution: 0,
    "code": lambda solution: -code_rank(solution),
    "q": lambda solution: -solution.mean_q,
}
"""By `--label_prefer`, the least first; a stable sort leaves equals in order."""


def _of_tree(
    group: ProblemGroup, tree: SearchTree, codec: StepCodec, left_out: LeftOut, is_given: bool
) -> Iterator[Solution]:
    for number in given_chain(tree)[-1:] if is_given else range(1, len(tree.nodes)):
        node = tree.nodes[number]
        if (is_right := end_of(node)) is None:
            left_out["solutions of unknown worth"] += node.answer is not None
            continue
        nodes = tuple(tree.path(number))
        yield Solution(
            group.question,
            tuple(_with_observation(tree.nodes[each].step, codec) for each in nodes),
            is_right,
            node.answer,
            tree,
            nodes,
        )


def _with_observation(step: Step, codec: StepCodec) -> Step:
    """Files of other programs do not say where in its text the interpreter's begins."""
    if step.observation is None or step.observation_start is not None:
        return step
    pieces = codec.split(step.text)
    start = pieces[0].observation_start if len(pieces) == 1 else None
    return step if start is None else replace(step, observation_start=start)
