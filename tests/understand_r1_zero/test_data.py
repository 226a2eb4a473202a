import json
from pathlib import Path

import datasets
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from understand_r1_zero.data import (
    drop_leaked,
    drop_long,
    load_benchmarks,
    load_problems,
    parse_answers,
)
from understand_r1_zero.types import Problem

SHARED = Path(__file__).parents[3] / "shared" / "data"
needs_shared_data = pytest.mark.skipif(not SHARED.is_dir(), reason="no ../shared/data")


def write_lines(path, rows):
    path.write_text("\n".join(map(json.dumps, rows)))
    return str(path)


def rows_of(count):
    return [{"problem": f"{n} + 1?", "answer": n + 1} for n in range(count)]


@pytest.mark.parametrize(
    ("gold", "answers"),
    [
        ("142", ("142",)),
        (" \\frac{1}{2}\n", ("\\frac{1}{2}",)),
        (142, ("142",)),
        (142.0, ("142",)),
        (-131.1, ("-131.1",)),
        (1e-07, ("0.0000001",)),
        (True, ("True",)),
        (["2", "3"], ("2", "3")),
        (["2", "2 ", None, ""], ("2",)),
        ("['9.6\\n']", ("9.6",)),
        ("['$\\\\frac{1}{2 n+2}$', '7']", ("$\\frac{1}{2 n+2}$", "7")),
        (r"['\tfrac12', '\beta\right)']", (r"\tfrac12", r"\beta\right)")),
        ("\\left(\tfrac12\right)", (r"\left(\tfrac12\right)",)),
        ("[1, 2]", ("[1, 2]",)),
        ("[0, \\infty)", ("[0, \\infty)",)),
        ("['a', 1]", ("['a', 1]",)),
        ("48/2 = <<48/2=24>>24\n#### 72", ("72",)),
        ("#### 1,234,567.5", ("1234567.5",)),
        ("#### (1,200)", ("(1,200)",)),
        ("1,200", ("1,200",)),
        (None, ()),
        ("", ()),
        ("  ", ()),
        ("no answer here ####", ()),
        (float("nan"), ()),
        (float("inf"), ()),
        ([], ()),
        ("[]", ()),
        ([None, " "], ()),
        ({"value": 3}, ()),
    ],
)
def test_gold_answers(gold, answers):
    assert parse_answers(gold) == answers


@pytest.mark.parametrize(
    ("gold", "answer"), [("\tfrac12", r"\tfrac12"), (" \frac12", r"\frac12"), ("\times", r"\times")]
)
def test_a_lost_backslash_is_not_stripped(gold, answer):
    assert parse_answers(gold) == (answer,)


@example(["\tA"])
@given(st.lists(st.text()))
def test_a_list_written_as_text_means_the_list(golds):
    assert parse_answers(repr(golds)) == parse_answers(golds)


@given(st.text())
def test_any_text_has_only_stripped_answers(gold):
    assert all(answer and answer == answer.strip() for answer in parse_answers(gold))


def test_problems_carry_their_source_row_and_exact_text(tmp_path):
    source = write_lines(tmp_path / "sums.jsonl", [{"q": " 1+1? ", "a": "2"}, {"q": "2?", "a": 2}])
    problems = load_problems(source, "train", "q", "a", limit=10)
    assert problems == [
        Problem("sums/train", 0, " 1+1? ", ("2",)),
        Problem("sums/train", 1, "2?", ("2",)),
    ]


