"""One evaluator, in training and offline: every benchmark asked at once, spread over all actors."""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace

from understand_r1_zero.args import Args
from understand_r1_zero.collect import request_seed
from understand_r1_zero.grading.conventions import conventions_of
from understand_r1_zero.grading.grader import Grader
from understand_r1_zero.scoring import BenchmarkScore, score
from understand_r1_zero.search.settings import settings_of
from understand_r1_zero.streaming import GroupStream, Request
from understand_r1_zero.types import Group, Problem, Sampling


@dataclass(frozen=True)
class Evaluation:
    """One benchmark's graded groups, in row order, and what they amount to."""

    groups: list[Group]
    score: BenchmarkScore


def evaluation_sampling(args: Args) -> Sampling:
    """How benchmarks are sampled: the `--eval_*` flags, or step by step those of searches."""
    evaluation = args.evaluation
    max_tokens = evaluation.eval_generate_max_length or args.sampling.generate_max_length
    if args.is_searched:
        steps, settings = args.steps, settings_of(args.search)
        return Sampling(
            num_samples=settings.num_samples_at_once,
            temperature=0.0 if settings.method == "greedy" else steps.step_temperature,
            top_p=steps.step_top_p,
            top_k=-1,
            max_tokens=steps.step_max_tokens or max_tokens,
            seed=args.run.seed,
        )
    return Sampling(
        num_samples=evaluation.eval_n,
        temperature=evaluation.eval_temperature,
        top_p=evaluation.eval_top_p,
        top_k=-1,
        max_tokens=max_tokens,
        seed=args.run.seed if evaluation.eval_temperature > 0 else None,
    )


def evaluate(
    args: Args,
    benchmarks: Mapping[str, Sequence[Problem]],
    stream: GroupStream,
    on_progress: Callable[[str, int, int], None] = lambda phase, done, total: None,
    warn: Callable[[str], None] = lambda warning: None,
) -> dict[str, Evaluation]:
    """Sample, or search, and score every benchmark.

    Answers of one problem are grouped for the vote by equivalence, as each problem finishes; with
    one response a problem there is nothing to compare, and no grading process is started.

    Args:
        args: the flags; `--eval_*` say how problems are sampled.
        benchmarks: problems by benchmark name.
        stream: the actors.
        on_progress: called with ("evaluate", done, total) as each problem finishes.
        warn: told what actors have to say.
    """
    start_s = time.perf_counter()
    sampling = evaluation_sampling(args)
    names = [name for name, problems in benchmarks.items() for _ in problems]
    problems = [problem for rows in benchmarks.values() for problem in rows]
    requests = [
        Request(index, problem, _seeded(sampling, problem), args.is_searched)
        for index, problem in enumerate(problems)
    ]
    is_together = args.run.deterministic and not args.is_searched
    ask = stream.together if is_together else stream.stream
    finished: dict[str, dict[int, Group]] = {name: {} for name in benchmarks}
    labels: dict[int, Future[list[int | None]]] = {}
    elapse_s = dict.fromkeys(benchmarks, 0.0)
    num_workers, deadline_s = args.grading.grader_workers, args.grading.grader_timeout_s
    grader = Grader(conventions_of(args.grading), num_workers, deadline_s)
    with ThreadPoolExecutor(num_workers, "vote") as threads, closing(grader):
        for done, group in enumerate(ask(requests), start=1):
            name = names[group.index]
            finished[name][group.index] = group
            labels[group.index] = threads.submit(_label, grader, group)
            elapse_s[name] = time.perf_counter() - start_s
            for warning in group.warnings:
                warn(warning)
            on_progress("evaluate", done, len(requests))
        evaluations = {}
        for name, by_index in finished.items():
            groups = [by_index[index] for index in sorted(by_index)]
            found = [labels[group.index].result() for group in groups]
            evaluations[name] = Evaluation(groups, score(groups, found, elapse_s[name]))
    return evaluations


def _seeded(sampling: Sampling, problem: Problem) -> Sampling:
    """With a seed of the problem's own: under one seed the samples of all problems go right and wrong together."""
    if sampling.seed is None:
        return sampling
    return replace(sampling, seed=request_seed(sampling.seed, problem.id))


def _label(grader: Grader, group: Group) -> list[int | None]:
    verdicts = [response.verdict for response in group.responses]
    answers = [verdict.answer for verdict in verdicts]
    return grader.label(answers, [verdict.status for verdict in verdicts])
