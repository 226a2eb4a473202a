"""Values of a head's outputs, read where steps end."""

import asyncio
import json

import numpy as np
import pytest
from transformers import AutoTokenizer

from oracles.value import ValueOracle
from understand_r1_zero.templates import TEMPLATES

ask = TEMPLATES["qwen_math"].render


@pytest.fixture
def tokenizer(repository):
    return AutoTokenizer.from_pretrained(repository / "examples" / "tiny" / "model")


def oracle(directory, tokenizer, activation, read):
    (directory / "config.json").write_text(json.dumps({"value_activation": activation}))
    return ValueOracle(str(directory), tokenizer, ask, read)


@pytest.mark.parametrize(
    ("activation", "expected"),
    [
        ("none", lambda z: np.clip(z, -1, 1)),
        ("tanh", np.tanh),
        ("sigmoid", lambda z: 1 / (1 + np.exp(-z))),
    ],
)
def test_values_are_activated_outputs_at_step_ends(
    tmp_path, tokenizer, problem, steps, activation, expected
):
    asked = []

    async def read(token_ids, first):
        asked.append((list(token_ids), first))
        return (np.arange(first, len(token_ids))[:, None] - 30.0) * 0.1

    scores = asyncio.run(oracle(tmp_path, tokenizer, activation, read).score(problem, steps, 1))
    [(token_ids, first)] = asked
    texts = [step.text for step in steps]
    assert tokenizer.decode(token_ids) == ask(problem.text) + "".join(texts)
    num_prompt = len(tokenizer(ask(problem.text)).input_ids)
    ends = [num_prompt + len(tokenizer("".join(texts[:n])).input_ids) - 1 for n in (2, 3)]
    assert first == ends[0]
    assert scores.values == pytest.approx([expected((end - 30.0) * 0.1) for end in ends])


@pytest.mark.parametrize(("activation", "low"), [("none", -1), ("tanh", -1), ("sigmoid", 0)])
def test_what_the_context_cannot_hold_has_the_lowest_value(
    tmp_path, tokenizer, problem, steps, activation, low
):
    async def read(token_ids, first):
        outputs = np.full((len(token_ids) - first, 1), 0.5)
        outputs[-1:] = np.nan
        return outputs

    values = asyncio.run(oracle(tmp_path, tokenizer, activation, read).score(problem, steps)).values
    assert values[-1] == low and min(values[:-1]) > 0.4
