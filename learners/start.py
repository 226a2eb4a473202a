"""Starting the training ranks where the plan puts them."""

from pathlib import Path

from learners.group import LearnerGroup
from understand_r1_zero.args import Args
from understand_r1_zero.launch import Cluster, Placement
from understand_r1_zero.plan import Plan


def start_learners(cluster: Cluster, plan: Plan, args: Args, logs: Path) -> LearnerGroup:
    """Start every rank; `wait_until_ready` waits for their models.

    Each rank's output goes to `logs/<name>.log`.
    """
    ranks = []
    for rank, process in enumerate(plan.learners):
        num_threads = len(process.cores)
        env = {}
        if num_threads:
            # Threads that wait by turning would take the cores from whatever else runs there.
            env = {"OMP_NUM_THREADS": str(num_threads), "OMP_WAIT_POLICY": "passive"}
        ranks.append(
            cluster.spawn(
                process.name,
                "learners.rank:LearnerRank",
                Placement(process.bundle, process.gpu_share, env),
                {
                    "args": args,
                    "rank": rank,
                    "world_size": len(plan.learners),
                    "num_optimizer_steps": plan.num_optimizer_steps,
                    "device": "cuda" if process.gpus else "cpu",
                    "num_threads": num_threads,
                    "dump_directory": str(logs),
                },
                logs / f"{process.name}.log",
            )
        )
    return LearnerGroup(cluster, ranks)
