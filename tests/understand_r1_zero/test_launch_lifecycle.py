"""Starting and ending a private Ray; each test its own."""

import time

import psutil
import pytest

from understand_r1_zero.launch import Cluster, Placement

pytestmark = [pytest.mark.engine, pytest.mark.slow]


def test_an_address_where_no_cluster_answers_is_refused():
    with pytest.raises(ValueError, match=r"--ray_address 127\.0\.0\.1:1: no Ray cluster answers"):
        Cluster("127.0.0.1:1", bundles=[{"CPU": 1.0}]).__enter__()


def test_nothing_stays_behind():
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    with Cluster(bundles=[{"CPU": 1.0}]) as started:
        started.spawn("idle", "collections:Counter", Placement(0), {}).identify().result()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        left = {p.pid for p in psutil.Process().children(recursive=True)} - before
        if not left:
            break
        time.sleep(0.1)
    assert not left
