"""What a run does when something ends under it: real processes, really killed."""

import json
import os
import signal

import pytest

pytestmark = [pytest.mark.engine, pytest.mark.slow]


def last_line(run):
    return run.text().strip().splitlines()[-1]


def test_a_run_outlives_the_death_of_each_of_its_processes_and_of_all_at_once(start_run):
    run = start_run("--max_steps", 400, "--save_steps", 2)
    run.wait_for_step(2)
    os.kill(run.pid_of("actor-0"), signal.SIGKILL)
    run.wait_for_step(5)
    assert "actor-0 died" in run.text()

    # Ctrl-C saves what was done.
    os.kill(run.process.pid, signal.SIGINT)
    assert run.wait() == 130, run.text()
    done = run.rows()[-1]["step"]
    assert (run.path / "checkpoints" / f"step_{done}").is_dir()

    # Without a learner there is no going on; the last line says so, and how to.
    run = start_run("--resume", run.path)
    run.wait_for_step(done + 3)
    os.kill(run.pid_of("learner-0"), signal.SIGKILL)
    assert run.wait() == 1
    assert last_line(run).startswith("error: learner-0 died")
    assert f"--resume {run.path}" in run.text()

    # Nobody can save anything.
    run = start_run("--resume", run.path)
    done = run.wait_for_step(run.rows()[-1]["step"] + 3)
    saved = max(int(path.name[5:]) for path in (run.path / "checkpoints").glob("step_*"))
    os.killpg(run.process.pid, signal.SIGKILL)
    run.wait()

    run = start_run("--resume", run.path, "--max_steps", done + 4)
    assert run.wait() == 0, run.text()
    assert f"resumed after step {saved}" in run.text()
    rows = run.rows()[1:]
    assert [row["step"] for row in rows] == list(range(1, done + 5))
    assert all(row["actor/num_data"] == 16 * 4 for row in rows)
    assert max(row["train/logprob_gap_mean"] for row in rows) < 1e-4


def test_a_run_that_learns_from_a_file_stops_at_ctrl_c_and_goes_on(start_run, tmp_path):
    rows = [{"query": f"{i} + 1?", "response": str(i + 1)} for i in range(64)]
    data = tmp_path / "sums.jsonl"
    data.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    flags = ("--algo", "sft", "--sft_data", data, "--num_prompt_epoch", 1000)
    run = start_run(*flags)
    run.wait_for_step(2)
    os.kill(run.process.pid, signal.SIGINT)
    assert run.wait() == 130, run.text()
    done = run.rows()[-1]["step"]
    assert (run.path / "checkpoints" / f"step_{done}").is_dir()
    run = start_run("--resume", run.path, "--max_steps", done + 2)
    assert run.wait() == 0, run.text()
    assert run.rows()[-1]["step"] == done + 2


def test_a_model_that_cannot_be_read_is_one_clear_line(start_run, tmp_path):
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_text("{")
    run = start_run("--max_steps", 1, "--pretrain", broken)
    assert run.wait() == 1
    assert last_line(run).startswith("error: ")
    assert str(broken) in last_line(run)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 3 MB, less than one checkpoint."""
    import subprocess

    path = tmp_path / "small"
    path.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "none", path], check=False)
    if mounted.returncode:
        pytest.skip("mounting a file system needs root")
    yield path
    subprocess.run(["umount", "-l", path], check=True)


def test_a_full_disk_is_one_clear_line(start_run, small_disk):
    run = start_run("--max_steps", 3, "--save_steps", 1, "--save_path", small_disk / "run")
    assert run.wait() == 1
    assert last_line(run).startswith("error: cannot write")
    assert "no space left" in last_line(run)
