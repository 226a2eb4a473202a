"""A Ray cluster of two nodes of one CPU each on this machine; prints its address, ends with its input.

A program, because a process that has once imported ray keeps the way it was configured then.
"""

import os
import sys

# Without it Ray refuses a second node whose address is loopback.
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "1"

from ray.cluster_utils import Cluster

if __name__ == "__main__":
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    cluster.add_node(num_cpus=1)
    print("@", cluster.address, flush=True)
    sys.stdin.read()
    cluster.shutdown()
