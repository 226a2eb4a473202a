"""The actor's half of a publication from GPU to GPU, through vLLM's weight-transfer API.

The learner's half is in learners/outlet.py, the order of both in learners/publishers.py. No vLLM here:
what differs between its versions comes in a `TransferApi`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from understand_r1_zero.weights import merge_shown


@dataclass(frozen=True, slots=True)
class TransferApi:
    """Of the installed vLLM: its request classes, and whether NCCL's `packed` belongs to the first.

    vLLM 0.23 takes `packed` with every update, later versions once, when the two sides connect.
    """

    init_request: Callable[..., Any]
    update_request: Callable[..., Any]
    is_packed_at_init: bool


class WeightTransfer:
    """Weights into the engine, in the order `begin`, any number of updates, `end`.

    Args:
        llm: the `AsyncLLM`, paused meanwhile.
        api: of the installed vLLM.
    """

    def __init__(self, llm: Any, api: TransferApi) -> None:
        self._llm = llm
        self._api = api
        self.is_asleep = False

    async def connect_nccl(self, host: str, port: int, rank_offset: int, world_size: int) -> None:
        """Join the learner's NCCL group as the ranks from `rank_offset`; waits for all the others.

        A group joined before is left.
        """
        await self._llm.collective_rpc("leave_group")
        packed = {"packed": True} if self._api.is_packed_at_init else {}
        info = {
            "master_address": host,
            "master_port": port,
            "rank_offset": rank_offset,
            "world_size": world_size,
            **packed,
        }
        await self._llm.init_weight_transfer_engine(self._api.init_request(init_info=info))

    async def sleep(self) -> None:
        """Move the weights to host memory and give the keys' and values' memory back."""
        if not self.is_asleep:
            await self._llm.sleep(level=1, mode="wait")
            self.is_asleep = True

    async def wake_up(self) -> None:
        """Take the memory back, with the weights as they were."""
        if self.is_asleep:
            await self._llm.wake_up(tags=["weights"])
            await self._wake_cache()

    async def begin(self) -> None:
        """Make room for new weights and record what comes."""
        if self.is_asleep:
            await self._llm.wake_up(tags=["weights"])
        await self._llm.collective_rpc("begin_receiving")
        await self._llm.start_weight_update()

    async def receive_nccl(self, tensors: Mapping[str, Sequence[Any]]) -> None:
        """Take the tensors that the learner is sending; `tensors` are `weights.describe`'s."""
        packed = {} if self._api.is_packed_at_init else {"packed": True}
        await self._update({**tensors, **packed})

    async def receive_ipc(self, shown: Sequence[bytes]) -> None:
        """Copy the tensors that learners show on this engine's GPUs, each in one `shown`."""
        await self._update(merge_shown(shown))

    async def end(self) -> list[str]:
        """Put the new weights to use; returns the checksum of what each worker was fed."""
        await self._llm.finish_weight_update()
        checksums = await self._llm.collective_rpc("end_receiving")
        if self.is_asleep:
            await self._wake_cache()
        return checksums

    async def _wake_cache(self) -> None:
        await self._llm.wake_up(tags=["kv_cache"])
        self.is_asleep = False

    async def _update(self, info: Mapping[str, Any]) -> None:
        await self._llm.update_weights(self._api.update_request(update_info=dict(info)))
