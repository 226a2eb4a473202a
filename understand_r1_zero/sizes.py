"""How large a model and a data set are, from their metadata alone: nothing is loaded or downloaded."""

import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs


@dataclass(frozen=True, slots=True)
class ModelSize:
    """What a decoder-only model's memory depends on.

    `kv_size` is key-value heads x head dimension; `origin` says how the numbers are known; `is_tied`
    whether the head is the embedding.
    """

    parameters: int
    layers: int
    hidden: int
    intermediate: int
    kv_size: int
    vocabulary: int
    origin: str = "config.json"
    is_tied: bool = True

    def __str__(self) -> str:
        number = self.parameters
        count = f"{number / 1e9:.2f} B" if number >= 1e9 else f"{number / 1e6:.2f} M"
        return f"{count} parameters ({self.origin})"


# Shapes of published models stand in for a model known by its name only.
_TYPICAL = (
    ModelSize(134_515_008, 30, 576, 1536, 192, 49_152),
    ModelSize(494_032_768, 24, 896, 4864, 128, 151_936),
    ModelSize(1_543_714_304, 28, 1536, 8960, 256, 151_936),
    ModelSize(3_085_938_688, 36, 2048, 11_008, 256, 151_936),
    ModelSize(7_615_616_512, 28, 3584, 18_944, 512, 152_064, is_tied=False),
    ModelSize(14_770_033_664, 48, 5120, 13_824, 1024, 152_064, is_tied=False),
    ModelSize(32_763_876_352, 64, 5120, 27_648, 1024, 152_064, is_tied=False),
    ModelSize(72_706_203_648, 80, 8192, 29_568, 1024, 152_064, is_tied=False),
)

_SIZE_IN_NAME = re.compile(r"(?<![A-Za-z0-9.])(\d+(?:\.\d+)?)([BM])(?![A-Za-z])", re.IGNORECASE)
_LINES_READ_BYTES = 1 << 20
_LARGEST_JSON_BYTES = 64 << 20


def model_size(pretrain: str) -> ModelSize | None:
    """Size a model by its config.json (a directory, or a hub id in the local cache), else its name.

    A name such as `Qwen2.5-Math-7B` gives the parameters; the shape is then that of the nearest
    published size, and `origin` says "estimate from the name". None when neither says anything.

    Raises ValueError for a directory that holds no model.
    """
    path = _find_config(pretrain)
    if path is not None:
        try:
            config = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ValueError(
                f"--pretrain {pretrain}: {path.name} cannot be read: {error}"
            ) from error
        size = _from_config(config)
        if size is not None:
            return size
    return _from_name(pretrain)


def num_problems(prompt_data: str, split: str) -> int | None:
    """Rows of a training set as far as its metadata or a quick count says; None: not known yet.

    Prompts dropped for their length are still counted.
    """
    if prompt_data.startswith("reasoning_gym:"):
        size = parse_qs(prompt_data.partition("?")[2]).get("size", ["500"])[-1]
        return int(size) if size.isdigit() else None
    path = Path(prompt_data).expanduser()
    if path.is_dir():
        return _rows_of_dataset(path / split if (path / split).is_dir() else path)
    if not path.is_file():
        return None
    if path.suffix == ".parquet":
        import pyarrow.parquet

        return pyarrow.parquet.ParquetFile(path).metadata.num_rows
    if path.suffix == ".jsonl":
        return _lines(path)
    if path.suffix == ".json" and path.stat().st_size <= _LARGEST_JSON_BYTES:
        rows = json.loads(path.read_text(encoding="utf-8"))
        return len(rows) if isinstance(rows, list) else None
    return None


def _find_config(pretrain: str) -> Path | None:
    directory = Path(pretrain).expanduser()
    if directory.is_dir():
        return directory / "config.json"
    if "/" not in pretrain:
        return None
    home = os.environ.get("HF_HOME") or Path(
        os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface"
    )
    cache = Path(os.environ.get("HF_HUB_CACHE") or Path(home, "hub")).expanduser()
    snapshots = cache / f"models--{pretrain.replace('/', '--')}" / "snapshots"
    return max(snapshots.glob("*/config.json"), key=lambda path: path.stat().st_mtime, default=None)


def _from_config(config: Mapping[str, Any]) -> ModelSize | None:
    """Count a Llama-like decoder: gated MLP, grouped key-value heads, RMSNorm; biases are left out."""
    config = config.get("text_config", config)
    try:
        hidden, layers = config["hidden_size"], config["num_hidden_layers"]
        heads, intermediate = config["num_attention_heads"], config["intermediate_size"]
        vocabulary = config["vocab_size"]
    except KeyError:
        return None
    head = config.get("head_dim") or hidden // heads
    kv_size = (config.get("num_key_value_heads") or heads) * head
    experts = config.get("num_experts") or config.get("num_local_experts") or 1
    width = config.get("moe_intermediate_size", intermediate) if experts > 1 else intermediate
    attention = 2 * hidden * heads * head + 2 * hidden * kv_size
    mlp = experts * 3 * hidden * width + (hidden * experts if experts > 1 else 0)
    is_tied = bool(config.get("tie_word_embeddings"))
    embeddings = vocabulary * hidden * (1 if is_tied else 2)
    parameters = layers * (attention + mlp + 2 * hidden) + embeddings + hidden
    shape = ModelSize(parameters, layers, hidden, intermediate, kv_size, vocabulary)
    return replace(shape, is_tied=is_tied)


def _from_name(name: str) -> ModelSize | None:
    found = _SIZE_IN_NAME.search(Path(name).name)
    if found is None:
        return None
    parameters = float(found[1]) * (1e9 if found[2].upper() == "B" else 1e6)
    nearest = min(_TYPICAL, key=lambda size: abs(math.log(size.parameters / parameters)))
    return replace(nearest, parameters=round(parameters), origin="estimate from the name")


def _rows_of_dataset(directory: Path) -> int | None:
    """Rows of a `Dataset` on disk, from the headers of its Arrow record batches."""
    files = sorted(directory.glob("*.arrow"))
    if not files:
        return None
    import pyarrow

    rows = 0
    for file in files:
        with pyarrow.memory_map(str(file)) as source, pyarrow.ipc.open_stream(source) as reader:
            rows += sum(batch.num_rows for batch in reader)
    return rows


def _lines(path: Path) -> int:
    count, last = 0, b"\n"
    with path.open("rb") as file:
        while chunk := file.read(_LINES_READ_BYTES):
            count, last = count + chunk.count(b"\n"), chunk[-1:]
    return count + (last != b"\n")
