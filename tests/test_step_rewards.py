"""Training by rewards of steps, as a user runs it: it goes on, it is told, and a broken oracle ends it."""

import pytest

pytestmark = [pytest.mark.engine, pytest.mark.slow]

STEPPER = "--pretrain examples/tiny/stepper --critic_type ppo".split()


def test_ppo_earns_at_steps_beside_searches_in_evaluation(start_run):
    flags = (
        "--oracle value=0.7,math=0.3 --value_model examples/tiny/value --step_reward gain "
        "--max_steps 2 --eval_steps 2 --method sbs"
    )
    run = start_run(*STEPPER, *flags.split())
    assert run.wait() == 0, run.text()
    *_, last = run.rows()
    assert last["step"] == 2 and last["eval/average/accuracy"] > 0.5
    assert last["actor/steps_mean"] > 3 and -0.3 < last["actor/step_reward_mean"] < 0.3
    assert last["actor/oracle_skipped"] == last["actor/oracle_skipped_truncated"]
    assert last["actor/oracle_tokens"] == 0


def test_an_oracle_that_never_answers_ends_the_run_with_its_message(start_run):
    # Nobody listens at the port of "discard".
    flags = "--oracle remote --remote_url http://127.0.0.1:9/score --oracle_timeout 1 --max_steps 2"
    run = start_run(*STEPPER, *flags.split())
    assert run.wait() == 1
    assert "--oracle remote failed for each of its first 50 responses" in run.text()
    assert "--oracle_timeout_s 1" in run.text()
