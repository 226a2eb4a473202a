"""Weights on their way from the learner to the actors: as arrays, in a file, and a checksum of them.

NumPy has no bfloat16, so an array of uint16 always means the bits of one.
"""

import base64
import hashlib
import json
import pickle
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import torch
from torch import Tensor

from understand_r1_zero.args import ClusterArgs
from understand_r1_zero.plan import learners_cover_actors

ROW = 2**15
"""Words of a row: so few that they stay in the cache and PyTorch does not call its threads."""
ROWS_AT_ONCE = {"cpu": 1, "cuda": 256}
"""On a GPU a kernel must be worth its launch."""
ROW_MULTIPLIER = 0x5851F42D4C957F2D
_SAFETENSORS_DTYPES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "uint16": "BF16",
    "int64": "I64",
    "int32": "I32",
    "int8": "I8",
    "uint8": "U8",
    "bool": "BOOL",
}


def transfer_backend(cluster: ClusterArgs) -> Literal["ray", "nccl", "ipc"]:
    """How weights reach the actors: `--weight_transfer`, with `auto` decided.

    CUDA IPC needs a learner on every GPU of an actor; collocated runs with fewer go through host memory.
    """
    if cluster.weight_transfer != "auto":
        return cluster.weight_transfer
    if cluster.gpus == 0:
        return "ray"
    if not cluster.collocate:
        return "nccl"
    return "ipc" if learners_cover_actors(cluster) else "ray"


def to_arrays(tensors: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """The tensors as arrays in host memory, which share that of tensors that are there already."""
    arrays = {}
    for name, tensor in tensors.items():
        tensor = tensor.detach().cpu().contiguous()
        is_bfloat16 = tensor.dtype == torch.bfloat16
        arrays[name] = (tensor.view(torch.uint16) if is_bfloat16 else tensor).numpy()
    return arrays


def to_tensor(array: np.ndarray) -> Tensor:
    """The array as a tensor in the same memory, which may be read-only: never write to it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        tensor = torch.from_numpy(array)
    return tensor.view(torch.bfloat16) if array.dtype == np.uint16 else tensor


class Checksum:
    """A checksum of named tensors, whatever their order and the device each is on.

    A tensor's bytes, read as 32-bit words a_i, become sum_i a_i w_i mod 2^64 with fixed pseudo-random
    w_i (multilinear hashing, Carter and Wegman 1981), in rows of `ROW` words combined by Horner's
    rule; that with name, dtype and shape a BLAKE2b digest; and the digests their sum mod 2^128.
    It finds mistakes, not forgeries.
    """

    def __init__(self) -> None:
        self._sum = 0

    def add(self, name: str, tensor: Tensor) -> None:
        """Take in one tensor."""
        facts = (name, str(tensor.dtype), tuple(tensor.shape), _hash_words(tensor))
        digest = hashlib.blake2b(repr(facts).encode(), digest_size=16).digest()
        self._sum = (self._sum + int.from_bytes(digest, "big")) % 2**128

    def hexdigest(self) -> str:
        """32 hexadecimal digits."""
        return f"{self._sum:032x}"


def checksum(weights: Mapping[str, np.ndarray | Tensor]) -> str:
    """The `Checksum` of a whole mapping; an array and its tensor have the same."""
    total = Checksum()
    for name, value in weights.items():
        total.add(name, to_tensor(value) if isinstance(value, np.ndarray) else value)
    return total.hexdigest()


def write_safetensors(file: BinaryIO, weights: Mapping[str, np.ndarray]) -> None:
    """Write the arrays as a safetensors file.

    The library either writes under another name first, which anonymous memory does not have, or
    makes a copy of everything.
    """
    header, end = {}, 0
    for name, array in weights.items():
        start, end = end, end + array.nbytes
        header[name] = {
            "dtype": _SAFETENSORS_DTYPES[array.dtype.name],
            "shape": array.shape,
            "data_offsets": (start, end),
        }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    file.write(len(text).to_bytes(8, "little") + text)
    for array in weights.values():
        file.write(np.ascontiguousarray(array).data)


def read_safetensors(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, mapped into memory: nothing is read before it is used."""
    from safetensors.torch import load_file

    return load_file(path)


def describe(tensors: Mapping[str, Tensor]) -> dict[str, Sequence[Any]]:
    """Names, dtypes and shapes in order, as vLLM's weight-transfer API wants them."""
    return {
        "names": list(tensors),
        "dtype_names": [str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values()],
        "shapes": [list(tensor.shape) for tensor in tensors.values()],
    }


def in_chunks(tensors: Iterable[tuple[str, Tensor]], max_bytes: int) -> Iterator[dict[str, Tensor]]:
    """The tensors in order, in parts of at most `max_bytes`; a larger one goes alone."""
    chunk: dict[str, Tensor] = {}
    size = 0
    for name, tensor in tensors:
        if chunk and size + tensor.nbytes > max_bytes:
            yield chunk
            chunk, size = {}, 0
        chunk[name] = tensor
        size += tensor.nbytes
    if chunk:
        yield chunk


def show(tensors: Mapping[str, Tensor]) -> bytes:
    """A message by which other processes find the tensors on this GPU (CUDA IPC), without a copy.

    The tensors must be contiguous, and must live and keep their values until they have been read.
    """
    from torch.multiprocessing.reductions import reduce_tensor

    handles = []
    for tensor in tensors.values():
        assert tensor.is_contiguous(), "a copy of the tensor would be gone before it is read"
        gpu = str(torch.cuda.get_device_properties(tensor.device).uuid)
        handles.append({gpu: reduce_tensor(tensor.detach())[1]})
    return pickle.dumps({**describe(tensors), "handles": handles})


def merge_shown(messages: Sequence[bytes]) -> dict[str, Any]:
    """The messages of learners that each show the same tensors on a GPU of its own, as one.

    It is what vLLM's IPC backend takes: a worker finds its own GPU's handle of each tensor.
    """
    first, *others = [pickle.loads(message) for message in messages]
    handles = first.pop("handles")
    for other in others:
        assert other["names"] == first["names"]
        for merged, handle in zip(handles, other["handles"], strict=True):
            merged |= handle
    pickled = base64.b64encode(pickle.dumps(handles)).decode()
    return {**first, "ipc_handles_pickled": pickled}


def _hash_words(tensor: Tensor) -> int:
    octets = tensor.detach().contiguous().reshape(-1).view(torch.uint8)
    if octets.storage_offset() % 4 or len(octets) % 4:
        octets = torch.nn.functional.pad(octets, (0, -len(octets) % 4))
    words = octets.view(torch.int32)
    multipliers = _multipliers(tensor.device)
    end = len(words) // ROW * ROW
    rows = words[:end].view(-1, ROW).split(ROWS_AT_ONCE[tensor.device.type])
    hashes = [(row * multipliers).sum(1) for row in rows]
    rest = words[end:]
    hashes.append((rest * multipliers[: len(rest)]).sum(0, keepdim=True))
    total = 0
    for value in torch.cat(hashes).tolist():
        total = (total * ROW_MULTIPLIER + value) % 2**64
    return total


@cache
def _multipliers(device: torch.device) -> Tensor:
    """`ROW` 64-bit words of SplitMix64 (Steele, Lea and Flood 2014) from seed 0."""
    z = np.arange(1, ROW + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return torch.from_numpy((z ^ (z >> np.uint64(31))).view(np.int64)).to(device)
