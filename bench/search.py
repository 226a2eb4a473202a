"""Searching 32 questions at once, over one question after another, and over one request after another.

MCTS with a value model on the tiny world, all three ways with the same seeds: they grow the same trees. The
prefix cache is emptied before each round, and its share is of the prompts' tokens, as vLLM counts them, with the
worked examples of the template `few_shot` before each question: 138 tokens. Without them the tiny world's
prompts and solutions have about 45 tokens, one block of 32 and a part of another, and the share is 0.63 (in the
details of `search`); nothing can be right behind prompts that the policy never saw, and the trees are larger.
"""

from bench.result import Result
from bench.scale import Scale
from bench.side import Round, Side

TOGETHER_TARGET, ONE_BY_ONE_TARGET, CACHE_TARGET = 4.0, 5.0, 0.8
WAYS = ("together", "in_turn", "one_by_one")
MAX_ROUNDS = 5
"""A round of one request after another takes most of a minute."""


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
    num_rounds = min(scale.rounds, MAX_ROUNDS)
    rounds: dict[str, list[Round]] = {way: [] for way in WAYS}
    with Side("bench.search_side", flags(scale.questions)) as side:
        side.wait_until_ready()
        side.round(way="together")
        for _ in range(num_rounds):
            for way in WAYS:
                rounds[way].append(side.round(way=way))
    few_shot = [*flags(scale.questions), "--prompt_template", "few_shot"]
    with Side("bench.search_side", few_shot) as side:
        side.wait_until_ready()
        shared = [side.round(way="together") for _ in range(num_rounds)]
    together, in_turn, one_by_one = (
        [each["questions"] / each["seconds"] for each in rounds[way]] for way in WAYS
    )
    unit = "questions/s"
    cached, asked = ([each[key] for each in shared] for key in ("cached_tokens", "prompt_tokens"))
    return [
        Result("search", unit, together, in_turn, TOGETHER_TARGET, details={"rounds": rounds}),
        Result("search_requests", unit, together, one_by_one, ONE_BY_ONE_TARGET),
        Result("search_cache", "prompt tokens", cached, asked, CACHE_TARGET),
    ]
