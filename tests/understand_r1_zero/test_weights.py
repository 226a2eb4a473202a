import base64
import json
import pickle
import time

import numpy as np
import pytest
import torch

from understand_r1_zero import weights
from understand_r1_zero.args import ClusterArgs
from understand_r1_zero.weights import (
    ROW,
    Checksum,
    checksum,
    read_safetensors,
    to_arrays,
    to_tensor,
    write_safetensors,
)


def tensors():
    generator = torch.Generator().manual_seed(0)
    return {
        "wide": torch.randn(300, 401, generator=generator),
        "odd": torch.randn(7, generator=generator).bfloat16(),
        "half": torch.randn(9, 5, generator=generator).half(),
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 4),
        "counts": torch.arange(5),
    }


def test_arrays_share_the_tensors_memory_and_become_the_same_tensors_again():
    given = tensors()
    arrays = to_arrays(given)
    assert arrays["wide"].ctypes.data == given["wide"].data_ptr()
    assert arrays["odd"].dtype == np.uint16 and arrays["half"].dtype == np.float16
    for name, array in arrays.items():
        again = to_tensor(array)
        assert again.dtype == given[name].dtype and torch.equal(again, given[name])


def test_a_read_only_array_becomes_a_tensor_without_a_warning(recwarn):
    array = np.ones(3, np.float32)
    array.flags.writeable = False
    assert torch.equal(to_tensor(array), torch.ones(3))
    assert not recwarn.list


def test_checksum_of_arrays_and_tensors_is_the_same_in_any_order():
    given = tensors()
    expected = checksum(given)
    assert checksum(to_arrays(given)) == expected
    assert checksum(dict(reversed(given.items()))) == expected
    assert len(expected) == 32


def test_checksum_does_not_depend_on_how_the_tensor_lies_in_memory():
    tensor = torch.randn(6, 9)
    assert checksum({"a": tensor.T}) == checksum({"a": tensor.T.contiguous()})
    halves = torch.randn(9).bfloat16()
    assert checksum({"a": halves[1:]}) == checksum({"a": halves[1:].clone()})


def test_checksum_sees_every_single_bit():
    bits = np.zeros(70_000, np.uint32)
    bits[::3] = 0x3F8ABCDE
    expected = checksum({"a": bits.view(np.float32)})
    for word in (0, 1, 32_767, 32_768, len(bits) - 1):
        for bit in range(32):
            bits[word] ^= np.uint32(1 << bit)
            assert checksum({"a": bits.view(np.float32)}) != expected
            bits[word] ^= np.uint32(1 << bit)
    assert checksum({"a": bits.view(np.float32)}) == expected


def change(given, name, value):
    return {**given, name: value}


def test_checksum_sees_names_shapes_dtypes_signs_and_order_of_values():
    given = {"a": torch.arange(12.0), "b": torch.ones(3), "c": torch.zeros(4)}
    a = given["a"]
    seen = {
        checksum(given),
        checksum(change(given, "a", a.reshape(3, 4))),
        checksum(change(given, "a", a.flip(0))),
        checksum(change(given, "a", -a)),
        checksum(change(given, "a", a.view(torch.int32))),
        checksum(change(given, "a", torch.cat([a[1:], a[:1]]))),
        checksum(change(given, "c", torch.zeros(5))),
        checksum({"b": given["a"], "a": given["b"], "c": given["c"]}),
        checksum({"a": given["a"], "b": given["b"]}),
        checksum({"a": given["a"], "b": given["b"], "d": given["c"]}),
    }
    assert len(seen) == 10


def test_checksum_sees_whole_rows_change_places():
    rows = torch.randn(4, ROW)
    assert checksum({"a": rows}) != checksum({"a": rows[[1, 0, 2, 3]]})


