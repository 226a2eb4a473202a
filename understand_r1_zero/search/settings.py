"""How a problem is searched: every choice of every method, and the published ones."""

import difflib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import get_args

from understand_r1_zero.args_search import Method, SearchArgs
from understand_r1_zero.search import backup
from understand_r1_zero.search.answers import AGGREGATES, VOTES
from understand_r1_zero.search.beams import BeamRules
from understand_r1_zero.search.grow import Rules
from understand_r1_zero.search.limits import Gate, Limits, end_gate, never
from understand_r1_zero.search.rollouts import RollOut, forward, to_the_end
from understand_r1_zero.search.selection import (
    ORDERS,
    Score,
    puct,
    rest_ucb,
    uct,
)
from understand_r1_zero.search.step_oracle import PROBABILITY, SIGNED, Scale

METHOD_NAMES = tuple(name for name in get_args(Method) if name != "sample")
WHOLE_SOLUTIONS = ("best_of_n", "maj")
"""Methods that sample solutions independently of each other."""

SCORES: dict[str, Callable[["SearchSettings"], Score]] = {
    "puct": lambda s: partial(puct, c=s.c, is_normalised=s.is_prior_normalised, worst=s.worst),
    "uct": lambda s: partial(uct, c=s.c, worst=s.worst),
    "rest_ucb": lambda s: partial(rest_ucb, c=s.c, inf=s.unvisited_bonus, worst=s.worst),
}
BACKUPS: dict[str, backup.Backup] = {
    "mean": backup.mean,
    "visit_weighted": backup.visit_weighted,
    "terminal_only": backup.terminal_only,
    "none": backup.nothing,
}
ROLL_KINDS = ("none", "greedy", "random", "to_the_end")
REFLECTION_NAMES = ("none", "simple", "full")
CHOICES = ("score", "highest", *ORDERS)


