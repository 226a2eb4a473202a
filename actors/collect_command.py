"""The command collect: training problems in; responses, trees or explored solutions out, for labels."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from actors.file_command import exit_status, tree_record, write_groups
from actors.offline import without_training
from understand_r1_zero.args import Args
from understand_r1_zero.args_search import StepOracleArgs
from understand_r1_zero.collect import request_seed, training_sampling
from understand_r1_zero.collect_summary import explored_lines, response_lines
from understand_r1_zero.continuing import Lines, places_done
from understand_r1_zero.data import drop_leaked
from understand_r1_zero.evaluate import evaluation_sampling
from understand_r1_zero.made_by import made_by
from understand_r1_zero.problems import load_benchmarks_of, load_run_problems
from understand_r1_zero.prompt_order import PromptOrder
from understand_r1_zero.search.codecs.registry import load_codec
from understand_r1_zero.search.explore import FIRST_ERRORS, GivenSolution
from understand_r1_zero.search.given_solutions import Given, read_given
from understand_r1_zero.search.questions import question_row
from understand_r1_zero.search.records import (
    FACTS_KEY,
    OUR_KEY,
    question_of,
    read_records,
    read_trees,
)
from understand_r1_zero.search.summary import summary_lines
from understand_r1_zero.streaming import Request
from understand_r1_zero.templates import load_template
from understand_r1_zero.tokenizer import load_tokenizer
from understand_r1_zero.types import Group, Problem

DRAWN_FROM = "the --prompt_data and --seed it was made from"


@dataclass(frozen=True)
class Work:
    """What is asked of the actors, and what becomes of it.

    `identities` are those of the requests, in their order, by which `lines` recognises them in the file.
    """

    unit: str
    requests: Sequence[Request]
    identities: Sequence[str]
    lines: Lines
    record_of: Callable[[Group], Mapping[str, Any]]
    summary: Callable[[Path], list[str]]


def collect(args: Args) -> int:
    """Run the command, by flags that `settle_collect` has seen; returns the exit status."""
    return exit_status(lambda: _collect(without_training(args)))


def _collect(args: Args) -> None:
    work = WORKS[args.collecting.collect](args)
    output = Path(args.files.output)
    done = places_done(output, work.identities, work.lines)
    write_groups(args, work.requests, work.record_of, done, work.unit, "collected")
    print("\n".join(work.summary(output)))


def _sample(args: Args) -> Work:
    problems = _problems(args)
    sampling = training_sampling(args)
    made = _made(args)
    requests = [
        Request(place, problem, replace(sampling, seed=request_seed(args.run.seed, place)))
        for place, problem in enumerate(problems)
    ]
    return Work(
        unit="problems",
        requests=requests,
        identities=[problem.text for problem in problems],
        lines=Lines(
            "response to these problems", DRAWN_FROM, OUR_KEY, lambda record: record["prompt"], made
        ),
        record_of=lambda group: responses_record(group, made),
        summary=lambda output: response_lines(read_records(output)),
    )


def _search(args: Args) -> Work:
    problems = [
        problem for problem in _problems(args) for _ in range(args.collecting.collect_trees)
    ]
    # The place is in the seed of a tree.
    sampling = evaluation_sampling(args)
    made = _made(args)
    return Work(
        unit="trees",
        requests=[
            Request(place, problem, sampling, is_search=True)
            for place, problem in enumerate(problems)
        ],
        identities=[problem.text for problem in problems],
        lines=Lines(
            "tree of these problems",
            DRAWN_FROM,
            FACTS_KEY,
            question_of,
            made | {"method": args.search.method},
        ),
        record_of=lambda group: _tree_record(group, question_row(group.problem), made),
        summary=lambda output: summary_lines(read_trees(output)),
    )


def _explore(args: Args) -> Work:
    solutions = _solutions(args)
    sampling = evaluation_sampling(args)
    flags = args.valuing
    made = _made(args)
    return Work(
        unit="solutions",
        requests=[
            Request(
                place,
                each.problem,
                replace(sampling, num_samples=completions_at_once(each.solution, flags)),
                given=each.solution,
            )
            for place, each in enumerate(solutions)
        ],
        identities=[_identity(each.problem.text, text_of_steps(each)) for each in solutions],
        lines=Lines(
            "tree of these solutions",
            "the --solutions it was made from",
            FACTS_KEY,
            explored_identity,
            made,
        ),
        record_of=lambda group: _tree_record(group, solutions[group.index].row, made),
        summary=lambda output: explored_lines(read_trees(output)),
    )


WORKS: dict[str, Callable[[Args], Work]] = {
    "sample": _sample,
    "search": _search,
    "explore": _explore,
}


def _problems(args: Args) -> list[Problem]:
    """Training problems in the order that `--seed` gives them, `--collect_problems` of them."""
    problems = load_run_problems(args)
    print("\n".join(problems.lines()))
    total, wanted = len(problems.training), args.collecting.collect_problems
    order = PromptOrder(total, args.run.seed)
    return [
        problems.training[i] for i in order.batch(0, total if wanted == -1 else min(wanted, total))
    ]


def _solutions(args: Args) -> list[Given]:
    """Those of `--solutions` whose problems are in no benchmark."""
    template = load_template(args.data.prompt_template)
    tokenizer = load_tokenizer(args.model) if template.needs_tokenizer else None
    codec = load_codec(args.steps.step_codec, template, tokenizer)

    @functools.cache
    def training() -> dict[str, tuple[str, ...]]:
        return {problem.text: problem.answers for problem in load_run_problems(args).training}

    path = Path(args.collecting.solutions).expanduser()
    found = read_given(
        path, codec, lambda text: training().get(text, ()), args.collecting.explore_solutions
    )
    kept, num_leaked = drop_leaked([each.problem for each in found], load_benchmarks_of(args))
    if num_leaked:
        print(f"left out {num_leaked} solutions of problems that are in a benchmark")
    texts = {problem.text for problem in kept}
    return [each for each in found if each.problem.text in texts]


def completions_at_once(solution: GivenSolution, flags: StepOracleArgs) -> int:
    """How many completions of a solution an actor may have to draw at once, by which it is loaded."""
    is_soft = flags.mc_mode == "soft"
    of_step = flags.mc_completions if is_soft else min(flags.mc_round, flags.mc_completions)
    return of_step * (1 if flags.mc_mode in FIRST_ERRORS else max(1, solution.num_open))


def responses_record(group: Group, made: Mapping[str, Any]) -> dict[str, Any]:
    """Self-Explore's record of a group of responses, and what is known of them under `ours`."""
    responses = group.responses
    ours = {
        "place": group.index,
        "problem": group.problem.id,
        "statuses": [str(response.verdict.status) for response in responses],
        "answers": [response.verdict.answer for response in responses],
        "truncated": [response.is_truncated for response in responses],
        "tokens": sum(len(response.token_ids) for response in responses),
    }
    return {
        "prompt": group.problem.text,
        "preds": [response.text for response in responses],
        "answer": question_row(group.problem)["answer"],
        OUR_KEY: {**ours, **made},
    }


