"""vLLM's weight-transfer API as the installed version has it, and the learner's end of its NCCL group.

Beside the engines the only file that imports vllm: a learner that sends over NCCL loads it
without the engine. Written for vLLM 0.23 to 0.32.
"""

import dataclasses
import operator
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from vllm.distributed.weight_transfer.base import (
    WeightTransferInitRequest,
    WeightTransferUpdateRequest,
)
from vllm.distributed.weight_transfer.nccl_engine import (
    NCCLWeightTransferEngine,
    NCCLWeightTransferInitInfo,
)
from vllm.distributed.weight_transfer.packed_tensor import packed_nccl_broadcast_producer

from actors.weight_transfer import TransferApi


class NcclSender:
    """The learner's end of the group that `WeightTransfer.connect_nccl` joins: its rank 0.

    Whoever starts the learner names it this class, since learners know nothing of actors.
    """

    def __init__(self, host: str, port: int, world_size: int) -> None:
        info = {"master_address": host, "master_port": port, "world_size": world_size}
        self._group: Any = _open_trainer_end(info)

    def send(self, tensors: Iterable[tuple[str, Tensor]]) -> None:
        """Send the tensors, in the order described to the receivers; waits until they have left.

        Each must keep its values until then, not only until the next is asked for.
        """
        # The producer works on streams of its own, which do not wait for the optimizer's kernels
        # and, in vLLM 0.23, are still at work when it returns.
        torch.cuda.synchronize()
        packed_nccl_broadcast_producer(
            iter(tensors), self._group, src=0, post_iter_func=operator.itemgetter(1)
        )
        torch.cuda.synchronize()

    def close(self) -> None:
        """Leave the group, whether or not its other members are still there."""
        self._group.destroy()


def transfer_api() -> TransferApi:
    """The request classes of the installed vLLM."""
    fields = {field.name for field in dataclasses.fields(NCCLWeightTransferInitInfo)}
    return TransferApi(WeightTransferInitRequest, WeightTransferUpdateRequest, "packed" in fields)


def _open_trainer_end(info: dict[str, Any]) -> Any:
    """vLLM 0.23 has it on the engine class; later versions beside it."""
    trainer_init = getattr(NCCLWeightTransferEngine, "trainer_init", None)
    if trainer_init is None:
        from vllm.distributed.weight_transfer.nccl_common import trainer_init
    return trainer_init(info)