@dataclass(frozen=True)
class SearchSettings:
    """One method, with all its knobs; those of other methods are not read.

    Raises:
        ValueError: a name is unknown, or a number makes no sense.
    """

    method: str
    """A name in `PUBLISHED`."""
    width: int = 1
    """Partial solutions kept a level (B1 of a beam), or children followed below a node (`tot_dfs`)."""
    num_children: int = 1
    """Steps sampled below a node (B2); for `cot` how often more a step that cannot be read is tried."""
    num_samples: int = 1
    """Whole solutions of `best_of_n` and `maj`."""
    simulations: float = math.inf
    """Of a tree search; expansions of `tot_dfs`; levels of a beam."""
    depth: int = 16
    """In steps."""
    max_tokens: float = math.inf
    """Sampled in the search of one problem."""
    max_seconds: float = math.inf
    """For the search of one problem."""
    score: str = "puct"
    """How a child is selected: `puct`, `uct` or `rest_ucb`."""
    c: float = 1.25
    """How much selection explores."""
    is_prior_normalised: bool = False
    """Over siblings, in `puct`."""
    unvisited_bonus: float = 0.8
    """Of `rest_ucb` (INF in its code)."""
    worst: float = -1.0
    """The value of a simulation that is under way: the lowest of the oracle's scale."""
    backup: str = "mean"
    """`mean`, `visit_weighted`, `terminal_only` or `none`."""
    values_children: bool = False
    """Whether every new node is valued; else the expanded one, and new ends."""
    end_gate: float = math.inf
    """A new node of this value ends the search."""
    gate_needs_answer: bool = False
    """Whether only one with an answer does: for values that are chances of success, not progress."""
    threshold: float = -math.inf
    """`tot_dfs` turns back below it."""
    alpha: float = 0.5
    """The share of what was rolled out in a node's value."""
    roll_kind: str = "none"
    """`none`, `greedy` or `random` (some steps forward), or `to_the_end`."""
    roll_forward_steps: int = 1
    """How far `greedy` and `random` roll."""
    roll_branch: int = 1
    """Samples a step rolled forward, or looked ahead."""
    reflection: str = "none"
    """`none`, `simple` (is it solved?) or `full` (a hint otherwise)."""
    lookahead_steps: int = 0
    """Of `lookahead`."""
    num_parallel: int = 1
    """Simulations of one tree at once."""
    vote: str = "best"
    """Of the final nodes: `best`, `majority` or `weighted`."""
    aggregate: str = "last"
    """What the values of its steps make of a solution: a name in `answers.AGGREGATES`."""
    best_by: str = "score"
    """What the vote `best` takes: the final node of the highest `score`; the node of the `highest` value, from
    which the policy goes on to an answer; or the end of a beam of `width` down the finished tree, which follows
    `q_value`, `value` or `visit_count`."""

    def __post_init__(self) -> None:
        for name, known in _NAMES.items():
            check_name(name, getattr(self, name), known)
        for name, least in _LEAST.items():
            if not getattr(self, name) >= least:
                raise ValueError(
                    f"--{_flag(name)} must be at least {least}, got {getattr(self, name)}"
                )
        for name in ("max_tokens", "max_seconds"):
            if not getattr(self, name) > 0:
                raise ValueError(f"--{_flag(name)} must be above 0, got {getattr(self, name)}")
        if not 0 <= self.alpha <= 1:
            raise ValueError(f"--alpha must lie in [0, 1], got {self.alpha}")
        if self.roll_kind != "none" and not self.values_children:
            raise ValueError(
                f"--roll_kind {self.roll_kind} starts at the best new child, and {self.method} values "
                "none (values_children): use none, or --method rest_mcts or rstar"
            )

    @property
    def needs_values(self) -> bool:
        """Whether the method must be given an oracle of step values."""
        if self.method in ("greedy", "cot"):
            return False
        return self.method not in WHOLE_SOLUTIONS or self.vote != "majority"

    @property
    def scale(self) -> Scale:
        """Of its values: that whose lowest is `worst`."""
        return PROBABILITY if self.worst == PROBABILITY.low else SIGNED

    @property
    def num_samples_at_once(self) -> int:
        """The most that it asks the policy for in one go."""
        if self.method in WHOLE_SOLUTIONS:
            return self.num_samples
        return self.num_children * max(self.num_parallel, self.width)

    @property
    def limits(self) -> Limits:
        """Of the whole search."""
        return Limits(self.simulations, self.depth, self.max_tokens, self.max_seconds)

    @property
    def gate(self) -> Gate:
        """What ends it early."""
        if math.isinf(self.end_gate):
            return never
        return end_gate(self.end_gate, needs_answer=self.gate_needs_answer)

    @property
    def rules(self) -> Rules:
        """Of a tree search."""
        return Rules(
            score=SCORES[self.score](self),
            back_up=BACKUPS[self.backup],
            num_children=self.num_children,
            values_children=self.values_children,
            limits=self.limits,
            gate=self.gate,
            num_parallel=self.num_parallel,
            roll_out=self._roll_out(),
        )

    @property
    def beam_rules(self) -> BeamRules:
        """Of a beam; breadth-first search asks the root for no more steps than others, and never narrows."""
        is_narrowing = self.method != "tot_bfs"
        return BeamRules(
            width=self.width,
            num_children=self.num_children,
            root_children=self.num_children * (self.width if is_narrowing else 1),
            is_narrowing=is_narrowing,
            gate=self.gate,
            lookahead_steps=self.lookahead_steps if self.method == "lookahead" else 0,
            roll_branch=self.roll_branch,
        )

    def _roll_out(self) -> RollOut | None:
        if self.roll_kind == "none":
            return None
        if self.roll_kind == "to_the_end":
            return to_the_end(SCORES[self.score](self), self.num_children)
        return forward(self.roll_forward_steps, self.roll_branch, self.alpha, self.roll_kind)


def check_name(what: str, name: str, known: Iterable[str]) -> None:
    """Refuse what is not known.

    Raises:
        ValueError: with the nearest known name.
    """
    if name not in known:
        names = list(known)
        nearest = difflib.get_close_matches(name, names, n=1, cutoff=0.0)[0]
        raise ValueError(
            f"--{what} must be one of {', '.join(names)}, got {name!r}; the nearest is {nearest}"
        )


