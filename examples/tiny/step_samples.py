"""Solutions that the tiny model for search writes, what they are, and what their steps are worth."""

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from examples.tiny.build import END, benchmark_problems
from examples.tiny.pupils import FORMATS
from understand_r1_zero.data import load_benchmarks
from understand_r1_zero.search.codecs.registry import load_codec
from understand_r1_zero.search.codecs.step import Fault, StepCodec
from understand_r1_zero.search.step import Step
from understand_r1_zero.templates import load_template
from understand_r1_zero.types import Problem

SEARCH_EVAL_DATA = (
    "sum_5=reasoning_gym:chain_sum?min_terms=5&max_terms=5&min_digits=1&max_digits=1&size=200"
)
"""The benchmark of searches: sums of five digits."""
TEMPLATE_OF: Mapping[str, str] = {"lines": "qwen_math", "step_k": "no", "xml": "no"}
"""The prompt template of each format; `xml` has a prompt of its own."""
MAX_STEP_TOKENS = 48
BATCH = 128
"""Larger ones are slower on a CPU: the keys and values of a step no longer fit its caches."""
MAX_STEPS = 10
_CALCULATION = re.compile(r"print\((-?\d+)([+-]\d+)\)")


@dataclass(frozen=True)
class Solution:
    """What the policy wrote to a problem so far, and what was wrong with a next step that is none."""

    problem: Problem
    steps: tuple[Step, ...] = ()
    fault: Fault | None = None

    @property
    def answer(self) -> str | None:
        """What it comes to; None: it has no end."""
        return self.steps[-1].answer if self.steps else None

    @property
    def is_open(self) -> bool:
        """Whether it can go on."""
        return self.answer is None and self.fault is None

    @property
    def is_right(self) -> bool:
        """Whether it comes to the problem's answer."""
        return self.answer == self.problem.answers[0]


def codec_of(name: str) -> StepCodec:
    """The codec of a format, with its template."""
    return load_codec(name, load_template(TEMPLATE_OF[name]))


def search_problems() -> list[Problem]:
    """The benchmark's."""
    (problems,) = load_benchmarks(SEARCH_EVAL_DATA, "all", "problem", "answer", 10**6).values()
    return problems


def held_out_questions() -> frozenset[str]:
    """Those of this benchmark and the demo's, which nothing is trained on."""
    held_out = [*search_problems(), *itertools.chain.from_iterable(benchmark_problems().values())]
    return frozenset(problem.text for problem in held_out)


