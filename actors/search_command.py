"""The command search: questions in, searched trees out; and what is done with trees that are there."""

import json
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from actors.offline import actors_alone, without_training
from actors.search_progress import SearchProgress
from understand_r1_zero.args import Args
from understand_r1_zero.console import duration
from understand_r1_zero.evaluate import evaluation_sampling
from understand_r1_zero.grading.conventions import conventions_of
from understand_r1_zero.grading.grader import Grader
from understand_r1_zero.run_directory import RunDirectory
from understand_r1_zero.search.offline import judge
from understand_r1_zero.search.offline_table import answer_checks, offline_lines
from understand_r1_zero.search.questions import Question, places_done, read_questions
from understand_r1_zero.search.records import FACTS_KEY, read_trees
from understand_r1_zero.search.summary import summary_lines
from understand_r1_zero.search.value_plots import draw_value_plots
from understand_r1_zero.search.view import write_view
from understand_r1_zero.streaming import Request
from understand_r1_zero.types import Group


def search(args: Args) -> int:
    """Run the command; returns the exit status."""
    files = args.files
    try:
        if files.view:
            _view(Path(files.view), files.index)
        elif files.plot:
            _plot(args)
        elif files.from_trees:
            _infer_again(args)
        else:
            _search(args)
    except (ValueError, OSError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: the same command goes on where this one stopped", file=sys.stderr)
        return 130
    return 0


def _search(args: Args) -> None:
    files = args.files
    if not files.output:
        raise ValueError("--output names no file; the searched trees go there, a JSON line each")
    source = files.qaf or args.benchmark_data
    if not source:
        raise ValueError("--qaf names no questions; give a file of them")
    questions = read_questions(source, args.evaluation)
    output = Path(files.output)
    done = places_done(output, questions, args.search.method)
    args = without_training(args)
    if done:
        print(f"{len(done)} of {len(questions)} questions are in {output} already")
    if len(done) < len(questions):
        _search_the_rest(args, questions, done, output)
    print("\n".join(summary_lines(read_trees(output))))


def _search_the_rest(
    args: Args, questions: Sequence[Question], done: set[int], output: Path
) -> None:
    sampling = evaluation_sampling(args)
    requests = [
        Request(place, question.problem, sampling, is_search=True)
        for place, question in enumerate(questions)
        if place not in done
    ]
    path = Path(args.run.save_path)
    # It has logs only; a search that goes on may write them where it did before.
    run = RunDirectory(path) if (path / "logs").is_dir() else RunDirectory.create(path)
    with (
        closing(SearchProgress(len(questions), len(done))) as progress,
        actors_alone(args, run.logs, progress.warn) as fleet,
        progress.watching(lambda: [each.submit("statistics") for each in fleet.groups.processes]),
        output.open("a", encoding="utf-8") as file,
    ):
        started_s = time.monotonic()
        for group in fleet.groups.stream(requests):
            file.write(_line(questions[group.index], group) + "\n")
            file.flush()
            for warning in group.warnings:
                progress.warn(warning)
            progress.finished(group)
        seconds = time.monotonic() - started_s
        progress.note(f"searched {len(requests)} questions in {duration(seconds)}")


def _line(question: Question, group: Group) -> str:
    """The tree behind its question's own row."""
    assert group.tree is not None
    tree = dict(group.tree)
    tree[FACTS_KEY] = {"place": group.index, **tree[FACTS_KEY]}
    return json.dumps(question.row | tree, ensure_ascii=False)


def _view(path: Path, index: int) -> None:
    if index < 0:
        raise ValueError(f"--index must be at least 0, got {index}")
    count = 0
    for count, tree in enumerate(read_trees(path), start=1):
        if count > index:
            file = path.with_name(f"{path.stem}.{index}.html")
            write_view(tree, file)
            print(file)
            return
    if not count:
        raise ValueError(f"--view has no trees: {path} is empty, or not there")
    raise ValueError(f"--index must be below {count}, the trees in {path}, got {index}")


def _plot(args: Args) -> None:
    path = Path(args.files.plot)
    with closing(_grader(args)) as grader:
        _, is_right = answer_checks(grader)
        for file in draw_value_plots(judge(read_trees(path), is_right), path.parent):
            print(file)


def _infer_again(args: Args) -> None:
    path = Path(args.files.from_trees)
    with closing(_grader(args)) as grader:
        for line in offline_lines(path, args.search.width, grader):
            print(line)


def _grader(args: Args) -> Grader:
    grading = args.grading
    return Grader(conventions_of(grading), grading.grader_workers, grading.grader_timeout_s)
