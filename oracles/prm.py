"""Process reward models: the probability that a step is good, in [0, 1], read by a classifier or as a token.

Both read what a policy wrote: the tag that marks a step's end is taken out of its text first, so that
only our own tags are read.
"""

import asyncio
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from oracles.step_ends import read_step_ends
from understand_r1_zero.search.codecs.math_shepherd import BAD, GOOD, TAG, tagged
from understand_r1_zero.search.step import Step
from understand_r1_zero.search.step_oracle import (
    PROBABILITY,
    ReadLogprobs,
    ReadOutputs,
    StepScores,
)
from understand_r1_zero.types import Problem
from understand_r1_zero.values import ACTIVATIONS

_sigmoid = ACTIVATIONS["sigmoid"]
_TAG = re.compile(rf"(?<!\S){TAG}(?!\S)")


def good_probability(outputs: np.ndarray) -> np.ndarray:
    """Bare outputs (S, labels) of a classifier -> the probability (S,) that each step is good.

    One label: `sigmoid(z)`. Two: `softmax(z)[1] = sigmoid(z[1] - z[0])`, the second label being the good one.

    Source: TRL's PRMTrainer and Qwen2.5-Math-PRM, Zhang et al. 2025, arXiv:2501.07301 (two labels).

    Raises:
        ValueError: another number of labels.
    """
    num_labels = outputs.shape[1]
    if num_labels not in (1, 2):
        raise ValueError(
            f"a process reward model must have 1 label (the logit of a good step) or 2 (bad, good), "
            f"got {num_labels}; give a token-classification checkpoint with num_labels 1 or 2"
        )
    return _sigmoid(outputs[:, -1] - (outputs[:, 0] if num_labels == 2 else 0.0))


class ClassifierPrm:
    """A token-classification model with one label or two, read at the end of each step.

    Without a `tag` a value is read at the last token that ends within the step, as `value_examples.py` has
    it. With one the text of a step goes without the blanks around it, the tag comes after it and nothing
    between, and the value is read at the tag (`<extra_0>` of Qwen2.5-Math-PRM, with the prompt of `qwen_math`).

    Args:
        tokenizer: the reward model's.
        prompt: how it is asked the problem.
        read: its outputs.
        tag: the separator token; empty: none.

    Raises:
        ValueError: the tokenizer does not tell where its tokens are, or the tag is not one of them.
    """

    scale = PROBABILITY

    def __init__(
        self,
        tokenizer: Any,
        prompt: Callable[[str], str],
        read: ReadOutputs,
        tag: str = "",
    ) -> None:
        _require_fast(tokenizer)
        self._tokenizer = tokenizer
        self._prompt = prompt
        self._read = read
        self._tag = tag
        self._tag_id = _one_token(tokenizer, tag, "--prm_tag") if tag else None

    async def score(
        self, problem: Problem, steps: Sequence[Step], first: int = 0, seed: int = 0
    ) -> StepScores:
        """The values of `steps[first:]`, all read in one pass; `seed` changes nothing."""
        if first >= len(steps):
            return StepScores(())
        texts = [self._text(step) for step in steps]
        prompt = self._prompt(problem.text)
        outputs, end_ids = await read_step_ends(self._tokenizer, prompt, texts, first, self._read)
        if self._tag_id is not None:
            self._check_tags(np.array(end_ids))
        good = good_probability(outputs)
        return StepScores(tuple(np.nan_to_num(good, nan=self.scale.low).tolist()))

    def _text(self, step: Step) -> str:
        if not self._tag:
            return step.text
        # A tag of blanks alone (a line end) cannot be told from the text's own.
        text = step.text.replace(self._tag, "") if self._tag.strip() else step.text
        return text.strip() + self._tag

    def _check_tags(self, token_ids: np.ndarray) -> None:
        if not (token_ids == self._tag_id).all():
            raise ValueError(
                f"--prm_tag {self._tag!r} must stay one token behind any text, and the tokenizer of the "
                "process reward model joins it with its neighbours; add it as a special token"
            )


class GenerativePrm:
    """A causal language model that writes `good` or `bad` after the tag at each step's end.

    `v = p(good) / (p(good) + p(bad))` as the next token after `ки`, the prompt being Math-Shepherd's.

    Args:
        tokenizer: the reward model's.
        read: log-probs of its next token.
        good: the token of a good step; some tokenizers write it with a space before it.
        bad: that of a bad one.

    Source: Math-Shepherd, Wang et al. 2024, arXiv:2312.08935; its model's card reads `+` and `-` at `ки`.

    Raises:
        ValueError: the tag, or `good` or `bad`, is not one token of the tokenizer.
    """

    scale = PROBABILITY

    def __init__(
        self, tokenizer: Any, read: ReadLogprobs, *, good: str = GOOD, bad: str = BAD
    ) -> None:
        _require_fast(tokenizer)
        self._tokenizer = tokenizer
        self._read = read
        self._label_ids = [_one_token(tokenizer, label, "the label") for label in (good, bad)]
        # The tag is checked where it stands: a space before it may be part of its token.
        text = tagged("1", ["1"])
        start, _ = tokenizer(text, return_offsets_mapping=True).offset_mapping[-1]
        if start > len(text) - len(TAG):
            num_tokens = len(tokenizer(TAG, add_special_tokens=False).input_ids)
            raise _not_one_token("the tag", TAG, num_tokens)

    async def score(
        self, problem: Problem, steps: Sequence[Step], first: int = 0, seed: int = 0
    ) -> StepScores:
        """The values of `steps[first:]`, asked at once; `seed` changes nothing."""
        texts = [_TAG.sub("", step.text) for step in steps]
        prompts = [tagged(problem.text, texts[:end]) for end in range(first + 1, len(steps) + 1)]
        read = [self._read(self._tokenizer(text).input_ids, self._label_ids) for text in prompts]
        logprobs = np.array(await asyncio.gather(*read)).reshape(-1, 2)
        good = _sigmoid(logprobs[:, 0] - logprobs[:, 1])
        return StepScores(tuple(np.nan_to_num(good, nan=self.scale.low).tolist()))


def _one_token(tokenizer: Any, text: str, what: str) -> int:
    ids = tokenizer(text, add_special_tokens=False).input_ids
    if len(ids) != 1:
        raise _not_one_token(what, text, len(ids))
    return ids[0]


def _not_one_token(what: str, text: str, num_tokens: int) -> ValueError:
    return ValueError(
        f"{what} of a process reward model must be one token of its tokenizer, got {text!r}, which is "
        f"{num_tokens}; name the one it was trained with, or take a checkpoint whose tokenizer has it"
    )


def _require_fast(tokenizer: Any) -> None:
    if not tokenizer.is_fast:
        raise ValueError(
            "a process reward model needs a fast tokenizer, which tells where its tokens are, got "
            f"{type(tokenizer).__name__}; convert it with transformers' AutoTokenizer"
        )
