"""What a checkpoint records, and what happens after which step."""

import pytest

from understand_r1_zero.args import Args, CheckpointArgs, EvaluationArgs, OptimArgs
from understand_r1_zero.collect import Position
from understand_r1_zero.progress import Progress, Schedule


def test_progress_survives_a_checkpoint(tmp_path):
    position = Position(next=100, asked=[93, 97])
    progress = Progress("digest", step=12, version=6, position=position)
    progress.write(tmp_path)
    assert Progress.resume(tmp_path, "digest") == progress


def test_a_place_among_other_problems_is_refused(tmp_path):
    Progress("digest").write(tmp_path)
    with pytest.raises(ValueError, match=r"--resume.*--prompt_data.*--eval_data"):
        Progress.resume(tmp_path, "another digest")


def test_a_directory_that_is_no_checkpoint_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"--resume.*progress\.json"):
        Progress.resume(tmp_path, "digest")


@pytest.mark.parametrize(
    ("eval_steps", "expected"), [(4, [0, 4, 8, 10]), (5, [0, 5, 10]), (-1, [])]
)
def test_benchmarks_are_evaluated_before_the_first_every_so_often_and_after_the_last(
    eval_steps, expected
):
    schedule = Schedule(Args(evaluation=EvaluationArgs(eval_steps=eval_steps)), 10)
    assert [step for step in range(11) if schedule.evaluates_at(step)] == expected


@pytest.mark.parametrize(
    ("save_steps", "save_from", "expected"),
    [(-1, 0, [10]), (3, 0, [3, 6, 9, 10]), (3, 5, [6, 9, 10])],
)
def test_checkpoints_are_periodic_from_a_step_on_and_the_last_is_always_taken(
    save_steps, save_from, expected
):
    args = Args(checkpoint=CheckpointArgs(save_steps=save_steps, save_from=save_from))
    schedule = Schedule(args, 10)
    assert [step for step in range(1, 11) if schedule.saves_at(step)] == expected


def test_weights_are_published_every_so_often_and_before_the_last_evaluation():
    schedule = Schedule(Args(optim=OptimArgs(sync_params_every=4)), 10)
    assert [step for step in range(1, 11) if schedule.publishes_at(step)] == [4, 8, 10]
