"""Commands beside training: `python -m understand_r1_zero COMMAND [flags]`."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

PROGRAM = "python -m understand_r1_zero"
USAGE = """usage: python -m understand_r1_zero COMMAND [flags]

  evaluate   Score --pretrain on --eval_data; flags as of train_zero_math.py (--help lists them).
  collect    Sample, search or explore (--collect) training problems into --output, for labels.
  search     Search --qaf with --method into trees; --from, --view and --plot take trees that are there.
  label      Make labels of --label_from, trees or responses, by the rule --label, into --output.
  verify     Compare --verifiers with majority votes on the sampled solutions of --verify.
  grade      Grade anyone's completions: grade FILE --answer_key answer --response_key responses
  plots      Draw a run's plots again: plots RUN_DIRECTORY
"""


def main(argv: Sequence[str]) -> int:
    """Run one command; returns the exit status."""
    commands: dict[str, Callable[[Sequence[str]], int]] = {
        "evaluate": _evaluate,
        "collect": _collect,
        "search": _search,
        "label": _label,
        "verify": _verify,
        "grade": _grade,
        "plots": _plots,
    }
    command = commands.get(argv[0]) if argv else None
    if command is None:
        print(USAGE, end="", file=sys.stderr if argv and argv[0] != "--help" else sys.stdout)
        return 2 if argv and argv[0] not in ("--help", "-h") else 0
    return command(argv[1:])


def _evaluate(argv: Sequence[str]) -> int:
    from actors.offline import evaluate_offline
    from understand_r1_zero import cli

    return evaluate_offline(cli.parse(argv, program=f"{PROGRAM} evaluate"))


def _collect(argv: Sequence[str]) -> int:
    from actors.collect_command import collect
    from understand_r1_zero import cli
    from understand_r1_zero.args import Args
    from understand_r1_zero.args_search import SearchArgs
    from understand_r1_zero.validate_collect import settle_collect

    base = Args(search=SearchArgs(method="mcts"))
    return collect(cli.parse(argv, base, f"{PROGRAM} collect", settle_collect))


def _search(argv: Sequence[str]) -> int:
    from actors.search_command import search
    from understand_r1_zero import cli
    from understand_r1_zero.args import Args
    from understand_r1_zero.args_search import SearchArgs

    base = Args(search=SearchArgs(method="mcts"))
    return search(cli.parse(argv, base, f"{PROGRAM} search"))


def _label(argv: Sequence[str]) -> int:
    from understand_r1_zero import cli
    from understand_r1_zero.labels.command import label

    return label(cli.parse_labels(argv, f"{PROGRAM} label"))


def _verify(argv: Sequence[str]) -> int:
    from actors.verify_command import verify
    from understand_r1_zero import cli
    from understand_r1_zero.args import Args
    from understand_r1_zero.args_search import SearchArgs

    # What sampled the solutions: flags of steps are then read.
    base = Args(search=SearchArgs(method="maj"))
    return verify(cli.parse(argv, base, f"{PROGRAM} verify"))


def _grade(argv: Sequence[str]) -> int:
    from understand_r1_zero.grade import grade

    return grade(argv)


def _plots(argv: Sequence[str]) -> int:
    from understand_r1_zero.plots import draw_plots

    if len(argv) != 1:
        print("usage: python -m understand_r1_zero plots RUN_DIRECTORY", file=sys.stderr)
        return 2
    try:
        for file in draw_plots(Path(argv[0])):
            print(file)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
