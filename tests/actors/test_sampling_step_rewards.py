"""Rewards of steps on real engines: the policy's completions, and a value model beside it."""

import asyncio
import os

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForTokenClassification

from actors.sampling import SamplingActor
from examples.tiny.step_samples import search_problems
from understand_r1_zero import cli
from understand_r1_zero.encoding import last_tokens
from understand_r1_zero.search.codecs.registry import load_codec
from understand_r1_zero.search.codecs.step import ended
from understand_r1_zero.templates import load_template, render_qwen_math
from understand_r1_zero.types import Sampling, Unvalued

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.xdist_group("step_rewards")]

STEPPER, VALUE = "examples/tiny/stepper", "examples/tiny/value"
SAMPLING = Sampling(4, 1.0, 1.0, -1, 64, seed=3, has_step_rewards=True)


@pytest.fixture(scope="module")
def start():
    """Starts actors on one event loop, and ends them."""
    actors = []
    with asyncio.Runner() as runner:

        def start(flags):
            args = cli.parse_training(["--pretrain", STEPPER, *flags.split()])
            actor = SamplingActor(args, 0, (0,), rewards_steps=True)
            cores = os.sched_getaffinity(0)
            runner.run(actor.start())
            os.sched_setaffinity(0, cores)
            actors.append(actor)
            return actor, runner

        yield start
        for actor in actors:
            runner.run(actor.shutdown())


@torch.no_grad()
def value_of(problem, steps):
    """By transformers, at the last token of each step."""
    tokenizer = load_tokenizer_of(VALUE)
    model = AutoModelForTokenClassification.from_pretrained(VALUE).eval()
    prompt = tokenizer(render_qwen_math(problem.text, None)).input_ids
    ids, ends = last_tokens(tokenizer, steps)
    logits = model(torch.tensor([[*prompt, *ids]])).logits[0, :, 0]
    return torch.sigmoid(logits[[len(prompt) + end for end in ends]]).tolist()


def load_tokenizer_of(path):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(path)


def test_a_value_model_pays_for_steps_and_evaluation_asks_nothing_of_it(start):
    actor, runner = start(f"--oracle value --value_model {VALUE}")
    problem = search_problems()[0]
    group = runner.run(actor.sample(0, problem, SAMPLING))
    codec = load_codec("lines", load_template("qwen_math"))
    for response in group.responses:
        split = codec.split(response.text)
        steps = [step.text for step in split]
        # Its values are read as a search reads them, behind the line end of the last step.
        expected = value_of(problem, [step.text for step in ended(split, codec)])
        assert response.verdict.step_rewards == pytest.approx(expected, abs=1e-4)
        assert len(response.step_ends) == len(steps)
        ids = response.token_ids
        texts = [
            load_tokenizer_of(STEPPER).decode(ids[: end + 1], skip_special_tokens=True)
            for end in response.step_ends
        ]
        assert texts == ["".join(steps[: k + 1]) for k in range(len(steps))]
    assert group.oracle_s > 0 and group.oracle_tokens == 0
    plain = Sampling(4, 1.0, 1.0, -1, 64, seed=3)
    evaluated = runner.run(actor.sample(0, problem, plain))
    assert [r.text for r in evaluated.responses] == [r.text for r in group.responses]
    assert all(not r.step_ends and r.unvalued is None for r in evaluated.responses)
    assert [r.verdict.reward for r in evaluated.responses] == [
        r.verdict.reward for r in group.responses
    ]


def test_completions_pay_go_on_over_a_publication_and_end_with_the_budget(start):
    flags = "--oracle monte_carlo --mc_completions 4 --oracle_tokens_per_step 3000"
    actor, runner = start(flags)
    problems = search_problems()[:6]
    weights = {
        name: value.numpy() for name, value in load_file(f"{STEPPER}/model.safetensors").items()
    }

    async def ask():
        tasks = [
            asyncio.create_task(actor.sample(row, problem, SAMPLING))
            for row, problem in enumerate(problems)
        ]
        while not actor._step_rewards.rewards.budget._num_open:
            await asyncio.sleep(0.01)
        await actor.load_weights(1, weights)
        return await asyncio.gather(*tasks)

    groups = runner.run(ask())
    responses = [response for group in groups for response in group.responses]
    valued = [response for response in responses if response.unvalued is None]
    spent = [response for response in responses if response.unvalued is Unvalued.BUDGET]
    assert valued and len(valued) + len(spent) == len(responses)
    total = sum(group.oracle_tokens for group in groups)
    assert 0 < total < 2 * 3000 + 2000  # the publication in between renewed it
    for response in valued:
        *steps, last = response.verdict.step_rewards
        assert set(np.array(steps) * 4) <= {0, 1, 2, 3, 4}
        assert last == float(response.verdict.status == "correct")
