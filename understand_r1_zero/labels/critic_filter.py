"""What a critic keeps of a policy's solutions: those that it values, and that are not too short.

Source: ReST-MCTS*, Zhang et al. 2024, arXiv:2406.03816; THUDM/ReST-MCTS,
`self_train/vm_critic/filter_policy_examples_by_value.py`: a value of 0.2 and 50 characters at least.
"""

from collections.abc import Sequence

from understand_r1_zero.args_rounds import LabelArgs
from understand_r1_zero.search.tree import SearchTree


def is_kept(text: str, value: float | None, args: LabelArgs) -> bool:
    """Whether a solution has `--label_min_value` and `--label_min_chars` at least.

    Raises:
        ValueError: a value is asked for, and there is none.
    """
    if len(text) < args.label_min_chars:
        return False
    if args.label_min_value is None:
        return True
    if value is None:
        raise ValueError(
            f"--label_min_value {args.label_min_value} needs solutions with a value, and {text[:40]!r} has "
            "none; search with a value oracle"
        )
    return value >= args.label_min_value


def kept_ends(tree: SearchTree, ends: Sequence[int], args: LabelArgs) -> list[int]:
    """Those of a tree's ends whose solutions pass `is_kept`, by the oracle's value of the last step.

    Raises:
        ValueError: as `is_kept`.
    """
    return [end for end in ends if is_kept(tree.text(end), tree.nodes[end].value, args)]