def test_checksum_is_the_documented_sum():
    words = np.arange(3, 3 + ROW + 5, dtype=np.uint32)
    w, mask = 0, 2**64 - 1
    multipliers = []
    for _ in range(ROW):
        w = (w + 0x9E3779B97F4A7C15) & mask
        z = ((w ^ (w >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        multipliers.append(z ^ (z >> 31))
    rows = [words[:ROW].tolist(), words[ROW:].tolist()]
    hashes = [sum(a * m for a, m in zip(row, multipliers, strict=False)) for row in rows]
    expected = (hashes[0] * weights.ROW_MULTIPLIER + hashes[1]) & mask
    assert weights._hash_words(torch.from_numpy(words.view(np.float32))) == expected


def test_checksum_is_the_same_however_many_rows_go_at_once(monkeypatch):
    tensor = torch.randn(5 * ROW + 3)
    expected = checksum({"a": tensor})
    monkeypatch.setitem(weights.ROWS_AT_ONCE, "cpu", 2)
    assert checksum({"a": tensor}) == expected


def test_checksum_grows_with_each_tensor():
    total = Checksum()
    total.add("a", torch.ones(3))
    first = total.hexdigest()
    total.add("b", torch.ones(3))
    assert first == checksum({"a": torch.ones(3)}) != total.hexdigest()


def test_a_written_file_is_read_back_to_the_last_bit(tmp_path):
    given = tensors()
    path = tmp_path / "weights"
    with path.open("wb") as file:
        write_safetensors(file, to_arrays(given))
    read = read_safetensors(path)
    assert read.keys() == given.keys()
    assert all(torch.equal(read[name], given[name]) for name in given)
    assert all(read[name].dtype == given[name].dtype for name in given)
    assert checksum(read) == checksum(given)


def test_writing_needs_no_contiguous_array(tmp_path):
    array = np.arange(12, dtype=np.float32).reshape(3, 4).T
    path = tmp_path / "weights"
    with path.open("wb") as file:
        write_safetensors(file, {"a": array})
    assert torch.equal(read_safetensors(path)["a"], torch.from_numpy(array.copy()))


def test_a_dtype_the_format_lacks_is_refused(tmp_path):
    with pytest.raises(KeyError), (tmp_path / "weights").open("wb") as file:
        write_safetensors(file, {"a": np.zeros(2, np.complex64)})


def test_the_header_is_plain_safetensors(tmp_path):
    path = tmp_path / "weights"
    with path.open("wb") as file:
        write_safetensors(file, {"a": np.zeros((2, 3), np.uint16)})
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    assert length % 8 == 0 and len(data) == 8 + length + 12
    header = json.loads(data[8 : 8 + length])
    assert header == {"a": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 12]}}


def test_checksum_is_fast():
    tensor = torch.zeros(2**25)
    checksum({"a": tensor})
    best_s = 1e9
    for _ in range(5):
        started_s = time.perf_counter()
        checksum({"a": tensor})
        best_s = min(best_s, time.perf_counter() - started_s)
    assert (
        tensor.nbytes / best_s > 0.5e9
    )  # a gigabyte a second on a core that has nothing else to do


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({}, "ray"),
        ({"gpus": 8}, "nccl"),
        ({"gpus": 8, "collocate": True}, "ipc"),
        ({"gpus": 8, "weight_transfer": "ray"}, "ray"),
        ({"gpus": 8, "collocate": True, "num_gpus_per_actor": 4}, "ipc"),
        ({"gpus": 8, "collocate": True, "num_learners": 7}, "ray"),
        ({"gpus": 8, "collocate": True, "num_learners": 7, "num_actors": 7}, "ipc"),
    ],
)
def test_weights_take_the_shortest_way(flags, expected):
    assert weights.transfer_backend(ClusterArgs(**flags)) == expected


def test_tensors_are_described_in_their_order():
    assert weights.describe({"b": torch.zeros(2, 3), "a": torch.zeros(4).bfloat16()}) == {
        "names": ["b", "a"],
        "dtype_names": ["float32", "bfloat16"],
        "shapes": [[2, 3], [4]],
    }


@pytest.mark.parametrize(
    ("max_bytes", "expected"),
    [(1, ["a", "b", "c", "d"]), (8, ["ab", "c", "d"]), (20, ["ab", "c", "d"]), (99, ["abcd"])],
)
def test_chunks_keep_the_order_and_the_bound_unless_one_tensor_is_larger(max_bytes, expected):
    given = {"a": torch.zeros(1), "b": torch.zeros(1), "c": torch.zeros(4), "d": torch.zeros(3)}
    chunks = list(weights.in_chunks(given.items(), max_bytes))
    assert ["".join(chunk) for chunk in chunks] == expected
    assert all(chunk[name] is given[name] for chunk in chunks for name in chunk)
    assert all(
        len(chunk) == 1 or sum(tensor.nbytes for tensor in chunk.values()) <= max_bytes
        for chunk in chunks
    )


def test_no_chunk_of_nothing():
    assert list(weights.in_chunks([], 8)) == []


def shown(gpu):
    facts = weights.describe({"a": torch.zeros(2), "b": torch.zeros(3)})
    return pickle.dumps({**facts, "handles": [{gpu: (gpu, "a")}, {gpu: (gpu, "b")}]})


def test_what_several_learners_show_is_found_by_gpu():
    merged = weights.merge_shown([shown("GPU-1"), shown("GPU-2")])
    handles = pickle.loads(base64.b64decode(merged.pop("ipc_handles_pickled")))
    assert handles == [
        {"GPU-1": ("GPU-1", "a"), "GPU-2": ("GPU-2", "a")},
        {"GPU-1": ("GPU-1", "b"), "GPU-2": ("GPU-2", "b")},
    ]
    assert merged == weights.describe({"a": torch.zeros(2), "b": torch.zeros(3)})


def test_learners_that_show_different_tensors_are_a_mistake():
    other = {**weights.describe({"a": torch.zeros(2)}), "handles": [{"GPU-2": ()}]}
    with pytest.raises(AssertionError):
        weights.merge_shown([shown("GPU-1"), pickle.dumps(other)])
