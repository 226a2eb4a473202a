"""The bundled model is what the demo needs: small, loadable, able to solve sums and unlikely to."""

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from understand_r1_zero.args import TINY_MODEL
from understand_r1_zero.templates import render_qwen_math

MAX_BYTES = 4_000_000


@pytest.fixture(scope="module")
def tokenizer(repository):
    return AutoTokenizer.from_pretrained(repository / TINY_MODEL)


def test_it_is_at_most_4_mb(repository):
    files = [path for path in (repository / TINY_MODEL).rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= MAX_BYTES


def test_digits_are_single_tokens_and_text_survives(tokenizer):
    text = render_qwen_math("State the final answer to the following arithmetic problem: 7 - 12 =")
    ids = tokenizer(text).input_ids
    assert tokenizer.decode(ids) == text
    assert [tokenizer.decode([i]) for i in tokenizer("1234").input_ids] == list("1234")
    assert len(ids) < 40


def test_it_writes_its_steps_one_a_line_once_it_begins_with_the_first_term(repository, tokenizer):
    model = AutoModelForCausalLM.from_pretrained(repository / TINY_MODEL)
    question = "State the final answer to the following arithmetic problem: 7 - 2 + 9 ="
    ids = tokenizer(render_qwen_math(question) + "7", return_tensors="pt").input_ids
    with torch.no_grad():
        output = model.generate(ids, max_new_tokens=40, do_sample=False)
    text = tokenizer.decode(output[0, ids.shape[1] :])
    assert text.startswith("-2=5\n5+9=14\n"), text


def test_the_chat_template_is_qwens(tokenizer):
    messages = [{"role": "user", "content": "1 + 1 ="}]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert text == "<|im_start|>user\n1 + 1 =<|im_end|>\n<|im_start|>assistant\n"
