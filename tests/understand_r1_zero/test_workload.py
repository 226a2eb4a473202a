"""What one step learns from, against counts worked out by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understand_r1_zero.args import Args, OptimArgs, SamplingArgs
from understand_r1_zero.cli import parse
from understand_r1_zero.plan import batch_arithmetic
from understand_r1_zero.workload import train_batch_refusal, workload

PAIRS = "--algo dpo --preference_data a.jsonl"
SFT = "--algo sft --sft_data a.jsonl"


@pytest.mark.parametrize(
    ("argv", "unit", "units", "is_exact", "optimizer_steps"),
    # 64 problems of 8 responses.
    [
        ("", "response", 512, True, 1),
        ("--train_batch_size 128 --num_ppo_epochs 3", "response", 512, True, 12),
        ("--algo dpo", "pair", 64, False, 1),
        ("--algo dpo --pairs correct_incorrect --train_batch_size 100", "pair", 512, False, 6),
        # Three responses make at most two pairs of a correct and an incorrect one.
        ("--algo dpo --pairs correct_incorrect --num_samples 3", "pair", 128, False, 1),
        (f"{PAIRS} --train_batch_size 24 --num_ppo_epochs 2", "pair", 64, True, 6),
        ("--algo rft --train_batch_size 100", "response", 256, False, 3),
        ("--algo rft --rft_max_per_problem 0", "response", 512, False, 1),
        (f"{SFT} --train_batch_size 24", "example", 64, True, 3),
        ("--algo value --value_data a.jsonl", "example", 64, True, 1),
    ],
)
def test_counts(argv: str, unit: str, units: int, is_exact: bool, optimizer_steps: int):
    args = parse(argv.split())
    work = workload(args)
    assert (work.unit, work.units, work.is_exact) == (unit, units, is_exact)
    assert work.optimizer_steps(args) == optimizer_steps


def test_a_pair_is_two_responses_to_train_on():
    args = parse(f"{PAIRS} --train_batch_size 24 --train_batch_size_per_device 8".split())
    batches = batch_arithmetic(args, num_learners=3, num_problems=640)
    assert batches.responses == 0
    assert batches.responses_per_rank == 16
    assert batches.micro_batches == (2, 2)
    assert batches.steps == 10 and batches.horizon == 30


def test_examples_of_any_length_may_fill_a_micro_batch_each():
    unbounded, bounded = (
        batch_arithmetic(parse(f"{SFT} {flag}".split()), num_learners=1, num_problems=None)
        for flag in ("", "--sft_max_length 512")
    )
    assert unbounded.micro_batches == (1, 64)
    assert unbounded.micro_batch_tokens == 16_384
    assert bounded.micro_batches == (1, 2)


@given(prompts=st.integers(1, 40), samples=st.integers(2, 9), size=st.integers(1, 400))
def test_a_refused_batch_size_names_the_nearest_that_work(prompts: int, samples: int, size: int):
    sampling = SamplingArgs(rollout_batch_size=prompts, num_samples=samples)
    message = train_batch_refusal(Args(sampling=sampling, optim=OptimArgs(train_batch_size=size)))
    responses = prompts * samples
    assert (message == "") == (responses % size == 0)
    if not message:
        return
    assert f"= {responses} responses" in message
    advice = message.rpartition("--train_batch_size ")[2]
    named = [int(number) for number in advice.split(" or ")]
    possible = [divisor for divisor in range(1, responses + 1) if responses % divisor == 0]
    below = [divisor for divisor in possible if divisor < size]
    above = [divisor for divisor in possible if divisor > size]
    assert named == below[-1:] + above[:1]
