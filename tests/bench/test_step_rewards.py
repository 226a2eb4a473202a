"""What the benchmark of step rewards reads off runs, by hand."""

import json
import random

import pytest

from bench.step_reward_data import draw_subtractions, faulty, hasty_moves, marks, write_marked
from bench.step_rewards import HASTY, MODEL, PPO, WINDOW_STEPS, curve_of, tokens_until
from understand_r1_zero.cli import parse_training


def test_steps_are_marked_until_the_first_fault():
    right = ["5-3=2\n", "2-4=-2\n", "\\boxed{-2}\n"]
    assert marks(right, right) == [1.0, 1.0, 1.0]
    assert marks(["5-3=2\n", "2-4=2\n", "\\boxed{2}\n"], right) == [1.0, 0.0, 0.0]
    assert marks([*right, "2-4=-2\n"], right) == [1.0, 1.0, 1.0, 0.0]
    assert marks(["5-3=2\n", "\\boxed{2}\n"], right) == [1.0, 0.0]


def test_half_the_marked_solutions_are_right_and_every_other_has_one_fault(tmp_path):
    path = tmp_path / "marked.jsonl"
    write_marked(path, 200, seed=0)
    marked = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert len(marked) == 400
    for right, wrong in zip(marked[::2], marked[1::2], strict=True):
        assert right["prompt"] == wrong["prompt"] and set(right["values"]) == {1.0}
        assert right["steps"][-1].startswith("\\boxed{") and right["steps"][-1].endswith("}\n")
        assert wrong["values"] == sorted(wrong["values"], reverse=True) and 0.0 in wrong["values"]


def test_a_fault_may_be_anywhere():
    rng = random.Random(0)
    problem = draw_subtractions(rng, 4)
    solutions = [faulty(problem, rng).split("\n") for _ in range(200)]
    assert {len(lines) for lines in solutions} >= {1, 2, 3, 4, 5}


def rows(*accuracies, num_tokens=10.0, oracle_tokens=0.0):
    return [
        {},
        *(
            {
                "actor/correct": accuracy,
                "actor/num_tokens": num_tokens,
                "actor/oracle_tokens": oracle_tokens,
            }
            for accuracy in accuracies
        ),
    ]


def test_tokens_are_counted_until_the_mean_of_the_window_is_there():
    assert WINDOW_STEPS == 5
    rising = rows(*[0.0] * 5, *[1.0] * 5)
    assert tokens_until(rising, 0.5) == (80.0, True)
    assert tokens_until(rows(*[0.0] * 5, *[1.0] * 5, oracle_tokens=2.0), 0.5) == (96.0, True)
    assert tokens_until(rows(*[0.2] * 8), 0.5) == (80.0, False)
    assert curve_of(rising)[:2] == [(10.0, 0.0), (20.0, 0.0)]


@pytest.mark.parametrize("flags", [HASTY, MODEL, PPO])
def test_the_flags_are_flags(flags):
    assert parse_training(list(flags)).sampling.num_samples > 0


def test_pupils_in_haste_are_right_in_one_of_five_subtractions():
    rng = random.Random(0)
    drawn = [draw_subtractions(rng, 5) for _ in range(4000)]
    moves = [move for each in drawn for move in hasty_moves(each, rng)]
    right = sum(move.result == move.left + move.right and move.right < 0 for move in moves)
    assert 0.18 < right / len(moves) < 0.22
