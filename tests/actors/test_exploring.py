"""What is drawn for a given solution: rounds, confirmation, seeds, and what the group says of it."""

import asyncio
import contextlib
from concurrent.futures import Future

import pytest

from actors.exploring import Explorer
from actors.valuing import AnswerGrader
from understand_r1_zero.args_search import StepOracleArgs
from understand_r1_zero.grading.pool import Grade
from understand_r1_zero.labels.explored import first_pit as place_of_pit
from understand_r1_zero.labels.explored import given_chain
from understand_r1_zero.search.explore import GivenSolution
from understand_r1_zero.search.records import from_record
from understand_r1_zero.search.step import Step
from understand_r1_zero.search.step_oracle import Completion
from understand_r1_zero.types import Problem, Sampling, Status

PROBLEM = Problem("sums", 0, "1 + 2 + 3 =", ("6",))
SAMPLING = Sampling(4, 1.0, 1.0, -1, 64, seed=5)
WRONG = GivenSolution((Step("1+2=3\n"), Step("3+3=7\n"), Step("So 7.\n", answer="7")))
ANSWERS = {"y": "6", "n": "7", "-": None}


class Writer:
    """Completes k steps as the k-th text has it, from left to right: y right, n wrong, - no answer."""

    def __init__(self, *texts):
        self.texts = texts
        self.drawn = [0] * len(texts)
        self.asked = []

    async def complete(self, problem, steps, count, seed):
        place = len(steps) - 1
        self.asked.append((len(steps), count, seed))
        start = self.drawn[place]
        self.drawn[place] += count
        letters = self.texts[place][start : start + count]
        return [Completion((Step("...", answer=ANSWERS[letter]),), 10) for letter in letters]

    @contextlib.contextmanager
    def states_of(self, problem):
        yield

    def prompt(self, problem_text):
        return f"{problem_text}\n"

    def encode_prompt(self, prompt):
        return [ord(letter) for letter in prompt]


class Grader:
    """Compares texts; without a gold answer nothing is known."""

    def grade(self, answer, golds):
        status = Status.CORRECT if answer in golds else Status.INCORRECT
        if answer is None:
            status = Status.UNPARSABLE
        if not golds:
            status = Status.UNKNOWN
        future = Future()
        future.set_result(Grade(status))
        return future


def explore(writer, given=WRONG, problem=PROBLEM, index=3, seed=5, warnings=(), **flags):
    explorer = Explorer(writer, AnswerGrader(Grader()), StepOracleArgs(**flags), list(warnings))
    sampling = Sampling(4, 1.0, 1.0, -1, 64, seed=seed)
    group = asyncio.run(explorer.explore(index, problem, sampling, given))
    return group, from_record(group.tree)


def first_pit(tree):
    """The step of the first pit, from 1; None: there is none."""
    place = place_of_pit(tree)
    return None if place is None else place + 1


def labels(tree):
    return [tuple(tree.nodes[number].labels.values()) for number in given_chain(tree)]


def test_a_pit_is_confirmed_by_all_completions_and_a_good_step_by_the_first_right_one():
    writer = Writer("nnnnnny" + "n" * 9, "n" * 16)
    group, tree = explore(writer, mc_mode="linear", mc_round=4, mc_completions=16)
    assert [(end, count) for end, count, _ in writer.asked] == [(1, 4)] * 2 + [(2, 4)] * 4
    assert labels(tree) == [(1, 8), (0, 16), ()] and first_pit(tree) == 2
    facts = tree.record["search"]
    assert (facts["given"], facts["scan"], facts["status"]) == ("0.0.0.0", "linear", "incorrect")
    assert facts["tokens"] == 240
    assert group.responses[0].text == "1+2=3\n3+3=7\nSo 7.\n"
    assert group.responses[0].verdict.status is Status.INCORRECT


def test_four_completions_are_as_published():
    writer = Writer("nnnn", "yyyy")
    _, tree = explore(writer, mc_mode="linear", mc_completions=4)
    assert [(end, count) for end, count, _ in writer.asked] == [(1, 4)]
    assert labels(tree) == [(0, 4), (), ()] and first_pit(tree) == 1


def test_hard_stops_at_a_right_one_and_soft_draws_all():
    texts = ("ny" + "n" * 6, "n" * 8)
    _, hard = explore(Writer(*texts), mc_mode="hard", mc_round=2, mc_completions=8)
    assert labels(hard) == [(1, 2), (0, 8), ()]
    writer = Writer(*texts)
    _, soft = explore(writer, mc_mode="soft", mc_round=2, mc_completions=8)
    assert labels(soft) == [(1, 8), (0, 8), ()]
    assert sorted((end, count) for end, count, _ in writer.asked) == [(1, 8), (2, 8)]


def test_seeds_follow_from_place_and_step():
    def seeds(**where):
        writer = Writer("nnnn", "nnnn")
        explore(writer, mc_mode="soft", mc_completions=4, **where)
        return {(end, seed) for end, _, seed in writer.asked}

    assert seeds() == seeds()
    different = seeds() | seeds(index=4) | seeds(seed=6)
    assert len({seed for _, seed in different}) == 6


def test_a_truncated_solution_is_wrong_and_explored_as_far_as_its_steps_go():
    given = GivenSolution((Step("1+2=3\n"), Step("3+3=6\n"), Step("So 6", answer="6")), True)
    group, tree = explore(Writer("yyyy", "ynnn"), given, mc_completions=4)
    assert tree.record["search"]["status"] == "truncated"
    assert labels(tree) == [(4, 4), (1, 4), ()] and group.responses[0].is_truncated


@pytest.mark.parametrize("mode", ["hard", "soft", "linear", "binary"])
def test_nothing_is_drawn_without_a_readable_gold(mode):
    writer = Writer("nnnn", "nnnn")
    given = GivenSolution(WRONG.steps, is_truncated=mode == "soft")
    group, tree = explore(writer, given, Problem("sums", 1, "?", ()), mc_mode=mode)
    assert writer.asked == [] and labels(tree) == [(), (), ()]
    assert tree.record["search"]["status"] == "unknown"
    assert group.responses[0].verdict.status is Status.UNKNOWN
    assert all(node.reward is None for node in tree.nodes)


def test_warnings_go_with_the_group():
    assert explore(Writer("nnnn"), GivenSolution(WRONG.steps[::2]), warnings=["odd"])[
        0
    ].warnings == ("odd",)
