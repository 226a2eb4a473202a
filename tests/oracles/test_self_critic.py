import asyncio

import pytest

from oracles.self_critic import SelfCriticOracle, read_score
from understand_r1_zero.search.step import Step
from understand_r1_zero.types import Problem


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("0.8", 0.8),
        (" 1\n", 1.0),
        ("Score: .25. It is fine.", 0.25),
        ("0.5, 0.6", 0.5),
        ("2 steps, so 1.5 or rather 0.75", 0.75),
        ("step1 is 0", 0.0),
        ("85%", None),
        ("1 %", None),
        ("1.0%", None),
        ("8/10", None),
        ("1/2", None),
        ("-0.5", None),
        ("1.01", None),
        ("v0.5", None),
        ("good", None),
        ("", None),
    ],
)
def test_the_first_number_between_0_and_1_is_read(text, score):
    assert read_score(text) == score


def critic(texts, **options):
    asked = []

    async def write(prompt, count, seed):
        asked.append((prompt, count, seed))
        return texts[:count]

    return SelfCriticOracle(write, **options), asked


def test_the_mean_of_what_can_be_read(problem, steps):
    oracle, asked = critic(["0.9", "no idea", "0.6"], num_samples=3)
    found = asyncio.run(oracle.score(problem, steps, 1, 7))
    assert (found.values, found.verdict) == (pytest.approx((0.75, 0.75)), None)
    assert [count for _, count, _ in asked] == [3, 3]
    assert len({seed for _, _, seed in asked}) == 2
    prompt = asked[0][0]
    assert "1 + 2 + 3 =" in prompt and "1+2=3\n3+3=6\n" in prompt and "Check" not in prompt
    assert "Check: 6-3=3\n" in asked[1][0]
    assert prompt.endswith("Score: ")


def test_without_a_number_the_value_is_the_middle(problem, steps):
    oracle, _ = critic(["?", "120", "50%"], num_samples=3)
    assert asyncio.run(oracle.score(problem, steps)).values == (0.5, 0.5, 0.5)


def test_another_prompt_is_filled_in_one_pass():
    oracle, asked = critic(["1"], prompt="{solution}|{problem}|{frac}")
    problem = Problem("sums", 0, r"\frac{solution}{2}", ())
    asyncio.run(oracle.score(problem, [Step("{problem}")]))
    assert asked[0][0] == r"{problem}|\frac{solution}{2}|{frac}"


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="samples must be at least 1, got 0"):
        critic([], num_samples=0)
    with pytest.raises(ValueError, match=r"got 'Judge \{problem\}' without \{solution\}; put it"):
        critic([], prompt="Judge {problem}")
