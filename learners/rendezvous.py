"""How the ranks of a learner find each other."""

import os
import socket
from datetime import timedelta

import torch.distributed
from torch.distributed import TCPStore

COLLECTIVE_TIMEOUT = timedelta(minutes=60)
"""Ranks may wait for each other this long: one may hold a much longer share, or write a checkpoint."""
START_TIMEOUT = timedelta(minutes=10)
"""Ranks start within this of one another."""


def serve(host: str) -> TCPStore:
    """Listen on a free port of `host`, which `.port` tells.

    The socket stays bound from here on, so that nobody can take the port in between.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.bind((host, 0))
    listener.listen()
    return TCPStore(
        host,
        listener.getsockname()[1],
        is_master=True,
        wait_for_workers=False,
        timeout=START_TIMEOUT,
        master_listen_fd=listener.detach(),
    )


def join(store: TCPStore, rank: int, world_size: int, device: str) -> None:
    """Form the default process group: gloo on the CPU, NCCL on GPUs."""
    if store.host in ("127.0.0.1", "localhost", "::1"):
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.distributed.init_process_group(
        "nccl" if device == "cuda" else "gloo",
        store=store,
        rank=rank,
        world_size=world_size,
        timeout=COLLECTIVE_TIMEOUT,
    )


def connect(host: str, port: int) -> TCPStore:
    """Reach the store that rank 0 serves."""
    return TCPStore(host, port, is_master=False, wait_for_workers=False, timeout=START_TIMEOUT)