def test_the_limit_takes_the_first_rows_and_looks_at_no_others(tmp_path):
    source = write_lines(tmp_path / "sums.jsonl", [*rows_of(3), {"problem": "", "answer": ""}])
    assert [p.row for p in load_problems(source, "train", "problem", "answer", 3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="at least 1, got 0"):
        load_problems(source, "train", "problem", "answer", 0)


def test_rows_at_fault_are_named_and_counted(tmp_path):
    good, *faulty = [
        {"problem": "1?", "answer": "1"},
        {"problem": " ", "answer": "1"},
        {"problem": "2?"},
        {"problem": "3?", "answer": None},
        {"problem": ["4?"], "answer": "4"},
        "5?",
        {"answer": "6"},
        {"problem": "7?", "answer": "  "},
    ]
    source = write_lines(tmp_path / "bad.jsonl", [good, *faulty, good])
    with pytest.raises(ValueError) as refusal:
        load_problems(source, "train", "problem", "answer", 100)
    assert str(refusal.value) == (
        f"{source}: 7 of 9 rows cannot be used (counted from 0): "
        "row 1: 'problem' is empty; row 2: no column 'answer'; "
        "row 3: no gold answer in 'answer': 'None'; row 4: 'problem' is list, not text; "
        "row 5: an object with columns was expected, not str; and 2 more; mend or remove them"
    )


def test_lines_that_are_not_json_are_rows_at_fault(tmp_path):
    (tmp_path / "a.jsonl").write_text('{oops\n\n{"problem": "1?", "answer": "1"}\n5\n')
    with pytest.raises(ValueError, match=r"2 of 3 .* row 0: line 1 is not JSON: .*; row 2: an obj"):
        load_problems(str(tmp_path / "a.jsonl"), "train", "problem", "answer", 100)


def test_rows_at_fault_of_a_split_are_named_with_it(tmp_path):
    split = datasets.Dataset.from_list([{"problem": "1?", "answer": ""}])
    datasets.DatasetDict({"aime": split}).save_to_disk(tmp_path / "suite")
    with pytest.raises(ValueError, match=r"suite\[aime\]: 1 of 1 rows.*row 0: no gold answer"):
        load_benchmarks(str(tmp_path / "suite"), "all", "problem", "answer", 10)


def test_a_missing_column_is_refused_with_the_flag_and_the_nearest(tmp_path):
    source = write_lines(tmp_path / "sums.jsonl", rows_of(1))
    with pytest.raises(ValueError, match=r"--input_key .*has problem, answer, got 'problems'"):
        load_problems(source, "train", "problems", "answer", 1)
    with pytest.raises(ValueError, match=r"--output_key .*got 'ans'; the nearest is 'answer'"):
        load_problems(source, "train", "problem", "ans", 1)
    other = write_lines(tmp_path / "other.jsonl", [{"q": "1?", "a": "1"}])
    with pytest.raises(ValueError, match=r"--eval_input_key .*has q, a, got 'input'"):
        load_benchmarks(other, "all", "input", "a", 1)


def test_benchmarks_fall_back_on_the_standard_columns_and_say_so(tmp_path, caplog):
    source = write_lines(tmp_path / "sums.jsonl", rows_of(2))
    with caplog.at_level("INFO"):
        (benchmark,) = load_benchmarks(source, "all", "input", "answer", 9).values()
    assert [p.text for p in benchmark] == ["0 + 1?", "1 + 1?"]
    assert "has no column 'input' (--eval_input_key): reading 'problem'" in caplog.text
    assert len(caplog.records) == 1


def test_no_benchmark_may_be_called_as_all_together_are(tmp_path):
    source = write_lines(tmp_path / "sums.jsonl", rows_of(1))
    with pytest.raises(ValueError, match="no benchmark may be called 'average'"):
        load_benchmarks(f"average={source}", "all", "problem", "answer", 10)


def test_benchmarks_are_picked_by_exact_name(tmp_path):
    names = ("aime", "math", "mathematics")
    sources = ",".join(write_lines(tmp_path / f"{name}.jsonl", rows_of(2)) for name in names)
    assert list(load_benchmarks(sources, "all", "problem", "answer", 1)) == list(names)
    picked = load_benchmarks(sources, "mathematics, aime", "problem", "answer", 1)
    assert list(picked) == ["aime", "mathematics"]
    assert [len(benchmark) for benchmark in picked.values()] == [1, 1]
    with pytest.raises(ValueError, match="got 'mat'; the nearest is 'math'"):
        load_benchmarks(sources, "aime,mat", "problem", "answer", 1)


def test_a_generator_has_its_own_columns_whatever_the_flags_say():
    (problem,) = load_problems("reasoning_gym:chain_sum?size=9", "train", "query", "response", 1)
    assert problem.source == "chain_sum/train"
    assert "arithmetic problem" in problem.text
    (answer,) = problem.answers
    assert answer.removeprefix("-").isdigit()


def test_training_problems_of_a_benchmark_are_dropped():
    train = [Problem("t/train", n, text, ("1",)) for n, text in enumerate(["A  b?", "c?", "d?"])]
    benchmarks = {"x": [Problem("x", 0, "a B?\n", ("1",))], "y": [Problem("y", 0, "e", ("1",))]}
    assert drop_leaked(train, benchmarks) == (train[1:], 1)
    assert drop_leaked(train, {}) == (train, 0)
    with pytest.raises(ValueError, match="all 1 training problems are in the benchmarks x, y"):
        drop_leaked(train[:1], benchmarks)


def test_long_prompts_are_dropped_and_counted():
    problems = [Problem("t/train", n, "x" * n, ("1",)) for n in (3, 4, 5)]
    assert drop_long(problems, len, 4) == (problems[:2], 1)
    with pytest.raises(ValueError, match=r"at least 3 tokens, the shortest of 3 prompts, got 2"):
        drop_long(problems, len, 2)


@needs_shared_data
def test_the_published_evaluation_suite_is_read_whole():
    benchmarks = load_benchmarks(str(SHARED / "evaluation_suite"), "all", "input", "answer", 1000)
    assert {name: len(problems) for name, problems in benchmarks.items()} == {
        "aime": 30,
        "amc": 83,
        "math": 500,
        "minerva": 272,
        "olympiad_bench": 675,
    }
    assert benchmarks["amc"][0].answers == ("142",)
    assert benchmarks["minerva"][0].answers == ("9.6",)
    assert benchmarks["olympiad_bench"][1].answers == ("$\\frac{1}{2 n+2}$",)
    ids = [problem.id for problems in benchmarks.values() for problem in problems]
    assert len(set(ids)) == len(ids)


@needs_shared_data
@pytest.mark.parametrize(
    ("source", "keys", "count"),
    [
        ("train/asdiv_2k", ("problem", "answer"), 1788),
        ("train/aime_975", ("problem", "answer"), 975),
        ("gsm8k/train.jsonl", ("query", "response"), 7473),
        ("gsm8k/test.jsonl", ("query", "response"), 1319),
        ("math/test_5000.qaf.json", ("question", "answer"), 5000),
        ("rest_mcts/math_500.json", ("content", "answer"), 500),
        ("rest_mcts/scibench_thermo.json", ("content", "answer"), 67),
    ],
)
def test_published_data_are_read_whole(source, keys, count):
    problems = load_problems(str(SHARED / source), "train", *keys, limit=1_000_000)
    assert len(problems) == count
    if source.startswith("gsm8k"):
        assert all(answer.lstrip("-").isdigit() for p in problems for answer in p.answers)


@pytest.mark.parametrize(
    "row",
    [
        {"index": 0, "question": "1 + 1?", "answer": "2", "human_type": "algebra"},
        {"content": "1 + 1?", "answer": 2.0},
        {"query": "1 + 1?", "response": "1 + 1 = <<1+1=2>>2\n#### 2"},
    ],
)
def test_files_of_other_projects_are_read_without_naming_their_columns(tmp_path, row):
    path = tmp_path / "theirs.jsonl"
    path.write_text(json.dumps(row) + "\n")
    ((problem,),) = load_benchmarks(str(path), "all", "problem", "answer", 10).values()
    assert (problem.text, problem.answers) == ("1 + 1?", ("2",))
    (problem,) = load_problems(str(path), "train", "problem", "answer", 10)
    assert (problem.text, problem.answers) == ("1 + 1?", ("2",))
    with pytest.raises(ValueError, match="--input_key must be a column of"):
        load_problems(str(path), "train", "problme", "answer", 10)
