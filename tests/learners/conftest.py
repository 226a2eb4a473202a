import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from learners.batching import Batch, sequence

PROGRAM = Path(__file__).with_name("rank_process.py")
PREFERENCE_PROGRAM = Path(__file__).with_name("preference_process.py")
REPOSITORY = PROGRAM.parents[2]


def make_qwen2(seed: int = 0, **changes: Any) -> Qwen2ForCausalLM:
    """A random Qwen2 of 64 tokens, its configuration changed as given."""
    torch.manual_seed(seed)
    settings = {
        "vocab_size": 64,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "tie_word_embeddings": True,
        "initializer_range": 0.2,
    }
    return Qwen2ForCausalLM(Qwen2Config(**(settings | changes)))


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """So little work is slower on two threads, and far slower on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def batch() -> Batch:
    """Three prompts, four ragged responses to each."""
    rng = np.random.default_rng(0)
    sequences = []
    for prompt_length in (7, 12, 3):
        prompt = rng.integers(0, 64, prompt_length)
        sequences += [sequence(prompt, rng.integers(0, 64, length)) for length in (5, 1, 9, 2)]
    return Batch.of(sequences)


@pytest.fixture(scope="session")
def laboratory(tmp_path_factory) -> Path:
    """A directory with a random Qwen2 of 64 tokens and its tokenizer in `model`.

    Those in `wide` and `wide_tied` have more words: ZeRO-3 cuts nothing below 10,000 parameters.
    """
    directory = tmp_path_factory.mktemp("laboratory")
    for name, vocabulary, is_tied in (
        ("model", 64, True),
        ("wide", 512, False),
        ("wide_tied", 512, True),
    ):
        model = make_qwen2(vocab_size=vocabulary, tie_word_embeddings=is_tied)
        model.save_pretrained(directory / name)
    words = models.WordLevel({str(i): i for i in range(64)}, unk_token="0")
    PreTrainedTokenizerFast(tokenizer_object=Tokenizer(words)).save_pretrained(directory / "model")
    return directory


@pytest.fixture(scope="session")
def alone(laboratory) -> dict[str, Any]:
    """What one rank found."""
    return run_ranks(laboratory, world_size=1)[0]


@pytest.fixture(scope="session")
def pair(laboratory) -> list[dict[str, Any]]:
    """What each of two ranks found."""
    return run_ranks(laboratory, world_size=2)


@pytest.fixture(scope="session")
def preference_alone(laboratory) -> dict[str, Any]:
    """What one rank found that learned preferences."""
    return run_ranks(beside(laboratory, "preference"), world_size=1, program=PREFERENCE_PROGRAM)[0]


@pytest.fixture(scope="session")
def preference_pair(laboratory) -> list[dict[str, Any]]:
    """What each of two ranks found that learned preferences."""
    return run_ranks(beside(laboratory, "preference"), world_size=2, program=PREFERENCE_PROGRAM)


def beside(laboratory: Path, name: str) -> Path:
    """A directory for another program's files, with the laboratory's models."""
    directory = laboratory / name
    if not directory.exists():
        directory.mkdir()
        for model in ("model", "wide", "wide_tied"):
            (directory / model).symlink_to(laboratory / model)
    return directory


def run_ranks(directory: Path, world_size: int, program: Path = PROGRAM) -> list[dict[str, Any]]:
    processes = [
        subprocess.Popen(
            [sys.executable, str(program), str(rank), str(world_size), str(directory)],
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(world_size)
    ]
    try:
        outputs = [process.communicate(timeout=240)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, output in zip(processes, outputs, strict=True):
        assert process.returncode == 0, output[-4000:]
    return [
        pickle.loads((directory / f"found_{world_size}_{rank}.pkl").read_bytes())
        for rank in range(world_size)
    ]
