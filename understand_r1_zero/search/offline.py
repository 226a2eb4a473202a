"""Answers of trees that are already there: other widths, orders and votes without another search.

ReST-MCTS*'s and OpenR's names: "RM max" is vote "best" with score "last", "RM vote" vote "weighted" with score
"last" over all answers (`width` None); `prm_min_max` is "best" with "min", `prm_min_vote` "weighted" with "min".
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from understand_r1_zero.search.answers import AGGREGATES, VOTES, AreEqual, solution_score, vote
from understand_r1_zero.search.selection import ORDERS, Score, level_beams, puct
from understand_r1_zero.search.step_oracle import PROBABILITY, Scale
from understand_r1_zero.search.tree import SearchTree

STRATEGIES = ("q_value", "value", "puct", "visit_count")
"""What puts the nodes of a level in order; AlphaMath's names (`mcts_infer_strategy`)."""
SCORES = ("strategy", *AGGREGATES)
"""What a solution is worth: its last node by the strategy, or its steps' values together."""

IsRight = Callable[[str, Mapping[str, Any]], bool]
"""Whether an answer is that of a tree's record."""


@dataclass(frozen=True, slots=True)
class AnswerRule:
    """How an answer is chosen.

    Args:
        strategy: of `STRATEGIES`; how nodes of a level are put in order.
        width: how many of a level are followed; None: all, so that every answer of the tree takes part.
        vote: "best", "majority" or "weighted", as in `answers.vote`.
        score: of `SCORES`; by which answers are compared, or weighted.
        scale: of the values in the tree; scores of values are of values brought into [0, 1].
        c: of "puct".

    Raises:
        ValueError: there is no such name, or a width below 1, or weights that may be negative.
    """

    strategy: str = "q_value"
    width: int | None = 1
    vote: str = "best"
    score: str = "strategy"
    scale: Scale = PROBABILITY
    c: float = 1.25

    def __post_init__(self) -> None:
        for name, names in (("strategy", STRATEGIES), ("vote", VOTES), ("score", SCORES)):
            if getattr(self, name) not in names:
                raise ValueError(
                    f"{name} must be one of {', '.join(names)}, got {getattr(self, name)!r}"
                )
        if self.width is not None and self.width < 1:
            raise ValueError(f"width must be at least 1, got {self.width}; None follows all nodes")
        if self.vote == "weighted" and self.score == "strategy":
            raise ValueError(
                f"a weighted vote needs a score of values, one of {', '.join(AGGREGATES)}"
            )

    @property
    def order(self) -> Score:
        """The strategy, as a function of a tree and a node."""
        if self.strategy == "puct":
            return partial(puct, c=self.c)
        return ORDERS[self.strategy]


def choose(tree: SearchTree, rule: AnswerRule, are_equal: AreEqual) -> int | None:
    """The final node whose answer a tree gives; None where no branch has one.

    Branches without an answer are pruned; then level by level the `width` best are followed, and each answer
    found leaves one place less.

    Raises:
        ValueError: values are outside the rule's scale.

    Source: AlphaMath, Chen et al. 2024, arXiv:2405.03553, its offline inference with `prune`; votes: ReST-MCTS*,
    Zhang et al. 2024, arXiv:2406.03816.
    """
    width = len(tree.nodes) if rule.width is None else rule.width
    finals = level_beams(tree, width, rule.order)
    return vote(tree, finals, are_equal, [_score(tree, n, rule) for n in finals], rule.vote)


@dataclass(frozen=True, slots=True)
class OfflineScore:
    """How many trees there were, how many gave an answer, and how many a right one."""

    num_trees: int
    num_answered: int
    num_right: int

    @property
    def accuracy(self) -> float:
        """`num_right / num_trees`: a tree without an answer is wrong; 0 without trees."""
        return self.num_right / self.num_trees if self.num_trees else 0.0


def infer(
    trees: Iterable[SearchTree],
    rules: Mapping[str, AnswerRule],
    are_equal: AreEqual,
    is_right: IsRight,
) -> dict[str, OfflineScore]:
    """`choose` by each rule over the trees of a file (`read_trees`), in one pass, graded by `is_right`."""
    num_trees = 0
    answered, right = Counter[str](), Counter[str]()
    for tree in trees:
        num_trees += 1
        for name, rule in rules.items():
            number = choose(tree, rule, are_equal)
            answer = None if number is None else tree.nodes[number].answer
            if answer is not None:
                answered[name] += 1
                right[name] += is_right(answer, tree.record)
    return {name: OfflineScore(num_trees, answered[name], right[name]) for name in rules}


def judge(
    trees: Iterable[SearchTree], is_right: IsRight, right: float = 1.0, wrong: float = -1.0
) -> Iterator[SearchTree]:
    """The trees, with a reward for each final node that has none: files of other programs keep none."""
    for tree in trees:
        for number in tree.finals():
            node = tree.nodes[number]
            if node.reward is None and node.answer is not None:
                node.reward = right if is_right(node.answer, tree.record) else wrong
        yield tree


def _score(tree: SearchTree, number: int, rule: AnswerRule) -> float:
    if rule.score == "strategy":
        return rule.order(tree, number)
    return solution_score(tree, number, rule.score, rule.scale)
