"""Sizes of models and data, against published counts and files written here."""

import json
from pathlib import Path

import datasets
import pytest

from understand_r1_zero.sizes import model_size, num_problems

QWEN_15B = {
    "hidden_size": 1536,
    "num_hidden_layers": 28,
    "num_attention_heads": 12,
    "num_key_value_heads": 2,
    "intermediate_size": 8960,
    "vocab_size": 151936,
    "tie_word_embeddings": True,
}
QWEN_7B = {
    "hidden_size": 3584,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "intermediate_size": 18944,
    "vocab_size": 152064,
    "tie_word_embeddings": False,
}
LLAMA_3B = {
    "hidden_size": 3072,
    "num_hidden_layers": 28,
    "num_attention_heads": 24,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "intermediate_size": 8192,
    "vocab_size": 128256,
    "tie_word_embeddings": True,
}


@pytest.fixture(autouse=True)
def _no_hub_cache(monkeypatch, tmp_path: Path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))


def write_config(directory: Path, config: dict) -> Path:
    directory.mkdir(parents=True)
    (directory / "config.json").write_text(json.dumps(config))
    return directory


@pytest.mark.parametrize(
    ("config", "parameters"),
    # The models' own safetensors metadata; biases, which are not counted, are below 0.1%.
    [(QWEN_15B, 1_543_714_304), (QWEN_7B, 7_615_616_512), (LLAMA_3B, 3_212_749_824)],
)
def test_parameters_from_config_json(tmp_path: Path, config: dict, parameters: int):
    size = model_size(str(write_config(tmp_path / "model", config)))
    assert size is not None
    assert size.parameters == pytest.approx(parameters, rel=1e-3)
    assert size.kv_size == config["num_key_value_heads"] * 128
    assert size.origin == "config.json"


def test_a_nested_text_config_and_experts_count(tmp_path: Path):
    dense = model_size(str(write_config(tmp_path / "a", {"text_config": QWEN_15B})))
    experts = QWEN_15B | {"num_experts": 8, "moe_intermediate_size": 4480}
    sparse = model_size(str(write_config(tmp_path / "b", experts)))
    assert dense is not None and sparse is not None
    mlp = 28 * 3 * 1536 * 8960
    assert sparse.parameters - dense.parameters == 3 * mlp + 28 * 8 * 1536


def test_a_hub_id_is_looked_up_in_the_local_cache(tmp_path: Path):
    snapshots = tmp_path / "hub" / "models--org--unnamed" / "snapshots"
    write_config(snapshots / "abc", QWEN_15B)
    size = model_size("org/unnamed")
    assert size is not None and size.origin == "config.json"


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("Qwen/Qwen2.5-Math-1.5B", 1.5e9),
        ("Qwen/Qwen2.5-Math-7B", 7e9),
        ("lkevinzc/Llama-3.2-3B-NuminaQA", 3e9),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", 135e6),
        ("models/qwen-0.5b", 0.5e9),
    ],
)
def test_a_model_out_of_reach_is_sized_by_its_name(name: str, parameters: float):
    size = model_size(name)
    assert size is not None
    assert size.parameters == parameters
    assert size.origin == "estimate from the name"


@pytest.mark.parametrize("name", ["org/model", "gpt2", "Qwen2.5-Math", "v1.5Beta", "org7B/model"])
def test_a_name_without_a_size_is_unknown(name: str):
    assert model_size(name) is None


def test_rows_of_files_and_saved_datasets(tmp_path: Path):
    rows = [{"problem": f"{number} + 1", "answer": str(number + 1)} for number in range(5)]
    lines = [json.dumps(row) for row in rows]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    (tmp_path / "b.jsonl").write_text("\n".join(lines) + "\n")
    (tmp_path / "c.json").write_text(json.dumps(rows))
    dataset = datasets.Dataset.from_list(rows)
    dataset.to_parquet(tmp_path / "d.parquet")
    splits = {"train": dataset, "test": dataset.select(range(2))}
    datasets.DatasetDict(splits).save_to_disk(tmp_path / "e")
    dataset.save_to_disk(tmp_path / "f")
    for name in ("a.jsonl", "b.jsonl", "c.json", "d.parquet", "e", "f"):
        assert num_problems(str(tmp_path / name), "train") == 5, name
    assert num_problems(str(tmp_path / "e"), "test") == 2


def test_rows_of_reasoning_gym_and_of_what_is_not_here(tmp_path: Path):
    assert num_problems("reasoning_gym:chain_sum?min_terms=2&size=20000", "train") == 20_000
    assert num_problems("reasoning_gym:chain_sum", "train") == 500
    assert num_problems("main@openai/gsm8k", "train") is None
    assert num_problems(str(tmp_path / "none.jsonl"), "train") is None
    (tmp_path / "notes.txt").write_text("x")
    assert num_problems(str(tmp_path / "notes.txt"), "train") is None


@pytest.mark.parametrize("content", ["{", None])
def test_a_directory_without_a_readable_config_is_refused(tmp_path: Path, content: str | None):
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(ValueError, match=f"--pretrain {tmp_path}: config.json cannot be read"):
        model_size(str(tmp_path))
