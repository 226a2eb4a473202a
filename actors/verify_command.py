"""The command verify: sampled solutions in, a comparison of verifiers with self-consistency out."""

import io
import json
import os
import sys
from collections.abc import Sequence
from concurrent.futures import as_completed
from contextlib import closing
from pathlib import Path

from actors.offline import without_training
from actors.start import environment
from understand_r1_zero.args import Args
from understand_r1_zero.charts import DPI
from understand_r1_zero.console import Console
from understand_r1_zero.grading.conventions import conventions_of
from understand_r1_zero.grading.grader import Grader
from understand_r1_zero.launch import Cluster, Placement, RemoteProcess
from understand_r1_zero.plan import plan
from understand_r1_zero.run_directory import RunDirectory, write_atomic
from understand_r1_zero.search.codecs.registry import load_codec
from understand_r1_zero.search.sampled import (
    SampledQuestion,
    distinct,
    read_sampled,
    with_equal_counts,
)
from understand_r1_zero.search.step_oracle import Scale
from understand_r1_zero.search.verifier_report import draw, table_lines, to_json
from understand_r1_zero.search.verifiers import (
    Row,
    Score,
    parse_verifiers,
    scores_in_file,
    scores_of,
    verifier_table,
)
from understand_r1_zero.templates import load_template
from understand_r1_zero.values import check_classifier, is_value_model
from understand_r1_zero.voting import Labels

Values = list[list[tuple[float, ...] | None]]
"""(questions, N, steps), None for a solution without an answer."""


def verify(args: Args) -> int:
    """Run the command; returns the exit status."""
    try:
        _verify(args)
    except (ValueError, OSError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: nothing is written", file=sys.stderr)
        return 130
    return 0


def _verify(args: Args) -> None:
    source = Path(args.verifying.verify)
    if not args.verifying.verify:
        raise ValueError("--verify names no file; give trees, as search --method maj writes them")
    verifiers = parse_verifiers(args.verifying.verifiers)
    for directory in map(Path, verifiers.values()):
        check_classifier(directory, 2, "--verifiers")
        if is_value_model(directory):
            check_classifier(directory, 1, "--verifiers")
    output = Path(args.files.output or source.with_suffix(".verified.json"))
    if not output.parent.is_dir():
        raise ValueError(f"--output must lie in a directory that is there, got {output}")
    with closing(Console(0)) as console:
        questions, labels, num_unknown = _read(args, source, console)
        scores = scores_in_file(questions)
        if verifiers:
            scores = _scores(args, verifiers, questions, console)
        rows = verifier_table(questions, labels, scores)
        num_samples = len(questions[0].solutions)
        facts = {
            "file": str(source),
            "verifiers": verifiers,
            "questions": len(questions),
            "unknown": num_unknown,
            "solutions": num_samples,
        }
        console.note(f"{len(questions)} questions of {source}, {num_samples} solutions of each")
        console.note("\n".join(["", *table_lines(rows), ""]))
        for file in _write(rows, facts, output):
            console.note(str(file))


def _read(
    args: Args, source: Path, console: Console
) -> tuple[list[SampledQuestion], Sequence[Labels], int]:
    """The questions whose gold answer is known, the classes of their answers, and how many are not known."""
    grading = args.grading
    codec = load_codec(args.steps.step_codec, load_template(args.data.prompt_template))
    conventions = conventions_of(grading)
    with closing(Grader(conventions, grading.grader_workers, grading.grader_timeout_s)) as grader:
        read = read_sampled(source, codec, grader, args.run.seed)
        questions = with_equal_counts(read)
        labels = [
            grader.label([s.answer for s in q.solutions], [s.status for s in q.solutions])
            for q in questions
        ]
    num_samples, num_unknown = len(questions[0].solutions), len(read) - len(questions)
    if num_more := sum(q.is_known and len(q.solutions) > num_samples for q in read):
        console.warn(
            f"{num_more} questions have more than {num_samples} solutions, as many as all have: the first count"
        )
    if num_unknown:
        console.warn(f"{num_unknown} questions have gold answers that cannot be read: left out")
    return questions, labels, num_unknown


def _scores(
    args: Args, verifiers: dict[str, str], questions: Sequence[SampledQuestion], console: Console
) -> dict[Score, list[list[float]]]:
    args = without_training(args)
    planned = plan(args, len(os.sched_getaffinity(0)))
    path = Path(args.run.save_path)
    # It has logs only, which another command may have written.
    run = RunDirectory(path) if (path / "logs").is_dir() else RunDirectory.create(path)
    scores: dict[Score, list[list[float]]] = {}
    with Cluster(args.cluster.ray_address, bundles=planned.bundles) as cluster:
        processes = [
            cluster.spawn(
                process.name,
                "actors.verifying:VerifyingActor",
                Placement(process.bundle, process.gpu_share, environment(cluster, process)),
                {"args": args, "cores": process.cores},
                run.logs / f"{process.name}.log",
                is_concurrent=True,
            )
            for process in planned.actors
        ]
        for name, directory in verifiers.items():
            scale, values = _values(processes, name, directory, questions, console)
            scores |= scores_of(name, values, scale)
        for closed in [process.submit("close") for process in processes]:
            closed.result()
    return scores


def _values(
    processes: Sequence[RemoteProcess],
    name: str,
    directory: str,
    questions: Sequence[SampledQuestion],
    console: Console,
) -> tuple[Scale, Values]:
    """What one verifier says of all solutions, each different one of a question read once."""
    asked = [(question.problem, list(distinct(question))) for question in questions]
    size = len(processes)
    opened = [p.submit("open", directory, asked[i::size]) for i, p in enumerate(processes)]
    found = [each.result() for each in opened]
    if num_cut := sum(num for _, num in found):
        console.warn(
            f"{num_cut} solutions are longer than {name} can read: their last steps have the lowest value"
        )
    futures = [processes[i % size].submit("read", *each) for i, each in enumerate(asked)]
    for done, future in enumerate(as_completed(futures), start=1):
        future.result()
        console.progress(f"values by {name}", done, len(futures))
    values: Values = []
    for question, (_, solutions), future in zip(questions, asked, futures, strict=True):
        own = dict(zip(solutions, future.result(), strict=True))
        values.append([None if s.answer is None else own[s.steps] for s in question.solutions])
    return found[0][0], values


def _write(rows: Sequence[Row], facts: dict[str, object], output: Path) -> list[Path]:
    image = io.BytesIO()
    draw(rows).savefig(image, format="png", dpi=DPI)
    picture = output.with_suffix(".png")
    write_atomic(output, json.dumps(to_json(rows, facts), indent=1, ensure_ascii=False) + "\n")
    write_atomic(picture, image.getvalue())
    return [output, picture]
