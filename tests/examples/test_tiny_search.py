"""The tiny world for search: a policy that writes three step formats, and a value model that knows its errors."""

import itertools
import random

import pytest
import torch

from examples.tiny.build import draw_sum
from examples.tiny.pupils import FORMATS, documents, question_of
from examples.tiny.step_samples import (
    Solution,
    Writer,
    codec_of,
    grouped,
    held_out_questions,
    majority,
    run_sum,
    search_problems,
)
from examples.tiny.step_worth import Valuer, auc, judged, sibling_accuracy, value_rows
from understand_r1_zero.interpreter.interpreter import Interpreter
from understand_r1_zero.interpreter.limits import Limits
from understand_r1_zero.search.step import Step
from understand_r1_zero.types import Problem

MAX_BYTES = 12_000_000
NUM_PROBLEMS, NUM_SAMPLES = 50, 8


@pytest.fixture(scope="module")
def tiny(repository):
    return repository / "examples" / "tiny"


@pytest.fixture(scope="module")
def problems():
    return search_problems()[:NUM_PROBLEMS]


@pytest.fixture(scope="module", params=FORMATS)
def samples(request, tiny, problems):
    """A format's name, and `NUM_SAMPLES` solutions of each problem."""
    torch.manual_seed(0)
    writer = Writer(tiny / "stepper", request.param)
    return request.param, grouped(writer.solve(problems, NUM_SAMPLES), NUM_SAMPLES)


def test_all_models_together_have_at_most_12_mb(tiny):
    files = [path for name in ("model", "stepper", "value") for path in (tiny / name).iterdir()]
    assert sum(path.name == "model.safetensors" for path in files) == 3
    assert sum(path.stat().st_size for path in files) <= MAX_BYTES


def test_the_benchmark_is_200_sums_that_the_corpus_has_not():
    held_out = held_out_questions()
    assert len({problem.text for problem in search_problems()} & held_out) == 200
    # All but these, so that nothing but the rule keeps them out.
    rng = random.Random(0)
    drawn = iter([draw_sum(rng) for _ in range(50)])
    some = [draw_sum(rng) for _ in range(50)]
    kept_out = frozenset(question_of(problem) for problem in some)
    mixed = iter([problem for pair in zip(some, drawn, strict=True) for problem in pair])
    corpus = documents(rng, lambda _: next(mixed), kept_out, is_careful=False)
    prompts = [document[0] for document in itertools.islice(corpus, 50)]
    assert not [prompt for prompt in prompts for question in kept_out if question in prompt]


def test_equal_beginnings_share_what_they_are_worth():
    problem = Problem("sums", 0, "1 + 2 + 3 =", ("6",))

    def solution(*texts, answer):
        *steps, last = map(Step, texts)
        return Solution(problem, (*steps, Step(last.text, answer=answer)))

    group = [
        solution("1+2=3\n", "3+3=6\n", "\\boxed{6}\n", answer="6"),
        solution("1+2=3\n", "3+3=6\n", "\\boxed{6}\n", answer="6"),
        solution("1+2=3\n", "3+3=7\n", "\\boxed{7}\n", answer="7"),
        solution("1+2=4\n", "4+3=7\n", "\\boxed{7}\n", answer="7"),
    ]
    rows = list(value_rows("lines", group))
    assert [row["values"] for row in rows] == [[2 / 3, 1, 1], [2 / 3, 0, 0], [0, 0, 0]]
    assert {row["prompt"] for row in rows} == {codec_of("lines").prompt(problem.text)}
    assert rows[2]["steps"] == ["1+2=4\n", "4+3=7\n", "\\boxed{7}\n"]


@pytest.mark.slow
def test_samples_are_whole_solutions_that_their_codec_splits(samples):
    name, groups = samples
    solutions = [group[0] for group in groups]
    whole = [solution for solution in solutions if solution.answer is not None]
    assert len(whole) >= 0.95 * len(solutions)
    for solution in whole:
        text = "".join(step.text for step in solution.steps)
        assert codec_of(name).split(text) == list(solution.steps)


@pytest.mark.slow
def test_majorities_are_often_wrong_where_a_right_solution_is_among_the_samples(samples):
    _, groups = samples
    right = [sum(solution.is_right for solution in group) for group in groups]
    assert sum(count > 0 for count in right) >= 0.85 * len(groups)
    assert sum(map(majority, groups)) <= 0.8 * len(groups)


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_greedy_solutions_are_right_in_about_half_of_the_problems(tiny, name):
    solutions = Writer(tiny / "stepper", name, temperature=0.0).solve(search_problems())
    assert 0.4 <= sum(solution.is_right for solution in solutions) / len(solutions) <= 0.75


@pytest.mark.slow
def test_values_tell_right_from_wrong_steps(samples, tiny):
    name, groups = samples
    solutions = [solution for group in groups for solution in group]
    steps = judged(name, solutions, Valuer(tiny / "value"))
    assert len({step.is_right for step in steps}) == 2
    assert auc(steps) >= 0.8
    assert sibling_accuracy(steps) >= 0.75


@pytest.mark.slow
def test_the_interpreter_prints_what_the_samples_were_told(tiny, problems):
    torch.manual_seed(0)
    solutions = Writer(tiny / "stepper", "xml").solve(problems[:3])
    steps = [step for solution in solutions for step in solution.steps if step.code is not None]
    assert len(steps) >= 9
    with Interpreter(Limits()) as interpreter:
        state = interpreter.start()
        for step in steps:
            assert interpreter.run(state, step.code).output.strip() == step.observation
            assert run_sum(step.code) == step.observation
