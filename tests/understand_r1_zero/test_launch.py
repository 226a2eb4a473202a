"""A private Ray on loopback: processes, shared values, errors, deaths, and nothing left behind."""

import os
from pathlib import Path

import numpy as np
import psutil
import pytest

from understand_r1_zero.launch import Cluster, Placement, ProcessDied

pytestmark = [pytest.mark.engine, pytest.mark.slow]


@pytest.fixture(scope="module")
def cluster():
    with Cluster(bundles=[{"CPU": 1.0}, {"CPU": 1.0}, {"CPU": 1.0, "GPU": 2.0}]) as started:
        yield started


def spawn(cluster, bundle=0, log=None, env=None):
    env = {"PYTHONPATH": str(Path(__file__).parent)} | (env or {})
    path = "launch_worker:Worker"
    return cluster.spawn("worker-0", path, Placement(bundle, env=env), {"name": "x"}, log)


def test_methods_run_there_with_their_environment(cluster):
    worker = spawn(cluster, env={"SOME_VARIABLE": "there"})
    assert worker.submit("variable", "SOME_VARIABLE").result() == "there"
    _, pid = worker.identify().result()
    assert pid != os.getpid()


def test_a_part_is_called_by_its_path(cluster):
    assert spawn(cluster).submit("part.add", np.ones(3), 1.0).result() == 4.0


def test_a_process_without_gpus_of_its_own_may_be_told_its_bundles(cluster):
    """Two GPUs in Ray's books are enough: nothing uses them."""
    gpus = cluster.visible_gpus(2)
    assert sorted(gpus.split(",")) == ["0", "1"]
    worker = spawn(cluster, 2, env={"CUDA_VISIBLE_DEVICES": gpus})
    assert worker.submit("variable", "CUDA_VISIBLE_DEVICES").result() == gpus


def test_shared_values_reach_many_processes(cluster):
    workers = [spawn(cluster, bundle) for bundle in range(2)]
    values = cluster.share(np.ones(1_000_000, np.float32))
    sums = [worker.submit("add", values, 1.0).result() for worker in workers]
    assert sums == [1_000_001.0] * 2


def test_a_payload_stays_in_shared_memory_and_passes_to_another_process(cluster):
    producer, consumer = spawn(cluster, 0), spawn(cluster, 1)
    payload, summary = producer.submit_shared("payload")
    assert summary.result() == "a million ones"
    assert consumer.submit("add", payload, 0.0).result() == 1_000_000.0


def test_an_exception_comes_back_as_itself_with_the_remote_traceback(cluster):
    with pytest.raises(ValueError, match="--flag must be positive") as caught:
        spawn(cluster).submit("fail").result()
    assert str(caught.value) == "--flag must be positive, got -1"
    assert "worker-0" in caught.value.__notes__[0]


def test_a_death_names_the_process_and_fails_every_later_call(cluster):
    worker = spawn(cluster)
    for method in ("die", "payload"):
        with pytest.raises(ProcessDied, match="worker-0 died") as caught:
            worker.submit(method).result()
        assert caught.value.process is worker


def test_output_goes_to_the_log(cluster, tmp_path):
    log = tmp_path / "worker-0.log"
    spawn(cluster, log=log).submit("say", "hello from there").result()
    assert "hello from there" in log.read_text()


def test_ray_listens_on_loopback_only(cluster):
    spawn(cluster).identify().result()
    addresses = set()
    for process in psutil.Process().children(recursive=True):
        for connection in process.net_connections(kind="inet"):
            if connection.status == psutil.CONN_LISTEN:
                addresses.add(connection.laddr.ip)
    assert addresses
    assert addresses <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
