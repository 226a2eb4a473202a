"""Searching 32 questions at once, over one question after another, and over one request after another.

MCTS with a value model on the tiny world. All three ways search with the same seeds, and so the same trees but
for the last bits of floating-point sums. The prefix cache is emptied before each round, and its hit share is of
the prompts' tokens, as vLLM counts them.
"""

from bench.result import Result
from bench.scale import Scale
from bench.side import Round, Side

QUESTIONS = 32
TOGETHER_TARGET, ONE_BY_ONE_TARGET, CACHE_TARGET = 4.0, 5.0, 0.8
WAYS = ("together", "in_turn", "one_by_one")
MAX_ROUNDS = 5
"""A round of one request after another takes minutes."""


def flags(questions: int) -> list[str]:
    """The command line of the side."""
    source = f"chain_sum?min_terms=5&max_terms=5&min_digits=1&max_digits=1&size={questions}"
    return [
        *("--pretrain", "examples/tiny/stepper", "--value_model", "examples/tiny/value"),
        *("--eval_data", f"sum_5=reasoning_gym:{source}", "--oracle", "value"),
        *("--method", "mcts", "--simulations", "40", "--num_children", "5"),
    ]


def run(scale: Scale) -> list[Result]:
    """Measure all three in turns."""
    questions = min(QUESTIONS, scale.groups)
    rounds: dict[str, list[Round]] = {way: [] for way in WAYS}
    with Side("bench.search_side", flags(questions)) as side:
        side.wait_until_ready()
        side.round(way="together")
        for _ in range(min(scale.rounds, MAX_ROUNDS)):
            for way in WAYS:
                rounds[way].append(side.round(way=way))
    speeds = {
        way: [each["questions"] / each["seconds"] for each in found]
        for way, found in rounds.items()
    }
    together = rounds["together"]
    details = {"rounds": rounds, "questions": questions}
    cached = [each["cached_tokens"] for each in together]
    asked = [each["prompt_tokens"] for each in together]
    return [
        Result(
            "search",
            "questions/s",
            speeds["together"],
            speeds["in_turn"],
            TOGETHER_TARGET,
            details=details,
        ),
        Result(
            "search_requests",
            "questions/s",
            speeds["together"],
            speeds["one_by_one"],
            ONE_BY_ONE_TARGET,
        ),
        Result("search_cache", "prompt tokens", cached, asked, CACHE_TARGET),
    ]
