"""Which steps of a given solution are asked about, and the tree that comes of it."""

import asyncio
import json

import pytest

from understand_r1_zero.labels.explored import first_pit as place_of_pit
from understand_r1_zero.labels.explored import given_chain
from understand_r1_zero.search.explore import (
    GivenSolution,
    ask_about_steps,
    explored_tree,
)
from understand_r1_zero.search.records import from_record, to_record
from understand_r1_zero.search.step import Step
from understand_r1_zero.search.step_oracle import Completion, Draws
from understand_r1_zero.search.tree import ROOT

OPEN = (Step("a\n"), Step("b\n"), Step("c\n"), Step("d\n"))
WRONG = GivenSolution((*OPEN, Step("So 7.\n", answer="7")))
RIGHT = GivenSolution((*OPEN, Step("So 6.\n", answer="6")))
UNENDED = GivenSolution(OPEN)
CUT = GivenSolution((*OPEN[:3], Step("So \\boxed{6} is", answer="6")), is_truncated=True)
ANSWERS = {"y": "6", "n": "7", "-": None}


class Policy:
    """Draws after k steps what the k-th text has: y right, n wrong, - no answer, . never came."""

    def __init__(self, *texts):
        self.texts = texts
        self.asked = []

    async def __call__(self, steps):
        assert list(steps) == list(OPEN[: len(steps)])
        self.asked.append(len(steps))
        text = self.texts[len(steps) - 1]
        completions = [
            None
            if letter == "."
            else Completion((Step("then\n"), Step("so\n", answer=ANSWERS[letter])), 5)
            for letter in text
        ]
        is_right = tuple(letter == "y" for letter in text)
        return Draws(is_right, 5 * len(text), completions=tuple(completions))


def explore(given, policy, scan, is_right=False):
    drawn = asyncio.run(ask_about_steps(given, policy, scan, is_right=is_right))
    tree, last = explored_tree(given, drawn, is_right=is_right)
    tree.record["search"] = {"given": tree.tag(last)}
    return tree


def first_pit(tree):
    """The step of the first pit, from 1; None: there is none."""
    place = place_of_pit(tree)
    return None if place is None else place + 1


def labels(tree):
    """Right ones of how many, for each step of the chain; None where nothing was drawn."""
    chain = [tree.nodes[number] for number in given_chain(tree)]
    return [
        (node.labels["num_right"], node.labels["num_completions"]) if node.labels else None
        for node in chain
    ]


@pytest.mark.parametrize("scan", ["hard", "soft"])
@pytest.mark.parametrize(("given", "is_right"), [(WRONG, False), (RIGHT, True)])
def test_all_steps_are_asked_about_but_a_final_one(given, is_right, scan):
    policy = Policy("yynn", "ynnn", "nnnn", "-n.n")
    tree = explore(given, policy, scan, is_right)
    assert sorted(policy.asked) == [1, 2, 3, 4]
    assert labels(tree) == [(2, 4), (1, 4), (0, 4), (0, 4), None]
    assert first_pit(tree) == 3
    last = tree.nodes[given_chain(tree)[-1]]
    assert (last.reward, last.terminal) == ((1, "answer") if is_right else (-1, "answer"))


@pytest.mark.parametrize(
    ("texts", "asked", "pit"),
    [
        ("nnnn yyyy yyyy yyyy", [1], 1),
        ("ynnn nnny nnnn yyyy", [1, 2, 3], 3),
        ("ynnn nnny ynnn yyyy", [1, 2, 3, 4], 5),
    ],
)
def test_a_linear_scan_ends_at_the_first_pit(texts, asked, pit):
    policy = Policy(*texts.split())
    tree = explore(WRONG, policy, "linear")
    assert policy.asked == asked and first_pit(tree) == pit
    assert [found is not None for found in labels(tree)] == [k in asked for k in range(1, 6)]


@pytest.mark.parametrize(
    ("texts", "asked", "pit"),
    [
        # Of four steps that something may follow, the second is in the middle.
        ("nnnn nnnn nnnn nnnn", [2, 1], 1),
        ("ynnn ynnn nnnn nnnn", [2, 3], 3),
        ("ynnn ynnn ynnn nnnn", [2, 3, 4], 4),
        ("ynnn ynnn ynnn ynnn", [2, 3, 4], 5),
    ],
)
def test_a_binary_scan_halves_what_is_left(texts, asked, pit):
    policy = Policy(*texts.split())
    tree = explore(WRONG, policy, "binary")
    assert policy.asked == asked and first_pit(tree) == pit


@pytest.mark.parametrize("scan", ["linear", "binary"])
def test_a_right_solution_is_not_scanned(scan):
    policy = Policy(*["nnnn"] * 4)
    tree = explore(RIGHT, policy, scan, is_right=True)
    assert policy.asked == [] and labels(tree) == [None] * 5 and first_pit(tree) is None
    assert [node.reward for node in tree.nodes] == [None] * 5 + [1]


def test_a_solution_without_an_answer_is_asked_about_to_its_end():
    policy = Policy("yyyy", "yyyy", "yyyy", "yyyn")
    tree = explore(UNENDED, policy, "linear")
    assert policy.asked == [1, 2, 3, 4] and labels(tree)[-1] == (3, 4)
    assert first_pit(tree) is None
    assert tree.nodes[given_chain(tree)[-1]].reward == -1


def test_a_cut_step_is_not_asked_about_and_its_answer_is_none():
    policy = Policy("yyyy", "yyyy", "nnnn")
    tree = explore(CUT, policy, "soft")
    assert sorted(policy.asked) == [1, 2, 3] and labels(tree) == [(4, 4), (4, 4), (0, 4), None]
    last = tree.nodes[given_chain(tree)[-1]]
    assert (last.answer, last.terminal, last.reward) == (None, "truncated", -1)
    assert tree.text(given_chain(tree)[-1]) == "".join(step.text for step in CUT.steps)


def test_completions_are_branches_behind_the_chain_and_survive_the_file():
    tree = explore(WRONG, Policy("yy-.", "nnnn", "nnnn", "nnnn"), "linear")
    tree = from_record(json.loads(json.dumps(to_record(tree))))
    first, second, *_ = given_chain(tree)
    assert [tree.tag(n) for n in given_chain(tree)] == [f"0{'.0' * k}" for k in range(1, 6)]
    # Two equal ones stay apart; the one that never came counts and is not there.
    assert labels(tree)[:3] == [(2, 4), (0, 4), None]
    branches = tree.nodes[first].children
    assert branches[0] == second and len(branches) == 4
    ends = [tree.nodes[tree.nodes[branch].children[0]] for branch in branches[1:]]
    assert [(end.reward, end.answer, end.terminal) for end in ends] == [
        (1, "6", "answer"),
        (1, "6", "answer"),
        (-1, None, "no answer"),
    ]
    assert all(tree.nodes[branch].reward is None for branch in branches[1:])
    assert all(node.depth == len(tree.path(n)) for n, node in enumerate(tree.nodes))
    assert not tree.nodes[ROOT].labels


def test_nothing_is_labelled_where_nothing_is_known():
    tree, last = explored_tree(WRONG, {}, is_right=None)
    assert all(not node.labels and node.reward is None for node in tree.nodes)
    assert tree.nodes[last].terminal == "answer"
