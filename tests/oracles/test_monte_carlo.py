"""Estimates from completions that a table gives, one letter each: y right, n wrong, - no answer."""

import asyncio
import itertools
import math

import pytest

from oracles.monte_carlo import FirstErrorOracle, MonteCarloOracle
from understand_r1_zero.search.step import Step
from understand_r1_zero.search.step_oracle import Completion
from understand_r1_zero.types import Status

ANSWERS = {"y": "6", "n": "7", "-": None}


class Policy:
    """Completes a prefix of k steps as the k-th text has it, from left to right; 10 tokens each."""

    def __init__(self, *texts):
        self.texts = texts
        self.drawn = [0] * len(texts)
        self.asked = []

    async def __call__(self, problem, steps, count, seed):
        self.asked.append((len(steps), count, seed))
        place = len(steps) - 1
        start = self.drawn[place]
        self.drawn[place] += count
        letters = self.texts[place][start : start + count]
        assert len(letters) == count
        return [Completion((Step("...", answer=ANSWERS[letter]),), 10) for letter in letters]


def scores(oracle, *asked):
    return asyncio.run(oracle.score(*asked))


def test_the_hard_and_the_soft_estimate_of_fixed_completions(problem, grade, steps):
    texts = ("yynn", "nn-y", "n-nn")
    hard = MonteCarloOracle(Policy(*texts), grade, num_completions=4)
    assert scores(hard, problem, steps).values == (1.0, 1.0, 0.0)
    soft = MonteCarloOracle(Policy(*texts), grade, estimate="soft", num_completions=4)
    found = scores(soft, problem, steps)
    assert (found.values, found.verdict, found.num_tokens) == ((0.5, 0.25, 0.0), None, 120)
    soft = MonteCarloOracle(Policy(*texts), grade, estimate="soft", num_completions=4)
    assert scores(soft, problem, steps, 1).values == (0.25, 0.0)


def test_a_final_step_is_graded_and_not_completed(problem, grade, right, wrong):
    for solution, value in ((right, 1.0), (wrong, 0.0)):
        policy = Policy("yy", "yn", "nn")
        oracle = MonteCarloOracle(policy, grade, estimate="soft", num_completions=2)
        found = scores(oracle, problem, solution)
        assert found.values == (1.0, 0.5, 0.0, value)
        assert found.verdict is not None and found.verdict.answer == solution[-1].answer
        assert {end for end, _, _ in policy.asked} == {1, 2, 3}
        assert scores(oracle, problem, solution, 3).values == (value,)
        assert scores(oracle, problem, solution, 4).values == ()


def test_no_round_is_drawn_after_the_first_right_one(problem, grade, steps):
    policy = Policy("ny------", "nnnnn-ny", "nnnnnnnn")
    oracle = MonteCarloOracle(policy, grade, num_completions=8, round_completions=3)
    found = scores(oracle, problem, steps)
    assert found.values == (1.0, 1.0, 0.0)
    assert policy.drawn == [3, 8, 8]
    assert [count for end, count, _ in policy.asked if end == 3] == [3, 3, 2]
    assert found.num_tokens == 190


@pytest.mark.parametrize("threshold", [0.1, 1 / 3, 0.5, 0.7, 1.0])
def test_what_settles_a_threshold_agrees_with_all_completions(problem, grade, threshold):
    patterns = ["".join(letters) for letters in itertools.product("yn", repeat=6)]
    steps = [Step(f"{number}\n") for number in range(len(patterns))]

    def ask(**options):
        policy = Policy(*patterns)
        oracle = MonteCarloOracle(policy, grade, estimate="soft", num_completions=6, **options)
        return scores(oracle, problem, steps).values, policy.drawn

    full, drawn_full = ask()
    assert list(full) == [pattern.count("y") / 6 for pattern in patterns]
    assert drawn_full == [6] * len(patterns)
    early, drawn = ask(round_completions=1, threshold=threshold)
    assert [value >= threshold for value in early] == [value >= threshold for value in full]
    assert max(drawn) <= 6 and sum(drawn) < 6 * len(patterns)
    shares = [pattern[:n].count("y") / n for pattern, n in zip(patterns, drawn, strict=True)]
    assert list(early) == shares
    for pattern, n in zip(patterns, drawn, strict=True):
        # One draw less would have left both outcomes open.
        before = pattern[: n - 1].count("y")
        assert before / 6 < threshold <= (before + 6 - n + 1) / 6


def test_the_steps_are_asked_for_at_once(problem, grade, steps):
    barrier = asyncio.Barrier(len(steps))

    async def complete(problem, steps, count, seed):
        async with asyncio.timeout(10):
            await barrier.wait()
        return [Completion((Step("6", answer="6"),), 1)] * count

    async def ask():
        return await MonteCarloOracle(complete, grade).score(problem, steps)

    assert asyncio.run(ask()).values == (1.0, 1.0, 1.0)


