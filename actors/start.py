"""Starting the sampling processes where the plan puts them."""

import threading
from collections.abc import Callable
from pathlib import Path

from understand_r1_zero.args import Args
from understand_r1_zero.fleet import Fleet
from understand_r1_zero.launch import Cluster, Placement, RemoteProcess
from understand_r1_zero.plan import Plan, ProcessPlan

NCCL_SENDER = "actors.nccl:NcclSender"
"""What opens the learners' end of an NCCL group with actors, as learners are told."""


def start_actors(
    cluster: Cluster,
    plan: Plan,
    args: Args,
    logs: Path,
    *,
    warn: Callable[[str], None],
    should_stop: threading.Event,
    rewards_steps: bool = False,
) -> Fleet:
    """Start every actor; `wait_until_ready` waits for their models.

    With `rewards_steps` they start the oracle of steps that `--oracle` names. Each actor's output goes to `logs/<name>.log`, a replacement's behind its predecessor's;
    `warn` is told of each death, and `should_stop` ends any wait for groups.
    """

    environments = [environment(cluster, process) for process in plan.actors]

    def spawn(index: int) -> RemoteProcess:
        process = plan.actors[index]
        return cluster.spawn(
            process.name,
            "actors.sampling:SamplingActor",
            Placement(process.bundle, process.gpu_share, environments[index]),
            {
                "args": args,
                "actor_index": index,
                "cores": process.cores,
                "rewards_steps": rewards_steps,
            },
            logs / f"{process.name}.log",
            is_concurrent=True,
        )

    return Fleet(
        spawn,
        len(plan.actors),
        can_sleep=args.cluster.vllm_sleep,
        max_restarts=args.cluster.max_actor_restarts,
        warn=warn,
        should_stop=should_stop,
    )


def environment(cluster: Cluster, process: ProcessPlan) -> dict[str, str]:
    """What Ray tells a process of its GPUs, for one whose GPUs its bundle's learners reserve.

    Which ones they are Ray alone knows: the plan counts the run's GPUs, not those of a node.
    """
    if process.gpus and not process.gpu_share:
        return {"CUDA_VISIBLE_DEVICES": cluster.visible_gpus(process.bundle)}
    return {}
