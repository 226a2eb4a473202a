"""How well a value model tells right from wrong steps, position by position."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForTokenClassification, AutoTokenizer

from learners.feed import load_stored
from understand_r1_zero.args import Args
from understand_r1_zero.recipes import read_recipe
from understand_r1_zero.value_examples import ValueExample
from understand_r1_zero.values import area_under_roc


def auc_by_position(checkpoint: Path, config: Path) -> Mapping[int, float]:
    """`area_under_roc` of a run's held-out steps by their line in the solution, counted from 1.

    Args:
        checkpoint: the trained value model.
        config: the run's config.toml; its file of examples is split again as the run did.
    """
    stored = load_stored(read_recipe(config, Args()))
    assert stored is not None and stored.held_out, "a run on a file, with --holdout"
    newline = AutoTokenizer.from_pretrained(checkpoint)("\n").input_ids[0]
    outputs = _outputs(checkpoint, stored.held_out)
    targets = np.concatenate([example.targets for example in stored.held_out])
    positions = np.concatenate([_positions(example, newline) for example in stored.held_out])
    return {
        int(position): area_under_roc(
            outputs[positions == position], targets[positions == position] > 0.5
        )
        for position in np.unique(positions)
    }


@torch.no_grad()
def _outputs(checkpoint: Path, examples: Sequence[ValueExample]) -> np.ndarray:
    """(S,): the head's outputs at the step ends, in order."""
    model = AutoModelForTokenClassification.from_pretrained(checkpoint).eval()
    found = []
    for example in examples:
        prompt, completion = example.prompt_token_ids, example.text.completion_token_ids
        token_ids = torch.from_numpy(np.concatenate([prompt, completion]).astype(np.int64))
        logits = model(input_ids=token_ids[None]).logits[0, :, 0]
        found.append(logits[len(prompt) + example.step_ends].numpy())
    return np.concatenate(found)


def _positions(example: ValueExample, newline: int) -> np.ndarray:
    """(S,): the line of each step end."""
    lines = 1 + np.cumsum(example.text.completion_token_ids == newline)
    return lines[example.step_ends]