def test_rounds_have_seeds_of_their_own_that_the_call_alone_decides(problem, grade, steps):
    def seeds(steps, first, seed):
        policy = Policy("nnnn", "nnnn", "nnnn")
        oracle = MonteCarloOracle(policy, grade, num_completions=4, round_completions=2)
        scores(oracle, problem, steps, first, seed)
        return sorted(policy.asked)

    asked = seeds(steps, 0, 5)
    assert asked == seeds(steps, 0, 5)
    assert len({seed for _, _, seed in asked}) == 6
    assert seeds(steps, 2, 5) == [each for each in asked if each[0] == 3]
    assert not {seed for _, _, seed in asked} & {seed for _, _, seed in seeds(steps, 0, 6)}


def first_error(policy, grade, problem, solution, first=0, **options):
    oracle = FirstErrorOracle(policy, grade, num_completions=4, round_completions=1, **options)
    return scores(oracle, problem, solution, first)


def reachable(*letters):
    return Policy(*(("nny-" if letter == "y" else "n-nn") for letter in letters))


@pytest.mark.parametrize("num_good", range(9))
def test_both_scans_find_the_first_error_where_it_stays(problem, grade, num_good):
    solution = [Step(f"{number}\n") for number in range(8)]
    values = (1.0,) * num_good + (0.0,) * (8 - num_good)
    questions = {}
    for scan in ("linear", "binary"):
        policy = reachable(*("y" * num_good + "n" * (8 - num_good)))
        found = first_error(policy, grade, problem, solution, scan=scan)
        assert found.values == values
        assert found.num_tokens == 10 * sum(policy.drawn)
        questions[scan] = sum(drawn > 0 for drawn in policy.drawn)
    assert questions["linear"] == min(num_good + 1, 8)
    assert questions["binary"] <= 1 + math.log2(8)


def test_the_scans_differ_where_the_answer_comes_back_into_reach(problem, grade):
    solution = [Step(f"{number}\n") for number in range(5)]
    linear = first_error(reachable(*"ynyyn"), grade, problem, solution, scan="linear")
    assert linear.values == (1.0, 0.0, 0.0, 0.0, 0.0)
    binary = first_error(reachable(*"ynyyn"), grade, problem, solution, scan="binary")
    assert binary.values == (1.0, 1.0, 1.0, 1.0, 0.0)
    late = first_error(reachable(*"ynyyn"), grade, problem, solution, 2, scan="linear")
    assert late.values == (1.0, 1.0, 0.0)


@pytest.mark.parametrize("scan", ["linear", "binary"])
def test_a_solution_that_ends_right_has_no_error(problem, grade, right, wrong, scan):
    policy = reachable(*"nnn")
    found = first_error(policy, grade, problem, right, scan=scan)
    assert (found.values, found.num_tokens) == ((1.0,) * 4, 0)
    policy = reachable(*"yyy")
    found = first_error(policy, grade, problem, wrong, scan=scan)
    assert found.values == (1.0, 1.0, 1.0, 0.0)
    assert found.verdict is not None and found.verdict.status is Status.INCORRECT
    assert first_error(policy, grade, problem, wrong, 4, scan=scan).values == ()


ORACLES = {
    "hard": lambda *parts: MonteCarloOracle(*parts, round_completions=2),
    "soft": lambda *parts: MonteCarloOracle(*parts, estimate="soft"),
    "linear": lambda *parts: FirstErrorOracle(*parts, scan="linear"),
    "binary": lambda *parts: FirstErrorOracle(*parts, scan="binary"),
}


@pytest.mark.parametrize("name", ORACLES)
def test_nothing_is_known_without_a_readable_gold(unreadable, grade, steps, right, name):
    policy = Policy(*["n" * 8] * 3)
    found = scores(ORACLES[name](policy, grade), unreadable, right)
    assert (found.values, found.num_tokens) == ((0.5,) * 4, 0)
    assert found.verdict is not None and found.verdict.status is Status.UNKNOWN
    assert policy.asked == []
    found = scores(ORACLES[name](policy, grade), unreadable, steps)
    assert (found.values, found.num_tokens) == ((0.5,) * 3, 10 * sum(policy.drawn))
    assert found.verdict is not None and found.verdict.reason == "the gold answer is empty"
    # It shows in the first round, and a scan then asks no further step.
    rounds = {"hard": (2, 2, 2), "soft": (8, 8, 8), "linear": (4, 0, 0), "binary": (0, 4, 0)}
    assert tuple(policy.drawn) == rounds[name]


def test_bad_settings_are_refused(grade):
    for options, message in (
        ({"num_completions": 0}, "completions of a step must be at least 1, got 0"),
        ({"round_completions": 0}, "completions of a round must be at least 1, got 0"),
        ({"threshold": 0.5}, r"in \(0, 1\] and of a soft estimate, got 0.5 of a hard one"),
        ({"threshold": 0.0, "estimate": "soft"}, "got 0.0 of a soft one; leave it out"),
        ({"threshold": 1.1, "estimate": "soft"}, r"must be in \(0, 1\]"),
    ):
        with pytest.raises(ValueError, match=message):
            MonteCarloOracle(Policy(), grade, **options)


def test_a_completion_that_never_comes_is_wrong_and_is_not_waited_for(problem, grade, steps):
    async def full(problem, steps, count, seed):
        return []

    oracle = MonteCarloOracle(full, grade, estimate="soft", num_completions=4)
    assert scores(oracle, problem, steps).values == (0.0, 0.0, 0.0)
