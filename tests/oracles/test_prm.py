"""Tokens and probabilities of process reward models, with the bundled tokenizer."""

import asyncio
import math
from types import SimpleNamespace

import numpy as np
import pytest
from transformers import AutoTokenizer

from oracles.prm import ClassifierPrm, GenerativePrm, good_probability
from understand_r1_zero.search.codecs.math_shepherd import TAG, tagged
from understand_r1_zero.search.step import Step
from understand_r1_zero.templates import TEMPLATES

ask = TEMPLATES["qwen_math"].render
EXTRA = "<extra_0>"


@pytest.fixture
def tokenizer(repository):
    return AutoTokenizer.from_pretrained(repository / "examples" / "tiny" / "model")


def values(oracle, *asked):
    return asyncio.run(oracle.score(*asked)).values


def sigmoid(logit):
    return 1 / (1 + math.exp(-logit))


def test_probabilities_by_hand():
    one = good_probability(np.array([[0.0], [math.log(4)], [-math.log(3)]]))
    assert one == pytest.approx([0.5, 0.8, 0.25])
    two = good_probability(np.array([[0.0, math.log(3)], [2.0, 2.0], [5.0, 5.0 - math.log(9)]]))
    assert two == pytest.approx([0.75, 0.5, 0.1])
    assert good_probability(np.array([[1000.0, -1000.0], [-1000.0, 1000.0]])).tolist() == [0, 1]


@pytest.mark.parametrize("num_labels", [0, 3])
def test_other_numbers_of_labels_are_refused(num_labels):
    with pytest.raises(ValueError, match=rf"got {num_labels}; give .* num_labels 1 or 2"):
        good_probability(np.zeros((1, num_labels)))


def test_a_step_is_read_at_its_last_token(tokenizer, problem, steps):
    asked = []

    async def read(token_ids, first):
        asked.append(list(token_ids))
        return np.arange(first, len(token_ids))[:, None] * 0.01

    oracle = ClassifierPrm(tokenizer, ask, read)
    found = values(oracle, problem, steps)
    prompt = ask(problem.text)
    num_prompt = len(tokenizer(prompt).input_ids)
    texts = [step.text for step in steps]
    counts = [len(tokenizer("".join(texts[:end])).input_ids) for end in (1, 2, 3)]
    assert tokenizer.decode(asked[0]) == prompt + "".join(texts)
    assert found == pytest.approx([sigmoid(0.01 * (num_prompt + n - 1)) for n in counts])
    assert values(oracle, problem, steps, 2) == pytest.approx(found[2:])
    assert values(oracle, problem, steps[:2]) == pytest.approx(found[:2])
    assert values(oracle, problem, steps, 3) == values(oracle, problem, []) == ()


def test_a_separator_comes_after_each_step_and_is_read(tokenizer, problem):
    tokenizer.add_special_tokens({"additional_special_tokens": [EXTRA]})
    tag_id = tokenizer.convert_tokens_to_ids(EXTRA)
    asked = []

    async def read(token_ids, first):
        asked.append(list(token_ids))
        is_tag = np.array(token_ids) == tag_id
        good = np.where(is_tag, np.cumsum(is_tag) * math.log(3), -9.0)
        return np.stack([np.zeros(len(token_ids)), good], axis=1)[first:]

    oracle = ClassifierPrm(tokenizer, ask, read, EXTRA)
    # A policy that writes the separator itself changes nothing.
    steps = [Step("1+2=3\n"), Step(f"\n3+3=6 {EXTRA}\n\n")]
    assert values(oracle, problem, steps) == pytest.approx([3 / 4, 9 / 10])
    prompt = ask(problem.text)
    assert tokenizer.decode(asked[0]) == f"{prompt}1+2=3{EXTRA}3+3=6{EXTRA}"
    assert values(oracle, problem, steps, 1) == pytest.approx([9 / 10])


def test_a_separator_that_is_no_token_or_joins_its_neighbour_is_refused(tokenizer, problem):
    async def read(token_ids, first):
        return np.zeros((len(token_ids) - first, 1))

    with pytest.raises(
        ValueError, match=r"--prm_tag of .* must be one token .*'<extra_0>', which is 9; name the"
    ):
        ClassifierPrm(tokenizer, ask, read, EXTRA)
    oracle = ClassifierPrm(tokenizer, ask, read, "=")
    assert values(oracle, problem, [Step("1+2")]) == (0.5,)
    oracle = ClassifierPrm(tokenizer, ask, read, "n")
    with pytest.raises(ValueError, match=r"'n' must stay one token behind any text"):
        values(oracle, problem, [Step(" i")])


def test_a_tokenizer_that_cannot_tell_places_is_refused(grade):
    slow = SimpleNamespace(is_fast=False)
    with pytest.raises(ValueError, match=r"needs a fast tokenizer.*got SimpleNamespace"):
        ClassifierPrm(slow, ask, grade)
    with pytest.raises(ValueError, match="needs a fast tokenizer"):
        GenerativePrm(slow, grade)


def test_the_next_token_after_each_tag_is_good_or_bad(tokenizer, problem, steps):
    tokenizer.add_tokens(["ки"])
    asked = []

    async def read(token_ids, choices):
        asked.append((token_ids, choices))
        p = 0.9 / sum(1 for token_id in token_ids if token_id == len(tokenizer) - 1)
        # Log-probs that are not normalised over the two say the same.
        return np.log([p, 1 - p]) - 2.0

    oracle = GenerativePrm(tokenizer, read)
    # A step of the format math_shepherd has its tag already.
    found = values(oracle, problem, [*steps[:2], Step("Check: 6-3=3 ки\n")])
    assert found == pytest.approx([0.9, 0.45, 0.3])
    for end, (token_ids, choices) in enumerate(asked, 1):
        assert tokenizer.decode(token_ids) == tagged(problem.text, [s.text for s in steps[:end]])
        assert tokenizer.convert_ids_to_tokens(token_ids[-1]) == "ки"
        assert tokenizer.convert_ids_to_tokens(choices) == ["+", "-"]
    assert values(oracle, problem, steps, 1) == pytest.approx([0.45, 0.3])
    assert values(oracle, problem, steps, 3) == ()


def test_tags_and_labels_of_several_tokens_are_refused(tokenizer, grade):
    with pytest.raises(ValueError, match=r"the tag .* got 'ки', which is 4; name the one"):
        GenerativePrm(tokenizer, grade)
    tokenizer.add_tokens(["ки"])
    with pytest.raises(ValueError, match=r"the label .* got '\+\+\+', which is"):
        GenerativePrm(tokenizer, grade, good="+++")
    GenerativePrm(tokenizer, grade, good=" +", bad=" -")


def test_what_the_context_cannot_hold_is_surely_bad(tokenizer, problem, steps):
    async def read_outputs(token_ids, first):
        outputs = np.full((len(token_ids) - first, 2), 1.0)
        outputs[-1:] = np.nan
        return outputs

    assert values(ClassifierPrm(tokenizer, ask, read_outputs), problem, steps) == (0.5, 0.5, 0)
    tokenizer.add_tokens([TAG])
    num_asked = 0

    async def read_logprobs(token_ids, choices):
        nonlocal num_asked
        num_asked += 1
        return np.log([0.5, 0.5]) if num_asked < 3 else np.full(2, np.nan)

    assert values(GenerativePrm(tokenizer, read_logprobs), problem, steps) == (0.5, 0.5, 0)
