"""The command search: questions in, searched trees out; and what is done with trees that are there."""

from contextlib import closing
from pathlib import Path

from actors.file_command import exit_status, tree_record, write_groups
from actors.offline import without_training
from understand_r1_zero.args import Args
from understand_r1_zero.continuing import places_done
from understand_r1_zero.evaluate import evaluation_sampling
from understand_r1_zero.grading.conventions import conventions_of
from understand_r1_zero.grading.grader import Grader
from understand_r1_zero.made_by import made_by
from understand_r1_zero.search.offline import judge
from understand_r1_zero.search.offline_table import answer_checks, offline_lines
from understand_r1_zero.search.questions import read_questions, tree_lines
from understand_r1_zero.search.records import question_of, read_trees
from understand_r1_zero.search.summary import summary_lines
from understand_r1_zero.search.value_plots import draw_value_plots
from understand_r1_zero.search.view import write_view
from understand_r1_zero.streaming import Request


def search(args: Args) -> int:
    """Run the command; returns the exit status."""
    files = args.files
    if files.view:
        return exit_status(lambda: _view(Path(files.view), files.index))
    if files.plot:
        return exit_status(lambda: _plot(args))
    if files.from_trees:
        return exit_status(lambda: _infer_again(args))
    return exit_status(lambda: _search(args))


def _search(args: Args) -> None:
    files = args.files
    if not files.output:
        raise ValueError("--output names no file; the searched trees go there, a JSON line each")
    source = files.qaf or args.benchmark_data
    if not source:
        raise ValueError("--qaf names no questions; give a file of them")
    questions = read_questions(source, args.evaluation)
    output = Path(files.output)
    lines = tree_lines(args.search.method)
    done = places_done(output, [question_of(question.row) for question in questions], lines)
    args = without_training(args)
    sampling = evaluation_sampling(args)
    requests = [
        Request(place, question.problem, sampling, is_search=True)
        for place, question in enumerate(questions)
    ]
    made = made_by(args)
    write_groups(args, requests, lambda g: tree_record(g, questions[g.index].row, made), done)
    print("\n".join(summary_lines(read_trees(output))))


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
