"""Explored trees: the steps of a given solution, each the first child of the one before, and what was drawn after them.

A step after which completions were drawn has the labels `num_right` and `num_completions`; its completions are
the other branches below it, whose ends have a reward, above 0 where the answer is right.
"""

from understand_r1_zero.search.records import FACTS_KEY
from understand_r1_zero.search.tree import NO_PARENT, ROOT, SearchTree

NUM_RIGHT, NUM_COMPLETIONS = "num_right", "num_completions"
MC_VALUE = "mc_value"
"""The share of right completions, where their numbers are not known."""
GIVEN_KEY = "given"
"""Where the facts of an explored tree have the tag of the given solution's last node."""


def is_explored(tree: SearchTree) -> bool:
    """Whether the tree is of a given solution."""
    return GIVEN_KEY in tree.record.get(FACTS_KEY, {})


def given_chain(tree: SearchTree) -> list[int]:
    """The nodes of the given solution, in its order.

    Raises:
        ValueError: the tree has none, or its facts name no node.
    """
    tag = str(tree.record.get(FACTS_KEY, {}).get(GIVEN_KEY, ""))
    chain, number = [], ROOT
    for place in tag.split(".")[1:]:
        children = tree.nodes[number].children
        if not place.isdecimal() or int(place) >= len(children):
            raise ValueError(f"the tree has no node {tag}, the end of its given solution")
        number = children[int(place)]
        chain.append(number)
    if not chain:
        raise ValueError(
            "labels of the steps of given solutions need trees that --collect explore made; "
            f"this one does not say where its solution ends ({FACTS_KEY}.{GIVEN_KEY})"
        )
    return chain


def drawn_share(tree: SearchTree, number: int) -> float | None:
    """The share of right ones among the completions that were drawn after a node; None where none were."""
    labels = tree.nodes[number].labels
    if labels.get(NUM_COMPLETIONS):
        return labels[NUM_RIGHT] / labels[NUM_COMPLETIONS]
    return labels.get(MC_VALUE)


def right_share(tree: SearchTree, number: int) -> float | None:
    """`drawn_share`; of an answer after which none were drawn: 1 where it is right, else 0. None: nothing is known.

    A step that was cut at the token limit has no answer: how it would have gone on is not known.
    """
    share, node = drawn_share(tree, number), tree.nodes[number]
    if share is None and node.answer is not None and node.reward is not None:
        return float(node.reward > 0)
    return share


def first_pit(tree: SearchTree) -> int | None:
    """The place, in `given_chain`, of the first step after which no completion is right; None: there is none.

    A wrong answer is a pit though nothing was drawn after it. Where a binary scan has not
    asked for a step before, the answer is within reach.

    Source: Self-Explore, Hwang et al. 2024, arXiv:2404.10346, section 3.2.
    """
    shares = (right_share(tree, number) for number in given_chain(tree))
    return next((place for place, share in enumerate(shares) if share == 0), None)


def completions(tree: SearchTree, number: int) -> list[int]:
    """The ends, with a reward, of what was drawn after a node of the given solution or the root."""
    chain = set(given_chain(tree))
    return [
        end
        for child in tree.nodes[number].children
        if child not in chain
        for end in tree.below(child)
        if tree.nodes[end].reward is not None
    ]


def text_after(tree: SearchTree, number: int, end: int) -> str:
    """The text of the steps from below a node down to an end."""
    texts = []
    while end not in (number, NO_PARENT):
        texts.append(tree.nodes[end].text)
        end = tree.nodes[end].parent
    return "".join(reversed(texts))
