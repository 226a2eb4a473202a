"""Flags of the parts of a round: what is collected, what is labelled, who verifies; see args.py."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class CollectArgs:
    """What the command collect writes (actors/collect_command.py)."""

    collect: Literal["sample", "search", "explore"] = "sample"
    """Responses to training problems, their trees by --method, or completions of the steps of --solutions."""
    collect_problems: int = -1
    """Training problems, drawn by --seed; -1: all."""
    collect_trees: int = 1
    """search: trees of a problem."""
    solutions: str = ""
    """explore: file of responses, as collect writes them, or of pairs, whose rejected responses are explored."""
    explore_solutions: int = 0
    """explore: solutions of a problem, at most, the first ones; 0: all."""


@dataclass(frozen=True)
class LabelArgs:
    """What the command label makes of trees and responses (understand_r1_zero/labels/)."""

    label: Literal["step_values", "step_pairs", "solutions", "solution_pairs", "first_pit"] = (
        "step_values"
    )
    """Values of steps, pairs of steps with one beginning, right solutions, pairs of solutions, or pairs at the first step after which all completions are wrong."""
    label_from: str = ""
    """File of trees or of responses that labels are made of."""
    label_format: Literal["training", "rest_mcts", "math_shepherd", "omega", "omega_tree"] = (
        "training"
    )
    """How labels are written: as --sft_data, --value_data and --preference_data read them, or as the original tools do."""
    label_codec: Literal["", "xml"] = ""
    """step_values and solutions: trees of --step_codec react are written in this format; empty: as they are."""
    label_value: Literal["q", "expected", "rest", "simple", "hard", "soft", "outcome"] = "q"
    """Q of the search, or what the policy can expect by the tree's ends and how often its steps were sampled; step_values alone: ReST-MCTS*'s values (weighted or simple), whether any or how many completions are right, or whether the answer is, at the last step alone."""
    label_right: int = 4
    """Right solutions of a problem, at most; 0: all."""
    label_wrong: int = 4
    """step_values: wrong solutions of a problem, at most; 0: all."""
    label_prefer: Literal["order", "code", "q"] = "order"
    """Which solutions come first: those found first, those whose code printed the answer, or those of the highest mean Q."""
    label_distinct: Literal["text", "equations", "distance", "none"] = "text"
    """Solutions of a problem that count as one: of the same words, of the same equations, nearer than --label_distance, or none."""
    label_distance: float = 0.2
    """Normalised edit distance from which two solutions are different ones."""
    pair_top: int = 1
    """step_pairs: so many of the best children of a node against so many of the worst."""
    pair_margin: float = 0.0
    """step_pairs, --pair_by value: the chosen one's value must exceed the rejected one's by more than this."""
    pair_edits: int = 0
    """step_pairs: the least edit distance of the two steps, in characters."""
    pair_outcome: bool = True
    """step_pairs: only steps that lead to a right answer are chosen, only steps that lead to a wrong one rejected."""
    pair_sets: bool = False
    """step_pairs: a row for each node, with lists of right and of wrong steps, for --value_loss ranking."""
    pair_by: Literal["grade", "value"] = "grade"
    """solution_pairs: right solutions against wrong ones, or of each problem the one that the oracle values most against the one it values least, whatever they answer (Self-Rewarding)."""
    pair_distances: str = ""
    """solution_pairs: the rejected solution is the shortest one farther from the chosen one than the first of these distances that any exceeds, as 0.5,0.4,0.3, or the shortest of all; empty: the farthest."""
    pair_wrong: int = 0
    """solution_pairs: wrong solutions of a problem that pairs are made of, at most; 0: all."""
    pairs_per_problem: int = 8
    """solution_pairs: of a problem, at most; 0: one for each right solution, whatever --label_right."""
    label_min_value: float | None = None
    """solutions, --label_format rest_mcts: only solutions that the critic values at least so; ReST-MCTS*'s is 0.2."""
    label_min_chars: int = 0
    """solutions, --label_format rest_mcts: only solutions of at least so many characters; ReST-MCTS*'s is 50."""


@dataclass(frozen=True)
class VerifyArgs:
    """What the command verify compares (actors/verify_command.py)."""

    verify: str = ""
    """File of trees whose solutions are verified, as search --method maj writes them, or of responses; the comparison goes to --output, by default beside it."""
    verifiers: str = ""
    """Value models and process reward models, as NAME=DIR,NAME=DIR, which read --step_codec by --prompt_template; empty: the values that the trees have."""
