"""The same program on an existing cluster of two nodes that share no files with the driver."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.engine, pytest.mark.slow]


@pytest.fixture
def address(user_environment):
    """Of two nodes of one CPU each, so that actor and learner cannot share one."""
    with subprocess.Popen(
        [sys.executable, Path(__file__).with_name("two_nodes.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=user_environment,
    ) as nodes:
        assert nodes.stdout is not None
        yield next(line.split()[1] for line in nodes.stdout if line.startswith("@"))
        nodes.communicate(timeout=60)


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None,
    reason="hiding files needs root and unshare",
)
def test_training_and_resuming_on_two_nodes_that_do_not_see_the_run_directory(
    address, repository, tmp_path, user_environment
):
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    flags = "--rollout_batch_size 16 --num_samples 4 --eval_steps -1 --save_steps 2"
    train = f"{sys.executable} train_zero_math.py --ray_address {address} {flags}"
    # Only these processes see what is written below `hidden`; the nodes see an empty folder.
    script = f"""set -e
        mount -t tmpfs none {hidden}
        {train} --max_steps 2 --save_path {hidden}/run
        {train} --max_steps 4 --resume {hidden}/run
        cp -r {hidden}/run {tmp_path}/seen
    """
    done = subprocess.run(
        ["unshare", "--mount", "bash", "-c", script],
        cwd=repository,
        env=user_environment,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert not any(hidden.iterdir())
    rows = [json.loads(line) for line in (tmp_path / "seen" / "metrics.jsonl").open()]
    assert [row["step"] for row in rows] == [0, 1, 2, 3, 4]
    assert max(row["train/logprob_gap_mean"] for row in rows[1:]) < 1e-4
    assert (tmp_path / "seen" / "checkpoints" / "step_4" / "model.safetensors").is_file()
