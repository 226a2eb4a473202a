"""Published rows with values, as examples of value models, with the bundled tokenizer."""

import json
from dataclasses import replace

import pytest

from understand_r1_zero.args import Args
from understand_r1_zero.args_supervised import ValueArgs
from understand_r1_zero.templates import render_qwen_math
from understand_r1_zero.tokenizer import load_tokenizer
from understand_r1_zero.value_examples import load_value_examples
from understand_r1_zero.value_formats import ValuedSolution, published_reader

SHEPHERD = {
    "input": "Add 1, 2 and 4. Step 1: 1+2=3 ки\nStep 2: 3+4=8 ки",
    "label": "Add 1, 2 and 4. Step 1: 1+2=3 +\nStep 2: 3+4=8 -",
    "task": "GSM8K",
}
NESTED = {
    "text": "Add 1, 2 and 4.",
    "mc_value": 0.5,
    "children": [
        {
            "text": "1+2=3",
            "mc_value": 0.75,
            "children": [
                {"text": "3+4=7", "mc_value": 1.0, "children": []},
                {"text": "3+4=8", "mc_value": 0.0, "children": []},
            ],
        },
        {"text": "1+2=4", "mc_value": 0.25, "children": []},
    ],
}
WAYS = [
    ValuedSolution("Add 1, 2 and 4.", ["1+2=3\n\n", "3+4=7\n\n"], [0.75, 1.0]),
    ValuedSolution("Add 1, 2 and 4.", ["1+2=3\n\n", "3+4=8\n\n"], [None, 0.0]),
    ValuedSolution("Add 1, 2 and 4.", ["1+2=4\n\n"], [0.25]),
]
PREFIXES = [
    {"solution_prefix": "Add 1, 2 and 4.", "mc_value": 0.5},
    {"solution_prefix": "Add 1, 2 and 4.\n\n1+2=3", "mc_value": 0.75},
    {"solution_prefix": "Add 1, 2 and 4.\n\n1+2=3\n\n3+4=7", "mc_value": 1.0},
    {"solution_prefix": "Add 1, 2 and 4.\n\n1+2=3\n\n3+4=8", "mc_value": 0.0},
    {"solution_prefix": "Add 1, 2 and 4.\n\n1+2=4", "mc_value": 0.25},
]


def read(row):
    reader = published_reader(row)
    assert reader is not None
    return reader(row)


def load(path, rows, **flags):
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return load_value_examples(replace(Args(), value=ValueArgs(value_data=str(path), **flags)))


def told(example):
    """Prompt, and the completion's text up to each target."""
    decode = load_tokenizer(Args().model).decode
    ids = example.text.completion_token_ids
    ends = [decode(ids[: place + 1]) for place in example.step_ends]
    return decode(example.prompt_token_ids), dict(zip(ends, example.targets.tolist(), strict=True))


def test_labels_are_right_and_wrong_steps(tmp_path):
    [example] = load(tmp_path / "a.jsonl", [SHEPHERD], value_loss="bce")
    first = "Step 1: 1+2=3\n"
    assert told(example) == (
        render_qwen_math("Add 1, 2 and 4."),
        {first: 1.0, f"{first}Step 2: 3+4=8\n": 0.0},
    )
    assert not example.text.is_trained.any()
    [example] = load(tmp_path / "a.jsonl", [SHEPHERD], value_head="tanh")
    assert example.targets.tolist() == [1.0, -1.0]


def test_a_beginning_has_its_value_at_its_end(tmp_path):
    prompt_answer = "Problem: Add 1, 2 and 4.\nSolution:\nStep 1: 1+2=3\nStep 2: 3+4=7\n"
    rows = [{"prompt_answer": prompt_answer, "label": 0.75}]
    [example] = load(tmp_path / "a.jsonl", rows)
    assert told(example) == (
        render_qwen_math("Add 1, 2 and 4."),
        {"Step 1: 1+2=3\nStep 2: 3+4=7\n": 0.75},
    )


