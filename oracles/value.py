"""Values of steps by a value head that is read at their ends."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from oracles.step_ends import read_step_ends
from understand_r1_zero.search.step import Step
from understand_r1_zero.search.step_oracle import PROBABILITY, SIGNED, ReadOutputs, StepScores
from understand_r1_zero.types import Problem
from understand_r1_zero.values import ACTIVATIONS, activation_of


class ValueOracle:
    """The output of a linear layer on the hidden state of each step's last token, through its activation.

    `V = a(w h + b)` in [-1, 1] with tanh, in [0, 1] with a sigmoid; a bare head is cut to [-1, 1], which
    targets of +1 and -1 make it stay in.

    Args:
        directory: the value model; its `config.json` names the activation.
        tokenizer: its own.
        prompt: the prompt of a problem, as the model was trained on it.
        read: the model's engine.

    Raises:
        ValueError: the activation is not known.

    Source: AlphaMath, Chen et al. 2024, arXiv:2405.03553, eq. 5; the head is `learners/value_model.py`.
    """

    def __init__(
        self, directory: str, tokenizer: Any, prompt: Callable[[str], str], read: ReadOutputs
    ) -> None:
        self._activation = activation_of(Path(directory))
        self.scale = PROBABILITY if self._activation == "sigmoid" else SIGNED
        self._tokenizer = tokenizer
        self._prompt = prompt
        self._read = read

    async def score(
        self, problem: Problem, steps: Sequence[Step], first: int = 0, seed: int = 0
    ) -> StepScores:
        """The values of `steps[first:]`, all of them from one reading."""
        if first >= len(steps):
            return StepScores(())
        texts = [step.text for step in steps]
        prompt = self._prompt(problem.text)
        outputs, _ = await read_step_ends(self._tokenizer, prompt, texts, first, self._read)
        values = ACTIVATIONS[self._activation](outputs[:, 0])
        clipped = np.clip(values, self.scale.low, self.scale.high)
        return StepScores(tuple(np.nan_to_num(clipped, nan=self.scale.low).tolist()))
