"""What the benchmark of step rewards reads off runs, by hand."""

import random

import pytest

from bench.step_reward_data import draw_subtractions, hasty_moves, marked
from bench.step_rewards import HASTY, MODEL, PPO, SAMPLES, WINDOW_STEPS, curve_of, tokens_until
from understand_r1_zero.cli import parse_training

RIGHT, WRONG, LATE = (
    "1+2=3\n3+3=6\n\\boxed{6}",
    "1+2=4\n4+3=7\n\\boxed{7}",
    "1+2=3\n3+3=7\n\\boxed{7}",
)


def test_a_step_is_good_if_a_right_solution_begins_so():
    found = {
        "".join(steps): values
        for steps, values in marked([(RIGHT, True), (WRONG, False), (LATE, False)])
    }
    assert found == {RIGHT: [1.0, 1.0, 1.0], WRONG: [0.0, 0.0, 0.0], LATE: [1.0, 0.0, 0.0]}
    assert list(marked([(WRONG, False), (LATE, False)])) == []
    assert len(list(marked([(RIGHT, True)] * 3))) == 1


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


@pytest.mark.parametrize("flags", [HASTY, SAMPLES, MODEL, PPO])
def test_the_flags_are_flags(flags):
    assert parse_training(list(flags)).sampling.num_samples > 0


def test_pupils_in_haste_are_right_in_two_of_five_subtractions():
    rng = random.Random(0)
    drawn = [draw_subtractions(rng, 5) for _ in range(4000)]
    moves = [move for each in drawn for move in hasty_moves(each, rng)]
    right = sum(move.result == move.left + move.right and move.right < 0 for move in moves)
    assert 0.38 < right / len(moves) < 0.42