_NAMES: dict[str, Iterable[str]] = {
    "method": METHOD_NAMES,
    "score": SCORES,
    "backup": BACKUPS,
    "roll_kind": ROLL_KINDS,
    "reflection": REFLECTION_NAMES,
    "vote": VOTES,
    "aggregate": AGGREGATES,
    "best_by": CHOICES,
}
_LEAST = {
    "width": 1,
    "num_children": 1,
    "num_samples": 1,
    "simulations": 1,
    "depth": 1,
    "c": 0,
    "roll_forward_steps": 1,
    "roll_branch": 1,
    "lookahead_steps": 0,
    "num_parallel": 1,
}
_THOUGHTS = SearchSettings(
    "tot_bfs", width=2, num_children=3, depth=8, end_gate=0.9, worst=0.0, best_by="highest"
)
PUBLISHED: dict[str, SearchSettings] = {
    settings.method: settings
    for settings in (
        SearchSettings("greedy", depth=10),
        SearchSettings("cot", num_children=3),
        SearchSettings("best_of_n", num_samples=16),
        SearchSettings("maj", num_samples=5, vote="majority"),
        SearchSettings("sbs", width=3, num_children=5, depth=10),
        SearchSettings("lookahead", width=4, num_children=4, depth=40, lookahead_steps=3),
        _THOUGHTS,
        replace(_THOUGHTS, method="tot_dfs"),
        SearchSettings("mcts", num_children=5, simulations=40, depth=8, best_by="q_value"),
        SearchSettings(
            "rest_mcts",
            num_children=3,
            simulations=100,
            score="rest_ucb",
            c=0.4,
            worst=0.0,
            backup="visit_weighted",
            values_children=True,
            end_gate=0.9,
            roll_kind="greedy",
            roll_forward_steps=2,
            reflection="simple",
            best_by="highest",
        ),
        SearchSettings(
            "rstar",
            num_children=32,
            simulations=12,
            score="uct",
            c=2.0,
            backup="terminal_only",
            values_children=True,
            roll_kind="to_the_end",
        ),
    )
}
"""Each method as it was published, where it was.

Source: `greedy`, `maj` (Maj@5), `sbs` (B1 = 3, B2 = 5, 10 levels), `mcts`: AlphaMath, arXiv:2405.03553, tables 2 and 3
and Super_MARIO's configurations; `lookahead`: 4 x 4 over 40 levels of Hugging Face's search-and-learn, 3 steps of
Snell et al., arXiv:2408.03314; `tot_*`, `rest_mcts`: `evaluate.py` of THUDM/ReST-MCTS, whose MCTS has no depth;
`rstar`: the evaluation of arXiv:2501.04519; `best_of_n`: 16 is ours.
"""


def _flag(name: str) -> str:
    return next((flag for flag, setting in _FLAGS.items() if setting == name), name)


_FLAGS = {
    "search_samples": "num_samples",
    "search_tokens": "max_tokens",
    "search_time_s": "max_seconds",
    "c_puct": "c",
    "normalise_priors": "is_prior_normalised",
}
"""Flags that are called otherwise than their setting."""


def settings_of(search: SearchArgs) -> SearchSettings:
    """The published settings of `--method`, with those that flags change.

    Raises:
        ValueError: a value makes no sense.
    """
    given = {
        _FLAGS.get(field.name, field.name): getattr(search, field.name) for field in fields(search)
    }
    return published(given.pop("method"), **given)


def published(method: str, **changes: object) -> SearchSettings:
    """The published settings of a method with some changed; None leaves one as it is.

    Raises:
        ValueError: no such method, or a value that makes no sense.
    """
    check_name("method", method, METHOD_NAMES)
    given = {name: value for name, value in changes.items() if value is not None}
    return replace(PUBLISHED[method], **given)
