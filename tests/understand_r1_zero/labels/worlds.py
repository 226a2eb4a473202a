"""Small trees and problems for tests of labels, built by hand."""

import json

from understand_r1_zero.labels.sources import ProblemGroup
from understand_r1_zero.search.codecs.registry import load_codec
from understand_r1_zero.search.records import to_record
from understand_r1_zero.search.step import Step
from understand_r1_zero.search.tree import ROOT, Node, SearchTree
from understand_r1_zero.templates import TEMPLATES

LINES = load_codec("lines", TEMPLATES["qwen_math"])
XML = load_codec("xml")


def put(tree, parent, text, *, q=None, visits=1, answer=None, reward=None, terminal="", **step):
    """A step below a node; with `q` it was visited."""
    node = Node(
        Step(text, answer=answer, **step),
        parent=parent,
        depth=tree.nodes[parent].depth + 1,
        reward=reward,
        terminal=terminal or ("answer" if answer is not None else ""),
    )
    if q is not None:
        node.visits, node.value_sum = visits, q * visits
    return tree.insert(node)


def forked(**record):
    """One right way of three steps, a wrong end and a failed one below its first step.

    0 -- 1 "a\n" Q .5 -- 2 "b\n" Q .75 -- 3 "c 4" right
                      |- 4 "wrong 5" wrong, Q -.5
                      '- 5 "broken" no step, Q -1
    """
    tree = SearchTree({"question": "2 + 2 =", "answer": "4", **record})
    first = put(tree, ROOT, "a\n", q=0.5, visits=4)
    second = put(tree, first, "b\n", q=0.75, visits=2)
    put(tree, second, "c 4", q=0.9, answer="4", reward=1.0)
    put(tree, first, "wrong 5", q=-0.5, answer="5", reward=-1.0)
    put(tree, first, "broken", q=-1.0, terminal="no step")
    return tree


def explored(scan, counts, *, is_right=False):
    """A given solution of as many steps as `counts`: (right, drawn) completions after each, None: not asked.

    Each drawn completion is a branch with an end.
    """
    tree = SearchTree({"question": "2 + 2 =", "answer": "4"})
    number, chain = ROOT, []
    for place, _ in enumerate(counts):
        is_last = place == len(counts) - 1
        answer = ("4" if is_right else "5") if is_last else None
        reward = (1.0 if is_right else -1.0) if is_last else None
        number = put(tree, number, f"step {place}\n", answer=answer, reward=reward)
        chain.append(number)
    for number, found in zip(chain, counts, strict=True):
        if found is None:
            continue
        right, drawn = found
        tree.nodes[number].labels = {"num_right": right, "num_completions": drawn}
        for k in range(drawn):
            is_good = k < right
            put(tree, number, f"drawn {k}", answer=str(5 - is_good), reward=2.0 * is_good - 1)
    tree.record["search"] = {"given": tree.tag(chain[-1]), "scan": scan}
    return tree


def group(*trees, responses=()):
    return ProblemGroup("2 + 2 =", ("4",), tuple(trees), tuple(responses))


def write_trees(path, trees):
    path.write_text("".join(f"{json.dumps(to_record(tree))}\n" for tree in trees))
    return path