class Writer:
    """A policy that solves problems a step at a time, as a search asks it to.

    Args:
        directory: of the policy.
        format_name: the codec's.
        temperature: of sampling; 0: greedy.
    """

    def __init__(self, directory: Path, format_name: str, temperature: float = 1.0) -> None:
        self._tokenizer: Any = AutoTokenizer.from_pretrained(directory)
        self._model: Any = AutoModelForCausalLM.from_pretrained(directory).eval()
        self._codec = codec_of(format_name)
        self._temperature = temperature
        ends = [
            number
            for number in range(len(self._tokenizer))
            if any(stop in self._tokenizer.decode([number]) for stop in self._codec.stop)
        ]
        self._ends = torch.tensor([*ends, self._tokenizer.convert_tokens_to_ids(END)])

    def solve(self, problems: Sequence[Problem], num_samples: int = 1) -> list[Solution]:
        """`num_samples` solutions of each problem, those of one after another.

        One that goes wrong in its form, or has too many steps, is given with the steps before that.
        """
        asked = [problem for problem in problems for _ in range(num_samples)]
        solutions = [Solution(problem) for problem in asked]
        open_ones = range(len(asked))
        for _ in range(MAX_STEPS):
            extended = self.extend([solutions[i] for i in open_ones])
            for i, solution in zip(open_ones, extended, strict=True):
                solutions[i] = solution
            open_ones = [i for i in open_ones if solutions[i].is_open]
        return solutions

    def extend(self, solutions: Sequence[Solution]) -> list[Solution]:
        """Each with one more step, or with its fault."""
        prompts = [self._codec.prompt(each.problem.text, each.steps) for each in solutions]
        texts = [
            text
            for start in range(0, len(prompts), BATCH)
            for text in self._continue(prompts[start : start + BATCH])
        ]
        return [
            self._with_step(solution, text) for solution, text in zip(solutions, texts, strict=True)
        ]

    def _with_step(self, solution: Solution, text: str) -> Solution:
        step = self._codec.parse(text, solution.steps)
        if isinstance(step, Fault):
            return replace(solution, fault=step)
        if step.code is not None:
            step = self._codec.observe(step, run_sum(step.code), solution.steps)
        return replace(solution, steps=(*solution.steps, step))

    @torch.no_grad()
    def _continue(self, prompts: list[str]) -> list[str]:
        """What follows each prompt, to the end of the step; equal prompts are read once."""
        distinct = list(dict.fromkeys(prompts))
        row_of = {prompt: row for row, prompt in enumerate(distinct)}
        rows = torch.tensor([row_of[prompt] for prompt in prompts])
        inputs = self._tokenizer(distinct, padding=True, padding_side="left", return_tensors="pt")
        mask = inputs.attention_mask
        read = self._model(
            input_ids=inputs.input_ids,
            attention_mask=mask,
            position_ids=(mask.cumsum(dim=1) - 1).clamp(min=0),
            logits_to_keep=1,
        )
        cache, logits, mask = read.past_key_values, read.logits[rows, -1], mask[rows]
        cache.reorder_cache(rows)
        is_ended, written = torch.zeros(len(rows), dtype=torch.bool), []
        for _ in range(MAX_STEP_TOKENS):
            token_ids = self._draw(logits).masked_fill(is_ended, self._tokenizer.pad_token_id)
            written.append(token_ids)
            is_ended |= torch.isin(token_ids, self._ends)
            if is_ended.all():
                break
            mask = torch.cat([mask, torch.ones_like(mask[:, :1])], dim=1)
            logits = self._model(
                input_ids=token_ids[:, None],
                attention_mask=mask,
                position_ids=mask.sum(dim=1, keepdim=True) - 1,
                past_key_values=cache,
            ).logits[:, -1]
        return self._tokenizer.batch_decode(torch.stack(written, dim=1), skip_special_tokens=True)

    def _draw(self, logits: torch.Tensor) -> torch.Tensor:
        if not self._temperature:
            return logits.argmax(dim=-1)
        return torch.multinomial((logits / self._temperature).softmax(dim=-1), 1)[:, 0]


def grouped(solutions: Sequence[Solution], num_samples: int) -> list[Sequence[Solution]]:
    """The solutions of each problem."""
    starts = range(0, len(solutions), num_samples)
    return [solutions[start : start + num_samples] for start in starts]


def run_sum(code: str) -> str:
    """What a sum of two numbers prints: all that this policy has run, and so no interpreter is started.

    Other code, which it hardly ever writes, is answered by an error.
    """
    calculation = _CALCULATION.fullmatch(code)
    return str(sum(map(int, calculation.groups()))) if calculation else "SyntaxError"


def measure(directory: Path, num_samples: int = 8) -> None:
    """Print what the policy makes of the benchmark, in each format."""
    problems = search_problems()
    for name in FORMATS:
        greedy = Writer(directory, name, 0.0).solve(problems)
        sampled = Writer(directory, name).solve(problems, num_samples)
        groups = grouped(sampled, num_samples)
        whole = _mean(solution.answer is not None for solution in sampled)
        print(
            f"{name}: greedy {_mean(s.is_right for s in greedy):.3f}, "
            f"temperature 1 {_mean(s.is_right for s in sampled):.3f}, "
            f"maj@{num_samples} {_mean(map(majority, groups)):.3f}, "
            f"pass@{num_samples} {_mean(any(s.is_right for s in group) for group in groups):.3f}, "
            f"whole {whole:.3f}"
        )


def majority(solutions: Sequence[Solution]) -> float:
    """Whether the commonest answer is right; the share of right ones among equally common answers."""
    votes = Counter(solution.answer for solution in solutions if solution.answer is not None)
    most = max(votes.values(), default=0)
    winners = [answer for answer, count in votes.items() if count == most]
    return _mean(answer == solutions[0].problem.answers[0] for answer in winners)


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found) if found else 0.0
