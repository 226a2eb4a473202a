"""Solutions written straight on, without looking back."""

from collections.abc import Mapping

from understand_r1_zero.search.growth import Growth
from understand_r1_zero.search.tree import ROOT, Node


async def sample_chains(growth: Growth, counts: Mapping[int, int]) -> None:
    """As many whole solutions below each node as `counts` says.

    Equal steps are one node, below which as many go on as came to it: `Node.count` of the final nodes of a new
    tree add up to the number of solutions that came to an answer.
    """
    while counts and growth.has_budget():
        below: dict[int, int] = {}
        for sampled in await growth.expand(counts):
            below |= sampled
        counts = {n: count for n, count in below.items() if growth.tree.is_open(n)}


async def write_chain(growth: Growth, start: int = ROOT, num_tries: int = 1) -> int:
    """One solution on from a node: the last node it came to.

    Where the sample of a step cannot be read, up to `num_tries` more are drawn at once, and the first that
    can be is followed.

    Source: ReST-MCTS*'s code, `get_next_steps_roll` (3 tries, one after another).
    """
    tree, number = growth.tree, start
    while tree.is_open(number) and growth.has_budget():
        steps: list[int] = []
        for count in (1, num_tries) if num_tries > 1 else (1,):
            [sampled] = await growth.expand({number: count}, is_complete=False)
            steps = [step for step in sampled if _is_step(tree.nodes[step])]
            if steps:
                break
        tree.expanded(number)
        if not steps:
            break
        number = steps[0]
    return number


def _is_step(node: Node) -> bool:
    """Whether it is one, and no sample that was kept though it could not be read."""
    return node.terminal in ("", "answer", "depth")