def test_prefixes_begin_with_the_problem(tmp_path):
    found = load(tmp_path / "a.jsonl", PREFIXES)
    assert [told(example)[1] for example in found] == [
        {"1+2=3\n\n": 0.75},
        {"1+2=3\n\n3+4=7\n\n": 1.0},
        {"1+2=3\n\n3+4=8\n\n": 0.0},
        {"1+2=4\n\n": 0.25},
    ]
    assert {told(example)[0] for example in found} == {render_qwen_math("Add 1, 2 and 4.")}


def test_a_problem_with_an_empty_line_is_told_by_its_column():
    row = {"question": "Add.\n\n1, 2", "solution_prefix": "Add.\n\n1, 2\n\n3", "mc_value": 1.0}
    assert read(row) == [ValuedSolution("Add.\n\n1, 2", ["3\n\n"], [1.0])]
    del row["question"]
    assert read(row) == [ValuedSolution("Add.", ["1, 2\n\n3\n\n"], [1.0])]


@pytest.mark.parametrize(
    "row",
    [
        NESTED,
        {"question": "Add 1, 2 and 4.", "final_answer": "7", "reasoning_steps": NESTED},
        {"question": "Add 1, 2 and 4.", "answer": "7", "data": PREFIXES},
    ],
)
def test_a_tree_is_all_ways_down_it_and_each_step_counts_once(row):
    assert read(row) == WAYS


def test_ways_of_a_tree_are_examples_of_one_group(tmp_path):
    found = load(tmp_path / "a.jsonl", [NESTED, NESTED], value_loss="bce")
    assert [each.group for each in found] == [0, 0, 0, 1, 1, 1]
    assert [told(each)[1] for each in found[:3]] == [
        {"1+2=3\n\n": 0.75, "1+2=3\n\n3+4=7\n\n": 1.0},
        {"1+2=3\n\n3+4=8\n\n": 0.0},
        {"1+2=4\n\n": 0.25},
    ]
    # The right way alone is what a policy may learn.
    assert [bool(each.text.is_trained.any()) for each in found[:3]] == [True, False, False]


@pytest.mark.parametrize(
    ("good", "bad", "fault"),
    [
        (SHEPHERD, {"input": "Step 1: a ки", "label": "Step 1: b +"}, "label must be the input"),
        (SHEPHERD, {"input": 3, "label": "x"}, "input and label cannot be read"),
        (SHEPHERD, {"input": "Step 1: a ки", "label": "Step 1: a +"}, "there is no problem"),
        (
            {"prompt_answer": "Problem:P\nSolution:\na", "label": 0.5},
            {"prompt_answer": "P", "label": 0.5},
            "prompt_answer must be",
        ),
        (PREFIXES[1], {"solution_prefix": "Q\n\na"}, "no column 'mc_value'"),
        (PREFIXES[1], {"solution_prefix": "Q\n\na", "mc_value": "1"}, "'1', which is no finite"),
        (PREFIXES[1], {"solution_prefix": "Q\n\na", "mc_value": None}, "it has no value"),
        (NESTED, {"text": "Q", "mc_value": 1, "children": [{"mc_value": 1}]}, "cannot be read"),
    ],
)
def test_bad_rows_are_named(tmp_path, good, bad, fault):
    with pytest.raises(ValueError, match=r"1 of 2 rows cannot be used.*row 1: ") as error:
        load(tmp_path / "a.jsonl", [good, bad])
    assert fault in str(error.value)


def test_values_out_of_reach_and_files_without_steps_are_refused(tmp_path):
    with pytest.raises(ValueError, match="--value_loss and --value_head keep within"):
        load(
            tmp_path / "a.jsonl",
            [{"prompt_answer": "Problem:P\nSolution:\na", "label": 1.5}],
            value_loss="bce",
        )
    with pytest.raises(ValueError, match="no step with a value"):
        load(tmp_path / "a.jsonl", PREFIXES[:1])


def test_other_columns_are_of_no_format():
    assert published_reader(["prompt", "steps", "values"]) is None
    assert published_reader(["problem", "label"]) is None
