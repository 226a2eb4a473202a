"""Trees for tests: random ones with everything a node can have, and one as a search leaves it."""

import asyncio
import hashlib
import math
import random

from understand_r1_zero.search.grow import Rules, tree_search
from understand_r1_zero.search.limits import Limits
from understand_r1_zero.search.records import solution_entries
from understand_r1_zero.search.selection import puct
from understand_r1_zero.search.step import Step
from understand_r1_zero.search.tree import Node, SearchTree


def grown(seed: int, size: int = 40) -> SearchTree:
    """A random tree, some of it finished."""
    rng = random.Random(seed)
    tree = SearchTree({"question": "1 + 1 =", "answer": "2", "idx": seed})
    while len(tree.nodes) < size and not tree.is_exhausted():
        parent = rng.randrange(len(tree.nodes))
        if tree.nodes[parent].terminal or tree.nodes[parent].is_expanded:
            continue
        number = tree.add(parent, _random_node(rng))
        node = tree.nodes[number]
        if not node.children and (node.answer is not None or rng.random() < 0.1):
            tree.end(number, "depth" if node.answer is None else "answer")
        if rng.random() < 0.3:
            tree.expanded(parent)
    return tree


def _random_node(rng: random.Random) -> Node:
    tokens = tuple(rng.randrange(100) for _ in range(rng.randrange(1, 5)))
    return Node(
        Step(
            f"step {rng.randrange(30)}\n",
            code=rng.choice([None, "", "print(1)"]),
            observation=rng.choice([None, "", "1"]),
            answer=rng.choice([None, None, None, None, "2", ""]),
            observation_start=rng.choice([None, 0, 3]),
        ),
        token_ids=tokens,
        num_tokens=len(tokens),
        logprob=rng.choice([-rng.random(), -math.inf]),
        value=rng.choice([None, rng.random(), -100.0]),
        visits=rng.randrange(3),
        value_sum=rng.random(),
        reward=rng.choice([None, 0.0, 1.0]),
        count=rng.randrange(1, 4),
        labels=rng.choice([{}, {"he": 1.0}]),
    )


def searched(simulations: int, seed: int = 0) -> SearchTree:
    """What a search with PUCT makes of one problem: five steps below a node, a third of all steps with code."""

    async def expand(tree: SearchTree, number: int, count: int) -> list[Node]:
        rng = _rng_of(seed, tree, number)
        return [_worked_step(rng, tree.nodes[number].depth + 1) for _ in range(count)]

    async def evaluate(tree: SearchTree, numbers: list[int]) -> list[float]:
        values = []
        for number in numbers:
            node = tree.nodes[number]
            if node.answer is not None:
                node.reward = 1.0 if node.answer == "24" else -1.0
                values.append(node.reward)
            else:
                drift = sum(0.25 if "10" in step.text else -0.1 for step in tree.steps(number))
                values.append(math.tanh(drift + _rng_of(seed, tree, number).gauss(0, 0.3)))
        return values

    tree = SearchTree(
        {
            "index": seed,
            "question": "Ann has 10 red and 14 green apples.\nHow many apples has she? Is $10 < 14$?",
            "answer": "24",
        }
    )
    rules = Rules(
        lambda tree, child: puct(tree, child, c=1.25), limits=Limits(simulations, depth=8)
    )
    outcome = asyncio.run(tree_search(tree, rules, expand, evaluate, seed))
    finals = sorted(tree.finals(), key=lambda n: -(tree.nodes[n].value or 0.0))
    tree.record["solutions"] = solution_entries(tree, finals[:3])
    tree.record["search"] = {
        "method": "mcts",
        "seed": seed,
        "reason": outcome.reason,
        "simulations": outcome.spent.simulations,
        "tokens": outcome.spent.tokens,
        "seconds": 1.5,
    }
    if finals:
        right = tree.nodes[finals[0]].answer == "24"
        status = "correct" if right else "incorrect"
        tree.record["search"] |= {"chosen": tree.tag(finals[0]), "status": status}
    return tree


def _rng_of(seed: int, tree: SearchTree, number: int) -> random.Random:
    return random.Random(hashlib.sha256(f"{seed} {tree.tag(number)}".encode()).digest())


def _worked_step(rng: random.Random, depth: int) -> Node:
    own = f"<step>\n<p>\nStep {depth}: {rng.choice(['10 + 14', '10 + 4', '14 - 10', '1 + 14'])}"
    if rng.random() < 0.12 * depth:
        answer = rng.choice(["24", "24", "14", "4", "15"])
        step = Step(f"{own}\n</p>\n<p>\nFinal Answer: {answer}\n</p>\n</step>", answer=answer)
    elif rng.random() < 0.35:
        code, seen = f"red = {rng.randrange(20)}\nprint(red + 14)", str(rng.randrange(40))
        own += f" apples, computed\n</p>\n<code>\n```python\n{code}\n```\n</code>\n"
        text = f"{own}<output>\n{seen}\n</output>\n</step>"
        step = Step(text, code=code, observation=seen, observation_start=len(own))
    else:
        step = Step(f"{own} apples are what is left to count after {depth} steps.\n</p>\n</step>")
    tokens = tuple(rng.randrange(512) for _ in range(rng.randrange(10, 40)))
    logprob = -sum(rng.expovariate(4) for _ in tokens)
    node = Node(step, token_ids=tokens, num_tokens=len(tokens), logprob=logprob)
    if step.answer is None and rng.random() < 0.04:
        node.terminal = "no step"
    return node