def explored_identity(record: Mapping[str, Any]) -> str:
    """By which the line of an explored solution is recognised: its problem and its text."""
    nodes = record["react"]
    tags = record[FACTS_KEY]["given"].split(".")
    text = "".join(nodes[".".join(tags[:depth])]["text"] for depth in range(2, len(tags) + 1))
    return _identity(question_of(record), text)


def text_of_steps(given: Given) -> str:
    """The solution's."""
    return "".join(step.text for step in given.solution.steps)


def _identity(question: str, text: str) -> str:
    return f"{question}\0{text}"


def _tree_record(group: Group, row: Mapping[str, Any], made: Mapping[str, Any]) -> dict[str, Any]:
    return tree_record(group, row, {"problem": group.problem.id, **made})


def _made(args: Args) -> dict[str, Any]:
    """By what a record is made; flags that change what is drawn are those of the same command line."""
    kind = args.collecting.collect
    made = {"collect": kind, **made_by(args), "template": args.data.prompt_template}
    if kind != "sample":
        made["codec"] = args.steps.step_codec
    if kind == "explore":
        flags = args.valuing
        made |= {"oracle": "monte_carlo", "scan": flags.mc_mode}
        made |= {"mc_completions": flags.mc_completions, "mc_round": flags.mc_round}
    return made
