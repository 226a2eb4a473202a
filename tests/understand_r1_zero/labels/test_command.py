"""The command label, on trees as a search leaves them: its files, its refusals, and who reads what it writes."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from tests.understand_r1_zero.labels.worlds import explored, forked, write_trees
from tests.understand_r1_zero.search.grown_trees import searched
from understand_r1_zero import __main__ as main
from understand_r1_zero.args import Args
from understand_r1_zero.args_preference import PreferenceArgs
from understand_r1_zero.args_supervised import SupervisedArgs, ValueArgs
from understand_r1_zero.cli import parse_training
from understand_r1_zero.labels.made import digest
from understand_r1_zero.labels.registry import RULES
from understand_r1_zero.preference_data import load_pairs
from understand_r1_zero.supervised import load_examples
from understand_r1_zero.tokenizer import load_tokenizer
from understand_r1_zero.value_examples import load_value_examples


@pytest.fixture
def trees(tmp_path):
    """Two problems, one with two trees: a third of all steps has code."""
    grown = [searched(60, seed) for seed in (1, 2, 3)]
    grown[2].record["question"] = "Another one?"
    for tree in grown:
        tree.record["search"]["policy"] = "tiny"
    return write_trees(tmp_path / "trees.jsonl", grown)


def label(source, rule, *flags):
    output = source.with_name(f"{rule}.jsonl")
    status = main.main(
        [
            "label",
            f"--label={rule}",
            f"--label_from={source}",
            f"--output={output}",
            *flags,
        ]
    )
    return status, output


def rows_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_values_of_searched_trees_are_read_by_value_training(trees):
    status, output = label(trees, "step_values", "--step_codec=xml", "--label_prefer=code")
    rows = rows_of(output)
    assert status == 0
    by_problem = [row["prompt"] for row in rows]
    assert len(set(by_problem)) == 2
    for prompt in set(by_problem):
        last = [row["values"][-1] for row in rows if row["prompt"] == prompt]
        assert last == sorted(last, reverse=True)
        assert last.count(1.0) <= 4
        assert last.count(-1.0) <= 4
    assert all(-1 <= value <= 1 for row in rows for value in row["values"])
    args = replace(Args(), value=ValueArgs(value_data=str(output), value_head="tanh"))
    examples = load_value_examples(args)
    decode = load_tokenizer(args.model).decode
    masked = 0
    for row, example in zip(rows, examples, strict=True):
        text = example.text
        trained = decode(text.completion_token_ids[text.is_trained])
        assert bool(text.is_trained.any()) == (row["values"][-1] == 1.0)
        if "trained_spans" in row and text.is_trained.any():
            masked += 1
            assert "<output>" not in trained
            assert trained.startswith("<step>")
            assert "Final Answer: 24" in trained
    assert masked


def test_pairs_and_solutions_of_searched_trees_are_read_by_their_training(trees):
    _, output = label(trees, "step_pairs", "--step_codec=xml", "--pair_top=2")
    args = Args()
    args = replace(
        args,
        data=replace(args.data, prompt_max_length=4000),
        sampling=replace(args.sampling, generate_max_length=4000),
        preference=PreferenceArgs(preference_data=str(output), pair_weights="margin"),
    )
    found = load_pairs(args, load_tokenizer(args.model))
    assert len(found.pairs) == len(rows_of(output)) > 5
    assert any(pair.chosen_spans or pair.rejected_spans for pair in found.pairs)
    _, output = label(trees, "solutions", "--step_codec=xml", "--label_right=0")
    examples = load_examples(replace(args, supervised=SupervisedArgs(sft_data=str(output))))
    assert not all(example.is_trained.all() for example in examples.examples)
    _, output = label(trees, "step_pairs", "--step_codec=xml", "--pair_sets", "--pair_top=2")
    value = ValueArgs(value_data=str(output), value_loss="ranking")
    assert {each.targets[0] for each in load_value_examples(replace(args, value=value))} == {0, 1}


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule != "first_pit"])
def test_the_same_input_gives_the_same_bytes(trees, rule):
    def files():
        label(trees, rule, "--step_codec=xml")
        output = trees.with_name(f"{rule}.jsonl")
        return [
            path.read_bytes() for path in (output, output.with_name(f"{output.name}.made.json"))
        ]

    first = files()
    assert files() == first
    assert len(first[0]) > 1000
    assert sorted(path.name for path in trees.parent.iterdir()) == sorted(
        ["trees.jsonl", f"{rule}.jsonl", f"{rule}.jsonl.made.json"]
    )


def test_how_labels_were_made_stands_beside_them(tmp_path, capsys):
    source = write_trees(
        tmp_path / "t.jsonl", [forked(search={"policy": "p", "preset": "default"})]
    )
    _, output = label(source, "step_values", "--label_wrong=1")
    made = json.loads((tmp_path / "step_values.jsonl.made.json").read_text())
    assert made == {
        "rule": "step_values",
        "flags": {"label_from": str(source), "label_wrong": 1},
        "step_codec": "lines",
        "prompt_template": "qwen_math",
        "inputs": {str(source): digest(source)},
        "made_by": {"policy": "p", "preset": "default"},
        "counts": {
            "problems": 1,
            "solved": 1,
            "trees": 1,
            "responses": 0,
            "rows": 2,
            "steps": 5,
            "left_out": {"solutions like another one, or beyond --label_wrong": 1},
        },
    }
    assert capsys.readouterr().out.splitlines() == [
        "problems  1",
        "solved    1         100.0%",
        "trees     1  1.0 a problem",
        "rows      2",
        "steps     5      2.5 a row",
        "",
        "left out",
        "  solutions like another one, or beyond --label_wrong  1",
        "",
        f"labels  {output}",
    ]


def test_grading_here_is_told(tmp_path):
    source = tmp_path / "r.jsonl"
    source.write_text(
        json.dumps({"prompt": "p", "preds": ["so \\boxed{4}", "\\boxed{5}", "no"], "answer": "4"})
        + "\n"
    )
    flags = ("--label_value=outcome", "--preset=strict")
    assert label(source, "step_values", *flags)[0] == 0
    made = json.loads((tmp_path / "step_values.jsonl.made.json").read_text())
    assert made["made_by"]["graded_here"]["answers"] == 2
    assert made["made_by"]["graded_here"]["preset"] == "strict"


def test_no_rows_no_file(tmp_path, capsys):
    source = write_trees(tmp_path / "t.jsonl", [explored("hard", [(0, 1), None])])
    status, output = label(source, "step_pairs")
    assert (status, output.exists()) == (1, False)
    assert "gives no step_pairs: 1 problems, 0 solved; left out: " in capsys.readouterr().err


def test_an_error_on_the_way_leaves_the_earlier_files_as_they_were(tmp_path, capsys):
    source = write_trees(tmp_path / "t.jsonl", [forked()])
    label(source, "step_values")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path != source}
    assert len(before) == 2
    with source.open("a") as file:
        file.write('{"question": "other", "answer": "4", "react": {"0.1": {}}}\n')
    assert label(source, "step_values")[0] == 1
    assert "line 2: node 0.1 has no parent 0; was the line cut?" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path != source} == before


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (("--label=step_pairs",), "--label step_pairs needs trees"),
        ((), "--label_value q needs trees"),
        (("--label=solutions", "--label_prefer=q"), "--label_prefer q needs trees"),
        (("--label=solution_pairs", "--pair_by=value"), "--pair_by value needs trees"),
    ],
)
def test_what_needs_trees_refuses_responses(tmp_path, capsys, flags, reason):
    source = tmp_path / "r.jsonl"
    source.write_text('{"prompt": "p", "preds": ["4"], "answer": "4"}\n')
    argv = ["label", f"--label_from={source}", f"--output={tmp_path / 'o.jsonl'}", *flags]
    assert main.main(argv) == 1
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "o.jsonl").exists()


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (("--label_right=-1",), "--label_right must be at least 0, got -1"),
        (("--label_distinct=distance", "--label_distance=1"), "--label_distance must be below 1"),
        (("--label_distance=0.3",), "changes nothing with --label_distinct text"),
        (("--label=step_pairs", "--pair_top=0"), "--pair_top must be at least 1"),
        (("--label=step_pairs", "--pair_margin=nan"), "--pair_margin must be at least 0, got nan"),
        (("--pair_top=2",), "--pair_top 2 changes nothing with --label step_values"),
        (("--label=solutions", "--label_value=rest"), "changes nothing with --label solutions"),
        (
            ("--label=step_pairs", "--label_value=soft"),
            "--label step_pairs compares by q or expected",
        ),
        (
            ("--label=solution_pairs", "--pair_margin=1"),
            "--pair_margin 1.0 changes nothing with --pair_by grade",
        ),
        (
            ("--label=solution_pairs", "--pair_by=value", "--pair_distances=0.5"),
            "--pair_distances 0.5 changes nothing with --pair_by value",
        ),
        (("--label_prefer=code",), "--label_prefer code is of steps with code"),
        (("--step_codec=xlm",), "--step_codec must be one of"),
        (("--output=",), "--output must be a file"),
        (("--label_from=none.jsonl",), "--label_from must be a file"),
    ],
)
def test_flags_that_cannot_be_are_refused_in_one_line(tmp_path, capsys, flags, reason):
    source = write_trees(tmp_path / "t.jsonl", [forked()])
    argv = [f"--label_from={source}", f"--output={tmp_path / 'o.jsonl'}", *flags]
    with pytest.raises(SystemExit) as stopped:
        main.main(["label", *argv])
    error = capsys.readouterr().err
    assert stopped.value.code == 2
    assert reason in error
    assert error.count("\n") == 1
    assert not (tmp_path / "o.jsonl").exists()


def test_the_input_is_not_written_over(tmp_path, capsys):
    source = write_trees(tmp_path / "t.jsonl", [forked()])
    with pytest.raises(SystemExit):
        main.main(["label", f"--label_from={source}", f"--output={source}"])
    assert "must be another file than --label_from" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flag", "command"),
    [
        ("--label=solutions", "label"),
        ("--collect_trees=2", "collect"),
        ("--verifiers=a=b", "verify"),
        ("--index=1", "search"),
    ],
)
def test_training_refuses_flags_of_other_commands(capsys, flag, command):
    with pytest.raises(SystemExit):
        parse_training([flag])
    assert f"is of the command {command}; drop it" in capsys.readouterr().err


def test_labels_need_no_engine(tmp_path):
    source = write_trees(tmp_path / "t.jsonl", [forked()])
    code = (
        "import sys; from understand_r1_zero.__main__ import main; status = main(sys.argv[1:]); "
        "print([name for name in ('torch', 'vllm', 'ray', 'deepspeed', 'transformers') if name in sys.modules])"
    )
    flags = ["label", "--label=solutions", f"--label_from={source}", f"--output={tmp_path / 'o'}"]
    done = subprocess.run(
        [sys.executable, "-c", code, *flags], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
