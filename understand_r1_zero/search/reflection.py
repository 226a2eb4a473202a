"""What the policy itself says of a partial solution: whether it is solved, and what comes next.

Source: ReST-MCTS*, Zhang et al. 2024, arXiv:2406.03816; THUDM/ReST-MCTS, `MCTS/task.py`. The prompts are ours.
A step in which the codec reads an answer ends without being asked about.
"""

from collections.abc import Callable

from understand_r1_zero.search.growth import Reflect, Reflection
from understand_r1_zero.search.step_oracle import Write
from understand_r1_zero.search.step_sampler import node_seed
from understand_r1_zero.search.tree import ROOT, SearchTree

END = "<end>"
SIMPLE_PROMPT = """\
Problem: {problem}
Solution so far:
{solution}
Does this solution already state the final answer of the problem? Reply with one word, solved or unsolved.
"""
FULL_PROMPT = """\
Problem: {problem}
Solution so far:
{solution}
If this solution already states the final answer of the problem, reply with {end} alone. Otherwise say in one or
two sentences what is still missing and what the next step should do. Do not write the step itself.
"""


def simple(problem_text: str, write: Write, seed: int) -> Reflect:
    """Asks whether it is solved; only a plain "solved" is a yes, and the bare problem is not asked about."""

    async def reflect(tree: SearchTree, number: int) -> Reflection:
        if number == ROOT:
            return Reflection(False)
        prompt = SIMPLE_PROMPT.format(problem=problem_text, solution=tree.text(number))
        said = (await _reply(write, prompt, seed, tree, number)).lower()
        return Reflection("solved" in said and "unsolved" not in said)

    return reflect


def full(problem_text: str, write: Write, seed: int) -> Reflect:
    """Asks for `<end>` or a hint, which the next expansion is shown as `Node.hint`."""

    async def reflect(tree: SearchTree, number: int) -> Reflection:
        prompt = FULL_PROMPT.format(problem=problem_text, solution=tree.text(number), end=END)
        said = (await _reply(write, prompt, seed, tree, number)).strip()
        if END in said:
            return Reflection(number != ROOT)
        return Reflection(False, said)

    return reflect


REFLECTIONS: dict[str, Callable[[str, Write, int], Reflect]] = {"simple": simple, "full": full}
"""Each of a problem's text, the policy, and the problem's seed."""


async def _reply(write: Write, prompt: str, seed: int, tree: SearchTree, number: int) -> str:
    texts = await write(prompt, 1, node_seed(seed, f"{tree.tag(number)} reflection"))
    return texts[0] if texts else ""
