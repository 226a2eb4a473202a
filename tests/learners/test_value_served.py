"""vLLM's pooling runner serves a saved value model: its outputs at step ends are ours."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from learners.batching import Batch, collate, plan
from learners.model import TokenLogprobs, load_model
from learners.rows import Limits as RowLimits
from learners.value_model import TokenValues, save_value_model, value_head
from understand_r1_zero.args import TINY_MODEL, Args, ModelArgs
from understand_r1_zero.encoding import last_tokens, load_encoder
from understand_r1_zero.types import Trajectory
from understand_r1_zero.values import ACTIVATIONS, activation_of

pytestmark = [pytest.mark.engine, pytest.mark.slow]

PROGRAM = Path(__file__).with_name("serve_values.py")
SOLUTIONS = (
    ("1 + 2 + 4 =", ["1+2=3\n", "3+4=7\n", "\\boxed{7}"]),
    ("9 - 5 - 6 =", ["9-5=4\n", "4-6=-2\n", "The answer is -2."]),
    ("3 + 3 + 3 + 3 =", ["\\boxed{12}"]),
)


def test_values_at_step_ends_are_the_same(tmp_path):
    torch.set_num_threads(1)
    model = load_model(TINY_MODEL, ModelArgs(), device="cpu")
    head = value_head(model, TINY_MODEL, seed=3)
    torch.nn.init.constant_(head.bias, 0.25)
    score = {f"score.{name}": value for name, value in head.state_dict().items()}
    save_value_model(tmp_path, model, model.state_dict() | score, "tanh")
    AutoTokenizer.from_pretrained(TINY_MODEL).save_pretrained(tmp_path)

    encoder = load_encoder(Args())
    ours, step_ends, sequences = [], [], []
    for problem, steps in SOLUTIONS:
        text = encoder.problem(problem, "".join(steps))
        step_ends.append(last_tokens(encoder.tokenizer, steps)[1])
        prompt, completion = text.prompt_token_ids, text.completion_token_ids
        nothing = np.zeros(len(completion), np.float32)
        batch = Batch.of([Trajectory(prompt, completion, nothing, 0.0, 0)])
        micro = collate(batch, plan(batch, np.array([0]), RowLimits(1000, 10), 1)[0][0])
        inputs = (micro.input_ids, micro.sources, micro.targets)
        tensors = [torch.from_numpy(array) for array in inputs]
        module = TokenValues(TokenLogprobs(model, 1.0), head, has_logprobs=False)
        with torch.no_grad():
            outputs = module(*tensors, None, None, torch.from_numpy(micro.places))[2].numpy()
        ours.append(np.tanh(outputs[step_ends[-1]]))
        sequences.append([*prompt.tolist(), *completion.tolist()])

    served = serve(tmp_path, sequences)
    read = ACTIVATIONS[activation_of(tmp_path)]
    for sequence, outputs, ends, (problem, steps), expected in zip(
        sequences, served, step_ends, SOLUTIONS, ours, strict=True
    ):
        start = len(sequence) - len(encoder.completion_ids("".join(steps)))
        assert len(outputs) == len(sequence), problem
        values = read(np.array(outputs)[start:][ends])
        np.testing.assert_allclose(values, expected, atol=1e-5)
    spread = np.concatenate(ours)
    assert spread.std() > 0.01


def serve(directory: Path, sequences: list[list[int]]) -> list[list[float]]:
    ids, outputs = directory / "ids.json", directory / "outputs.json"
    ids.write_text(json.dumps(sequences))
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(directory), str(ids), str(outputs)],
        env={**os.environ, "PYTHONPATH": str(PROGRAM.parents[2])},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return json.loads(outputs.read_text())
