"""The problems of a run: loaded, checked against the benchmarks, and short enough to ask."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from understand_r1_zero.args import Args
from understand_r1_zero.data import drop_leaked, drop_long, load_benchmarks, load_problems
from understand_r1_zero.templates import load_template
from understand_r1_zero.tokenizer import load_tokenizer
from understand_r1_zero.types import Problem

SPECIAL_TOKENS = 8
"""Tokens a tokenizer may add around a text, at most."""


@dataclass(frozen=True)
class Problems:
    """Training problems, benchmarks by name, and how many training problems were left out."""

    training: list[Problem]
    benchmarks: dict[str, list[Problem]]
    num_leaked: int
    num_long: int

    def digest(self) -> str:
        """Of the training problems, in order."""
        digest = hashlib.blake2b(digest_size=16)
        for problem in self.training:
            digest.update(repr((problem.text, problem.answers)).encode())
        return digest.hexdigest()

    def lines(self) -> Iterator[str]:
        """What was loaded, for the console."""
        benchmarks = ", ".join(f"{name} {len(rows)}" for name, rows in self.benchmarks.items())
        training = f"{len(self.training)} training problems; " if self.training else ""
        yield f"{training}benchmarks: {benchmarks or 'none'}"
        if self.num_leaked:
            yield f"left out {self.num_leaked} training problems that are in a benchmark"
        if self.num_long:
            yield f"left out {self.num_long} training problems longer than --prompt_max_length"


def load_benchmarks_of(args: Args) -> dict[str, list[Problem]]:
    """The problems of `Args.benchmark_data`, by benchmark name."""
    evaluation = args.evaluation
    if not args.benchmark_data:
        return {}
    return load_benchmarks(
        args.benchmark_data,
        evaluation.test_split,
        evaluation.eval_input_key,
        evaluation.eval_output_key,
        evaluation.max_eval,
    )


def load_run_problems(args: Args) -> Problems:
    """Load everything a training run asks: nothing without actors, benchmarks alone beside a file.

    Raises ValueError for a source at fault, or when no training problem is left.
    """
    data = args.data
    benchmarks = load_benchmarks_of(args) if args.needs_actors else {}
    if args.learns_from_file:
        return Problems([], benchmarks, 0, 0)
    problems = load_problems(
        data.prompt_data, data.train_split, data.input_key, data.output_key, data.max_train
    )
    problems, num_leaked = drop_leaked(problems, benchmarks)
    problems, num_long = drop_long(problems, prompt_length(args), data.prompt_max_length)
    return Problems(problems, benchmarks, num_leaked, num_long)


def prompt_length(args: Args) -> Callable[[str], int]:
    """Tokens of a problem's prompt, or an upper bound where that already fits.

    No tokenizer makes more tokens than there are bytes: most prompts need no tokenizer at all, and
    loading one takes seconds.
    """
    template = load_template(args.data.prompt_template)

    def length(text: str) -> int:
        if not template.needs_tokenizer:
            bound = len(template.render(text, None).encode()) + SPECIAL_TOKENS
            if bound <= args.data.prompt_max_length:
                return bound
        tokenizer = load_tokenizer(args.model)
        return len(tokenizer(template.render(text, tokenizer)).input_ids)

    return length
