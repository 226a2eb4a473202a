from dataclasses import replace

import pytest

from actors.start_engine import context_tokens, engine_threads
from understand_r1_zero.args import TINY_MODEL, Args, DataArgs, ModelArgs, SamplingArgs


def test_the_context_holds_the_longest_prompt_and_response():
    args = Args(data=DataArgs(prompt_max_length=100), sampling=SamplingArgs(generate_max_length=50))
    assert context_tokens(args, args.model.pretrain) == 150


def test_the_context_is_no_more_than_the_model_takes():
    args = Args(data=DataArgs(prompt_max_length=10_000))
    assert context_tokens(args, args.model.pretrain) == 4096


def test_a_given_context_is_kept():
    args = Args(model=ModelArgs(max_model_len=300))
    assert context_tokens(args, args.model.pretrain) == 300


def test_a_given_context_beyond_the_model_is_refused():
    args = Args()
    args = replace(args, model=replace(args.model, max_model_len=5000))
    with pytest.raises(ValueError, match="--max_model_len must be at most 4096"):
        context_tokens(args, args.model.pretrain)


@pytest.mark.parametrize(
    ("model", "num_cores", "expected"),
    [(TINY_MODEL, 8, 1), ("Qwen/Qwen2.5-Math-7B", 8, 8), ("unknown", 8, 8), (TINY_MODEL, 0, 0)],
)
def test_a_small_model_computes_in_one_thread(model, num_cores, expected):
    assert engine_threads(model, num_cores) == expected
