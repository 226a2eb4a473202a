import json
import os
import subprocess
import sys

import datasets
import pytest

from understand_r1_zero.sources import open_benchmarks, open_source, open_training

ROWS = [{"problem": f"{n} + 1?", "answer": str(n + 1)} for n in range(3)]


def save_suite(folder, **splits):
    suite = datasets.DatasetDict({k: datasets.Dataset.from_list(v) for k, v in splits.items()})
    suite.save_to_disk(folder)
    return str(folder)


def write_json(path, value):
    path.write_text(json.dumps(value))
    return str(path)


def write_lines(path, rows):
    path.write_text("\n\n".join(map(json.dumps, rows)) + "\n")
    return str(path)


def write_parquet(path, rows):
    datasets.Dataset.from_list(rows).to_parquet(path)
    return str(path)


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: write_lines(folder / "sums.jsonl", ROWS),
        lambda folder: write_lines(folder / "sums.json", ROWS),
        lambda folder: write_json(folder / "sums.json", ROWS),
        lambda folder: write_json(folder / "sums.json", {"data": ROWS}),
        lambda folder: write_parquet(folder / "sums.parquet", ROWS),
    ],
    ids=["jsonl", "json lines", "json list", "json data", "parquet"],
)
def test_every_kind_of_file_gives_the_same_rows(make, tmp_path):
    source = open_source(make(tmp_path), default_seed=0)
    assert source.name == "sums"
    assert list(source.tables[""].rows) == ROWS
    assert source.tables[""].columns == ("problem", "answer")


def test_folders_saved_by_datasets_with_and_without_splits(tmp_path):
    suite = save_suite(tmp_path / "suite", train=ROWS, test=ROWS[:1])
    assert {k: len(list(t.rows)) for k, t in open_source(suite, 0).tables.items()} == {
        "train": 3,
        "test": 1,
    }
    datasets.Dataset.from_list(ROWS).save_to_disk(tmp_path / "plain")
    assert list(open_source(str(tmp_path / "plain"), 0).tables[""].rows) == ROWS


def test_a_training_split_is_picked_by_exact_name(tmp_path):
    suite = save_suite(tmp_path / "suite", train=ROWS, test=ROWS[:1])
    name, table = open_training(suite, "test")
    assert name == "suite"
    assert len(list(table.rows)) == 1
    with pytest.raises(ValueError, match=r"train, test of .*got 'tests'; the nearest is test"):
        open_training(suite, "tests")


def test_benchmarks_are_called_after_their_split_file_generator_or_label(tmp_path):
    suite = save_suite(tmp_path / "suite", aime=ROWS, math=ROWS)
    lines = write_lines(tmp_path / "sums.jsonl", ROWS)
    benchmarks = open_benchmarks(
        f"{suite}, {lines},mine={lines},reasoning_gym:chain_sum?size=2&seed=4,"
        f"easy=reasoning_gym:chain_sum?size=2,hard={suite}"
    )
    assert list(benchmarks) == [
        "aime",
        "math",
        "sums",
        "mine",
        "chain_sum",
        "easy",
        "hard_aime",
        "hard_math",
    ]


def test_a_saved_suite_of_one_split_keeps_the_splits_name_unless_labelled(tmp_path):
    suite = save_suite(tmp_path / "suite", aime=ROWS)
    assert list(open_benchmarks(suite)) == ["aime"]
    assert list(open_benchmarks(f"mine={suite}")) == ["mine"]


def test_two_benchmarks_of_one_name_are_refused(tmp_path):
    lines = write_lines(tmp_path / "sums.jsonl", ROWS)
    with pytest.raises(ValueError, match=r"two benchmarks called 'sums'.*NAME=SOURCE"):
        open_benchmarks(f"{lines},{lines}")


def test_a_path_that_holds_an_equals_sign_is_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_lines(tmp_path / "a=b.jsonl", ROWS)
    assert list(open_benchmarks("a=b.jsonl")) == ["a=b"]


def test_no_eval_data_is_no_benchmark():
    assert open_benchmarks("") == {}


def test_settings_reach_the_generator_with_their_types():
    query = "seed=7&size=5&min_terms=2&max_terms=2&allow_negation=true"
    rows = list(open_source(f"reasoning_gym:chain_sum?{query}", 0).tables[""].rows)
    again = list(open_source(f"reasoning_gym:chain_sum?{query}", 99).tables[""].rows)
    other = list(open_source(f"reasoning_gym:chain_sum?{query}&seed=8", 0).tables[""].rows)
    assert len(rows) == 5
    assert [row["question"] for row in rows] == [row["question"] for row in again]
    assert [row["question"] for row in rows] != [row["question"] for row in other]


def test_training_and_benchmarks_draw_other_problems_by_default():
    train = open_training("reasoning_gym:gsm_symbolic?size=50", "train")[1]
    held_out = open_benchmarks("reasoning_gym:gsm_symbolic?size=50")["gsm_symbolic"]
    questions = {row["question"] for row in train.rows}
    assert not questions & {row["question"] for row in held_out.rows}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("reasoning_gym:chain_sums", "nearest is chain_sum"),
        ("reasoning_gym:chain_sum?max_term=3", "no setting 'max_term'; the nearest is max_terms"),
        ("reasoning_gym:chain_sum?max_terms", "key=value joined by &, got 'max_terms'"),
        ("reasoning_gym:chain_sum?min_terms=5&max_terms=3", "max_terms must be >= min_terms"),
        ("/no/such/file.jsonl", "file that exists"),
        ("../nowhere/at/all", "folder or a"),
        ("", "'.' is a folder that datasets did not save"),
    ],
)
def test_sources_that_cannot_be_read_say_why(source, message):
    with pytest.raises(ValueError, match=message):
        open_source(source, 0)


def test_a_hub_id_without_a_network_is_refused_in_one_line():
    code = "from understand_r1_zero.sources import open_source; open_source('main@some/thing', 0)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    last_line = done.stderr.strip().splitlines()[-1]
    assert last_line.startswith("ValueError: 'main@some/thing' is no file or folder here")
    assert "give its path" in last_line


def test_importing_the_module_imports_nothing_heavy():
    code = (
        "import sys, understand_r1_zero.data, understand_r1_zero.templates\n"
        "heavy = {'datasets', 'torch', 'transformers', 'reasoning_gym', 'pyarrow'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""
