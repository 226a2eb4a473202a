"""Values of steps by tree search: what a search from each partial solution finds."""

import asyncio
from collections.abc import Callable, Sequence

from oracles.outcome import final_verdict, verdict_value
from understand_r1_zero.search.grow import Evaluate, Expand, Rules, tree_search
from understand_r1_zero.search.step import Step
from understand_r1_zero.search.step_oracle import Grade, Scale, StepScores
from understand_r1_zero.search.step_sampler import node_seed
from understand_r1_zero.search.tree import SearchTree
from understand_r1_zero.types import Problem

MakeExpand = Callable[[Problem, int], Expand]
"""What samples the steps of one search, of a problem and by a seed."""
MakeEvaluate = Callable[[Problem, int], Evaluate]
"""What values its nodes."""


class TreeOracle:
    """The mean value Q of a step after the simulations of a tree search that begins below it.

    The searches of all steps run at once, each in a tree of its own. A final step is graded, or without a
    grader valued by `make_evaluate`, and not searched. Where no simulation backs up a value, it is
    `scale.middle`. Of the tokens only those that `make_expand` samples are counted.

    The partial solution is a chain of nodes, each the only child of the one before, so that every way down
    leads through it, and `grow.tree_search`, the codec's prompts, the interpreter's states and the limit of depth
    find what they find in any tree. The chain's end is the root of the search: backups pass through the
    chain above it and change nothing that is read.

    Args:
        rules: of each search.
        make_expand: samples its steps.
        make_evaluate: values its nodes.
        scale: of these values.
        grade: the grader of final steps.

    Source: AlphaMath, Chen et al. 2024, arXiv:2405.03553, section 3.2: Q of an MCTS's node.
    """

    def __init__(
        self,
        rules: Rules,
        make_expand: MakeExpand,
        make_evaluate: MakeEvaluate,
        scale: Scale,
        grade: Grade | None = None,
    ) -> None:
        self.scale = scale
        self._rules = rules
        self._make_expand = make_expand
        self._make_evaluate = make_evaluate
        self._grade = grade

    async def score(
        self, problem: Problem, steps: Sequence[Step], first: int = 0, seed: int = 0
    ) -> StepScores:
        """The values of `steps[first:]`; `seed` is that of all searches together."""
        verdict = await final_verdict(problem, steps, self._grade) if self._grade else None
        last = len(steps) if verdict is None else len(steps) - 1
        searched = await asyncio.gather(
            *(
                self._search(problem, steps[:end], node_seed(seed, str(end)))
                for end in range(first + 1, last + 1)
            )
        )
        values = [value for value, _ in searched]
        if verdict is not None and first < len(steps):
            values.append(verdict_value(verdict, self.scale))
        return StepScores(tuple(values), verdict, sum(num_tokens for _, num_tokens in searched))

    async def _search(
        self, problem: Problem, steps: Sequence[Step], seed: int
    ) -> tuple[float, int]:
        """The value of the last step, and the tokens that were sampled for it."""
        tree = SearchTree({"id": problem.id, "problem": problem.text})
        start = tree.add_chain(steps)
        evaluate = self._make_evaluate(problem, seed)
        if steps[-1].answer is not None:
            tree.end(start, "answer")
            (value,) = await evaluate(tree, [start])
            return value, 0
        expand = self._make_expand(problem, seed)
        outcome = await tree_search(tree, self._rules, expand, evaluate, seed)
        return tree.nodes[start].mean(self.scale.middle), outcome.spent.tokens
