"""Which tokens of a completion are trained on, with the bundled tokenizer."""

import json
from dataclasses import replace

import pytest

from understand_r1_zero.args import Args
from understand_r1_zero.args_supervised import SupervisedArgs, ValueArgs
from understand_r1_zero.supervised import load_examples
from understand_r1_zero.tokenizer import load_tokenizer
from understand_r1_zero.value_examples import load_value_examples

TEXT = "1+2=3\n<output>9</output>\nSo 3"
START, END = TEXT.index("\n<output>") + 1, TEXT.index("So 3")
EOS = "<|endoftext|>"


def write(path, *rows):
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return str(path)


def fine_tuned(path, *rows):
    args = replace(Args(), supervised=SupervisedArgs(sft_data=write(path, *rows)))
    return load_examples(args).examples


def trained(example):
    decode = load_tokenizer(Args().model).decode
    return decode(example.completion_token_ids[example.is_trained])


def test_tokens_outside_the_spans_are_not_trained_and_the_end_goes_with_the_last_character(
    tmp_path,
):
    pair = {"prompt": "Q:", "completion": TEXT}
    rows = [
        pair,
        pair | {"trained_spans": [[0, START], [END, len(TEXT)]]},
        pair | {"trained_spans": [[0, START]]},
        pair | {"trained_spans": [[0, 3], [3, START]]},
        pair | {"trained_spans": None},
    ]
    found = [trained(each) for each in fine_tuned(tmp_path / "a.jsonl", *rows)]
    assert found == [
        TEXT + EOS,
        TEXT[:START] + TEXT[END:] + EOS,
        TEXT[:START],
        TEXT[:START],
        TEXT + EOS,
    ]


def test_of_a_response_too(tmp_path):
    row = {"query": "q", "response": TEXT, "trained_spans": [[END, len(TEXT)]]}
    (example,) = fine_tuned(tmp_path / "a.jsonl", row)
    assert trained(example) == TEXT[END:] + EOS


def test_a_token_that_reaches_over_an_end_is_not_trained(tmp_path):
    tokenizer = load_tokenizer(Args().model)
    text = "x = 4 apples \\boxed{4}"
    offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True).offset_mapping
    start, end = next((start, end) for start, end in offsets if end - start > 1)
    row = {"prompt": "Q:", "completion": text, "trained_spans": [[start + 1, len(text)]]}
    (example,) = fine_tuned(tmp_path / "a.jsonl", row)
    assert trained(example) == text[end:] + EOS


@pytest.mark.parametrize(
    ("spans", "fault"),
    [
        ([[0, 99]], "must be pairs"),
        ([[3, 3]], "must be pairs"),
        ([[0, True]], "must be pairs"),
        ([0, 3], "must be pairs"),
        ("0-3", "must be pairs"),
        ([], "no token lies within 'trained_spans'"),
    ],
)
def test_bad_spans_are_named(tmp_path, spans, fault):
    good = {"prompt": "Q:", "completion": TEXT}
    with pytest.raises(ValueError, match=rf"row 1: .*{fault}"):
        fine_tuned(tmp_path / "a.jsonl", good, good | {"trained_spans": spans})


def test_solutions_with_values_train_the_policy_on_their_spans_alone(tmp_path):
    row = {"prompt": "Q:", "steps": [TEXT[:END], TEXT[END:]], "values": [0.5, 1]}
    rows = [
        row | {"trained_spans": [[0, START], [END, len(TEXT)]]},
        row | {"trained_spans": [[0, START]], "values": [0.5, -1]},
        row,
    ]
    value = ValueArgs(value_data=write(tmp_path / "a.jsonl", *rows))
    examples = load_value_examples(replace(Args(), value=value))
    found = [trained(each.text) for each in examples]
    assert found == [TEXT[:START] + TEXT[END:] + EOS, "", TEXT + EOS]
    assert [len(each.step_ends) for each in examples] == [2, 2, 2]
