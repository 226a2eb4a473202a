"""What an actor is told of its GPUs."""

import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from actors.start import NCCL_SENDER, start_actors
from understand_r1_zero.args import Args, ClusterArgs
from understand_r1_zero.plan import plan


class Cluster:
    """Remembers the placements; as Ray, it knows which GPUs a bundle has, until somebody is there."""

    def __init__(self):
        self.placements = []

    def visible_gpus(self, bundle):
        assert not self.placements, "the bundle is taken"
        return f"GPUs of bundle {bundle}"

    def spawn(self, name, path, placement, kwargs, log_path, *, is_concurrent):
        self.placements.append(placement)
        return SimpleNamespace(submit=lambda *asked: None)


def start(cluster_args):
    args, cluster = Args(cluster=cluster_args), Cluster()
    fleet = start_actors(
        cluster,  # pyright: ignore[reportArgumentType]
        plan(args, 2),
        args,
        Path("logs"),
        warn=print,
        should_stop=threading.Event(),
    )
    return cluster, fleet


def test_a_tensor_parallel_actor_beside_learners_gets_the_gpus_of_its_bundle():
    cluster, fleet = start(ClusterArgs(gpus=4, num_gpus_per_actor=2, collocate=True))
    expected = [{"CUDA_VISIBLE_DEVICES": f"GPUs of bundle {bundle}"} for bundle in (0, 1)]
    assert [placement.env for placement in cluster.placements] == expected
    assert [placement.gpus for placement in cluster.placements] == [0.0, 0.0]
    fleet._spawn(1)
    assert cluster.placements[-1] == cluster.placements[1]


@pytest.mark.parametrize(
    "flags",
    [{}, {"gpus": 4}, {"gpus": 2, "collocate": True}, {"gpus": 4, "num_gpus_per_actor": 2}],
)
def test_elsewhere_ray_tells_it(flags):
    cluster, _ = start(ClusterArgs(**flags))
    assert [placement.env for placement in cluster.placements] == [{}] * len(cluster.placements)
    assert all(placement.gpus or not flags for placement in cluster.placements)


def test_the_sender_is_where_learners_are_told():
    module, _, name = NCCL_SENDER.partition(":")
    source = Path(*module.split(".")).with_suffix(".py").read_text()
    assert f"class {name}:" in source
