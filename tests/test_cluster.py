"""The same program on an existing cluster of two nodes that share no files with the driver."""

import json
import os
import shutil
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.engine, pytest.mark.slow]


@pytest.fixture
def two_nodes():
    """Two nodes of one CPU each, so that actor and learner cannot share one."""
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "1"
    cluster = cluster_utils.Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    cluster.add_node(num_cpus=1)
    yield cluster
    cluster.shutdown()


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None,
    reason="hiding files needs root and unshare",
)
def test_training_and_resuming_on_two_nodes_that_do_not_see_the_run_directory(
    two_nodes, repository, tmp_path
):
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    flags = "--rollout_batch_size 16 --num_samples 4 --eval_steps -1 --save_steps 2"
    train = f"{sys.executable} train_zero_math.py --ray_address {two_nodes.address} {flags}"
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
