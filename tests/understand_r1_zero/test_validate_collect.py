"""The command collect refuses what it cannot do, in one line, and settles the method by what is collected."""

import pytest

from understand_r1_zero.args import Args
from understand_r1_zero.args_search import SearchArgs
from understand_r1_zero.cli import parse
from understand_r1_zero.made_by import made_by
from understand_r1_zero.validate_collect import settle_collect

BASE = Args(search=SearchArgs(method="mcts"))


def parsed(flags):
    return parse(flags.split(), BASE, "collect", settle_collect)


@pytest.fixture
def pairs(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.touch()
    return path


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("", "--output names no file"),
        ("--output o --collect_problems 0", "--collect_problems must be at least 1, or -1"),
        (
            "--output o --collect search --collect_trees 0",
            "--collect_trees must be at least 1, got 0",
        ),
        ("--output o --collect search --method sample", "needs a search, got --method sample"),
        ("--output o --collect search --oracle value", "--oracle value reads a model"),
        ("--output o --collect search --deterministic", "--deterministic cannot go with"),
        ("--output o --collect explore", "give a file of responses or pairs by --solutions"),
        ("--output o --collect explore --solutions lost.jsonl", "that exists, got 'lost.jsonl'"),
        ("--output o --collect explore --solutions {pairs} --explore_solutions -1", "at least 0"),
        (
            "--output o --collect explore --solutions {pairs} --mc_threshold 0.5",
            "counts are of all",
        ),
        (
            "--output o --collect explore --solutions {pairs} --mc_completions 0",
            "at least 1, got 0",
        ),
        ("--output o --collect explore --solutions {pairs} --step_temperature 0", "all be one"),
        ("--output o --collect explore --solutions {pairs} --step_codec line", "nearest is lines"),
    ],
)
def test_a_refusal_is_one_line(capsys, pairs, flags, words):
    with pytest.raises(SystemExit) as stopped:
        parsed(flags.format(pairs=pairs))
    said = capsys.readouterr().err
    assert stopped.value.code == 2 and said.count("\n") == 1 and words in said


def test_sampling_takes_no_search_along():
    args = parsed("--output o --step_codec xml --simulations 4 --deterministic")
    assert not args.is_searched and args.steps == Args().steps


def test_trees_are_of_the_method_given_or_mcts():
    assert parsed("--output o --collect search").search.method == "mcts"
    assert parsed("--output o --collect search --method maj").search.method == "maj"


def test_solutions_are_completed_whatever_the_method(pairs):
    flags = f"--output o --collect explore --solutions {pairs} --oracle value --simulations 3"
    args = parsed(flags)
    assert args.search == SearchArgs(method="cot", depth=32)
    assert parsed(f"{flags} --depth 7").search.depth == 7


def test_records_say_by_what_they_were_made():
    args = parsed(
        "--output o --collect search --pretrain p --search_oracle remote --remote_url http://x --preset lenient"
    )
    assert made_by(args) == {"policy": "p", "preset": "lenient", "oracle": "remote"}
    args = parsed("--output o --collect search --pretrain p --search_oracle remote --method maj")
    assert made_by(args)["oracle"] == "math", "the vote of maj needs no values"
