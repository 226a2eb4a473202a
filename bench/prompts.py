"""The problems that a run asks first, for those who are to work on the same."""

from understand_r1_zero.args import Args
from understand_r1_zero.problems import load_run_problems
from understand_r1_zero.prompt_order import PromptOrder
from understand_r1_zero.templates import load_template
from understand_r1_zero.tokenizer import load_tokenizer
from understand_r1_zero.types import Problem


def first_problems(args: Args, num_steps: int) -> list[Problem]:
    """The problems of the first steps, in the order they are asked."""
    problems = load_run_problems(args).training
    count = num_steps * args.sampling.rollout_batch_size
    return [problems[row] for row in PromptOrder(len(problems), args.run.seed).batch(0, count)]


def prompts_of(args: Args, problems: list[Problem]) -> list[str]:
    """Their prompts."""
    template = load_template(args.data.prompt_template)
    tokenizer = load_tokenizer(args.model)
    return [template.render(problem.text, tokenizer) for problem in problems]
