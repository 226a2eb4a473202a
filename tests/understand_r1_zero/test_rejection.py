"""What rejection sampling keeps, from groups and from graded completions, and that SFT reads it."""

from dataclasses import replace

import numpy as np
import pytest

from understand_r1_zero.args import Args
from understand_r1_zero.args_supervised import SupervisedArgs
from understand_r1_zero.completions import Completions
from understand_r1_zero.grading.pool import Grade
from understand_r1_zero.rejection import (
    Attempts,
    attempts_of_completions,
    attempts_of_groups,
    select,
    write_rows,
)
from understand_r1_zero.supervised import load_examples
from understand_r1_zero.types import Group, Problem, Response, Status, Verdict
from understand_r1_zero.verdicts import GradedRow


def kept(responses, mode="text", limit=0):
    flags = SupervisedArgs(rft_deduplicate=mode, rft_max_per_problem=limit)
    rows, _ = select([Attempts("q", tuple(responses), len(responses))], flags)
    assert {row["query"] for row in rows} <= {"q"}
    return [row["response"] for row in rows]


def test_the_same_words_are_kept_once():
    assert kept(["So  3\n4", "so 3 4", "So 34"]) == ["So  3\n4", "So 34"]


def test_the_same_equations_are_kept_once_and_must_hold():
    responses = ["1+2=3 so 3", "First 1 + 2 = 3.", "2+1=3", "1+2=3, 3+1=5", "It is 3", "it is 3"]
    assert kept(responses, "equations") == ["1+2=3 so 3", "2+1=3", "It is 3"]


def test_their_order_counts():
    assert len(kept(["1+2=3, 3+4=7", "3+4=7, 1+2=3"], "equations")) == 2


def test_repeated_responses_stay_where_asked():
    assert kept(["a", "a"], "none") == ["a", "a"]


@pytest.mark.parametrize("mode", ["text", "equations", "none"])
def test_at_most_k_a_problem_the_first_ones(mode):
    responses = [f"{n}+0={n}" for n in range(9)]
    assert kept(responses, mode, limit=4) == responses[:4]
    assert kept(responses, mode) == responses


def test_attempts_at_one_problem_count_together_in_the_order_they_appear():
    attempts = [
        Attempts("b", ("1", "2"), 4),
        Attempts("a", ("1",), 4),
        Attempts("b", ("2", "3", "4"), 4),
        Attempts("c", (), 4),
    ]
    rows, counts = select(attempts, SupervisedArgs(rft_max_per_problem=3))
    pairs = [(row["query"], row["response"]) for row in rows]
    assert pairs == [("b", "1"), ("b", "2"), ("b", "3"), ("a", "1")]
    assert counts.num_problems == 3
    assert counts.num_unsolved == 1
    assert counts.num_responses == 16
    assert counts.num_correct == 6
    assert counts.num_kept == 4


def group(index, statuses):
    responses = tuple(
        Response(f"{status} {place}", np.zeros(1), np.zeros(1), False, (), Verdict(1.0, status))
        for place, status in enumerate(statuses)
    )
    problem = Problem("source", index, f"problem {index}", ("1",))
    return Group(index, problem, "prompt", np.zeros(1), responses, 0.0, 0.0)


def test_only_correct_responses_of_groups_count_whatever_order_these_finish_in():
    groups = [group(7, list(Status)), group(3, [Status.CORRECT] * 2)]
    first, second = attempts_of_groups(groups)
    assert (first.problem_text, first.correct) == ("problem 3", ("correct 0", "correct 1"))
    assert (second.problem_text, second.correct) == ("problem 7", ("correct 0",))
    assert second.num_responses == len(Status)


def test_graded_completions_are_attempts_too():
    statuses = [Status.INCORRECT, Status.CORRECT]
    row = Completions(row=5, golds=("2",), responses=("1", "2"))
    graded = GradedRow(row, ["1", "2"], [Grade(status, "") for status in statuses], [0, 1])
    assert list(attempts_of_completions([graded], {5: "1+1"})) == [Attempts("1+1", ("2",), 2)]


def test_what_is_written_is_what_sft_reads(tmp_path):
    rows, _ = select([Attempts("1+1", ("2", "two ∎"), 2)], SupervisedArgs())
    write_rows(tmp_path / "rft.jsonl", rows)
    assert [path.name for path in tmp_path.iterdir()] == ["rft.jsonl"]
    supervised = SupervisedArgs(sft_data=str(tmp_path / "rft.jsonl"))
    assert len(load_examples(replace(Args(), supervised=supervised)).examples) == 2
