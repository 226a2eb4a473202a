"""The command line, end to end on real engines: it learns, it resumes, it repeats."""

import contextlib
import json
import socket
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

pytestmark = [pytest.mark.engine, pytest.mark.slow]

MODEL = "examples/tiny/model"
TIMED = ("time/", "elapse", "_time", "per_s", "vram")


def reproducible(row):
    """A row of metrics without what depends on the clock."""
    return {key: value for key, value in row.items() if not any(part in key for part in TIMED)}


def test_training_learns_moves_every_parameter_and_is_evaluated_alike_offline(
    start_run, repository, tmp_path
):
    run = start_run(
        *"--max_steps 12 --rollout_batch_size 48 --num_samples 8 --eval_steps 12 --max_eval 60".split(),
        *"--use-wb --wb_project test".split(),
        small=False,
    )
    assert run.wait() == 0, run.text()
    rows = run.rows()
    assert [row["step"] for row in rows] == list(range(13))
    rewards = [row["actor/rewards"] for row in rows[1:]]
    assert sum(rewards[-3:]) / 3 > sum(rewards[:3]) / 3 + 0.1, rewards
    assert max(row["train/logprob_gap_mean"] for row in rows[1:]) < 1e-4
    assert rows[1]["train/pg_clipfrac"] == 0
    assert "warning: wandb records offline: no login" in run.text()

    for name in (
        "config.toml",
        "logs/actor-0.log",
        "logs/learner-0.log",
        "plots/reward.png",
        "wandb",
    ):
        assert (run.path / name).exists(), name
    assert len(list((run.path / "samples").iterdir())) == 12
    assert len(list((run.path / "eval_results").iterdir())) == 2 * 2
    sample = json.loads((run.path / "samples" / "step_000001.jsonl").read_text().split("\n")[0])
    assert sample["responses"][0]["version"] == 0
    assert len(sample["responses"]) == 8

    checkpoint = run.path / "checkpoints" / "step_12"
    before = load_file(repository / MODEL / "model.safetensors")
    after = load_file(checkpoint / "model.safetensors")
    still = [
        name for name, value in before.items() if torch.equal(value.float(), after[name].float())
    ]
    assert not still

    command = [sys.executable, "-m", "understand_r1_zero", "evaluate"]
    command += ["--config", run.path / "config.toml", "--pretrain", checkpoint]
    command += ["--save_path", tmp_path / "offline"]
    subprocess.run(command, check=True, cwd=repository, timeout=120, capture_output=True)
    for trained in (run.path / "eval_results").glob("12_*.json"):
        offline = tmp_path / "offline" / "eval_results" / trained.name.replace("12_", "0_")
        in_training, alone = (json.loads(path.read_text()) for path in (trained, offline))
        in_training["score"].pop("elapse"), alone["score"].pop("elapse")
        assert alone["score"] == in_training["score"]
        assert [result["responses"][0]["text"] for result in alone["results"]] == [
            result["responses"][0]["text"] for result in in_training["results"]
        ]


def test_a_deterministic_run_repeats_and_resumes_to_the_last_digit(start_run):
    flags = "--deterministic --eval_steps 5 --save_steps 5 --max_steps 10".split()
    # At the same time, so that each is disturbed in its own way.
    straight, again = start_run(*flags, name="straight"), start_run(*flags, name="again")
    for run in (straight, again):
        assert run.process.wait(300) == 0, run.text()
    expected = [reproducible(row) for row in straight.rows()]
    assert len(expected) == 11
    assert [reproducible(row) for row in again.rows()] == expected

    rest = start_run("--resume", again.path / "checkpoints" / "step_5", name="again")
    assert rest.wait() == 0, rest.text()
    assert "resumed after step 5" in rest.text()
    assert [reproducible(row) for row in rest.rows()] == expected


def test_adapters_published_as_such_pass_the_gates_learn_and_resume_to_the_last_digit(start_run):
    flags = "--lora_rank 6 --lora_publish adapters --learning_rate 5e-3 --deterministic".split()
    run = start_run(*flags, *"--max_steps 4 --save_steps 2 --eval_steps 2".split())
    assert run.wait() == 0, run.text()
    rows = run.rows()
    assert max(row["train/logprob_gap_mean"] for row in rows[1:]) < 1e-5
    assert min(row["train/policy_grad_norm"] for row in rows[1:]) > 0
    expected = [reproducible(row) for row in rows]

    rest = start_run("--resume", run.path / "checkpoints" / "step_2")
    assert rest.wait() == 0, rest.text()
    assert [reproducible(row) for row in rest.rows()] == expected


@pytest.fixture
def taken_ports():
    """The ports that Ray, its dashboard and torch.distributed like best are somebody else's."""
    with contextlib.ExitStack() as stack:
        for port in (6379, 8265, 29500):
            taken = stack.enter_context(socket.socket())
            with contextlib.suppress(OSError):  # then somebody else has it indeed
                taken.bind(("127.0.0.1", port))
                taken.listen()
        yield


def test_asynchronous_training_with_two_actors_and_two_learners(start_run, taken_ports):
    run = start_run(
        *"--max_steps 6 --max_staleness 1 --num_actors 2 --num_learners 2 --zero_stage 3".split()
    )
    assert run.wait() == 0, run.text()
    rows = run.rows()[1:]
    assert len(rows) == 6
    assert 0 < max(row["actor/staleness_max"] for row in rows) <= 1
    assert all(row["actor/num_groups"] == 16 for row in rows)
