"""Reading solutions with values, with the bundled tokenizer."""

import json
from dataclasses import replace

import pytest

from understand_r1_zero.args import Args
from understand_r1_zero.args_supervised import ValueArgs
from understand_r1_zero.templates import render_qwen_math
from understand_r1_zero.tokenizer import load_tokenizer
from understand_r1_zero.value_examples import load_value_examples

STEPS = ["1+2=3\n", "3+4=7\n", "\\boxed{7}"]


def load(path, rows, **flags):
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return load_value_examples(replace(Args(), value=ValueArgs(value_data=str(path), **flags)))


def read_until(example, place):
    ids = example.text.completion_token_ids[: place + 1]
    return load_tokenizer(Args().model).decode(ids)


def test_a_solution_has_a_target_at_each_step_end(tmp_path):
    row = {"problem": "1+2+4", "steps": STEPS, "values": [0.5, 0.75, 1]}
    (example,) = load(tmp_path / "a.jsonl", [row])
    decode = load_tokenizer(Args().model).decode
    assert decode(example.text.prompt_token_ids) == render_qwen_math("1+2+4")
    assert decode(example.text.completion_token_ids) == "".join(STEPS) + "<|endoftext|>"
    found = [read_until(example, place) for place in example.step_ends]
    assert found == ["1+2=3\n", "1+2=3\n3+4=7\n", "".join(STEPS)]
    assert example.targets.tolist() == [0.5, 0.75, 1.0]
    assert example.text.is_trained.all()


def test_a_step_without_a_value_has_no_target_and_a_prompt_is_taken_as_given(tmp_path):
    row = {"prompt": "Q:", "steps": STEPS, "values": [None, -0.5, None]}
    (example,) = load(tmp_path / "a.jsonl", [row])
    assert read_until(example, example.step_ends[0]) == "1+2=3\n3+4=7\n"
    assert example.targets.tolist() == [-0.5]
    assert not example.text.is_trained.any()


def test_right_and_wrong_continuations_are_a_group(tmp_path):
    row = {"prompt": "1+2=3\n", "pos": ["3+4=7", "4+3=7"], "neg": ["3+4=8"], "pos_count": 2}
    found = load(tmp_path / "a.jsonl", [row, row], value_loss="ranking")
    assert [each.group for each in found] == [0, 0, 0, 1, 1, 1]
    assert [each.targets.tolist() for each in found] == [[1.0], [1.0], [0.0]] * 2
    assert [read_until(each, each.step_ends[0]) for each in found[:3]] == [
        "3+4=7",
        "4+3=7",
        "3+4=8",
    ]
    tanh = load(tmp_path / "a.jsonl", [row], value_head="tanh")
    assert [each.targets.tolist() for each in tanh] == [[1.0], [1.0], [-1.0]]


GOOD = {"prompt": "Q:", "steps": ["a", "b"], "values": [0, 1]}


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"values": [1]}, "1 values for 2 steps"),
        ({"values": [None, None]}, "has no number"),
        ({"values": [True, 1]}, "True, which is no finite number"),
        ({"values": ["1", 1]}, "'1', which is no finite number"),
        ({"values": [float("nan"), 1]}, "nan, which is no finite number"),
        ({"values": "1"}, "'values' is not a list"),
        ({"steps": []}, "'steps' is not a list with something in it"),
        ({"steps": ["a", " "]}, "'steps' has no text at 1"),
        ({"prompt": None}, "'prompt' is NoneType, not text"),
    ],
)
def test_bad_rows_are_named(tmp_path, change, fault):
    with pytest.raises(ValueError, match=r"1 of 2 rows cannot be used.*row 1: ") as error:
        load(tmp_path / "a.jsonl", [GOOD, GOOD | change])
    assert fault in str(error.value)


@pytest.mark.parametrize(
    ("flags", "value", "is_allowed"),
    [
        ({"value_loss": "bce"}, 1.5, False),
        ({"value_loss": "bce"}, -0.5, False),
        ({"value_loss": "bce"}, 0.3, True),
        ({"value_loss": "ranking"}, -1, False),
        ({"value_head": "tanh"}, -1, True),
        ({"value_head": "tanh"}, 1.1, False),
        ({}, 17, True),
    ],
)
def test_targets_that_cannot_be_reached_are_refused(tmp_path, flags, value, is_allowed):
    rows = [GOOD | {"values": [0, value]}]
    if is_allowed:
        assert load(tmp_path / "a.jsonl", rows, **flags)[0].targets[1] == pytest.approx(value)
    else:
        with pytest.raises(ValueError, match="--value_loss and --value_head keep within"):
            load(tmp_path / "a.jsonl", rows, **flags)


def test_other_columns_are_refused(tmp_path):
    with pytest.raises(ValueError, match="columns problem, answer; needed are one of prompt"):
        load(tmp_path / "a.jsonl", [{"problem": "1", "answer": "1"}])
