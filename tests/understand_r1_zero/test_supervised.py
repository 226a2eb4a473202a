"""Reading supervised examples: which columns count, which rows are refused, what is held out."""

import json
from dataclasses import replace

import pytest

from understand_r1_zero.args import Args, DataArgs
from understand_r1_zero.args_supervised import SupervisedArgs
from understand_r1_zero.supervised import load_examples
from understand_r1_zero.templates import render_qwen_math
from understand_r1_zero.tokenizer import load_tokenizer

END = "<|endoftext|>"


def load(path, rows, data=None, **flags):
    if path.suffix == ".parquet":
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    else:
        is_list = path.suffix == ".json"
        path.write_text(
            json.dumps(rows) if is_list else "".join(f"{json.dumps(r)}\n" for r in rows)
        )
    supervised = SupervisedArgs(sft_data=str(path), **flags)
    return load_examples(replace(Args(), supervised=supervised, data=data or DataArgs()))


def texts(example):
    tokenizer = load_tokenizer(Args().model)
    return tuple(
        tokenizer.decode(ids) for ids in (example.prompt_token_ids, example.completion_token_ids)
    )


@pytest.mark.parametrize("suffix", ["json", "jsonl", "parquet"])
@pytest.mark.parametrize(
    ("row", "prompt", "completion"),
    [
        ({"query": "1+1", "response": "2"}, render_qwen_math("1+1"), "2"),
        ({"problem": "1+1", "solution": "so 2"}, render_qwen_math("1+1"), "so 2"),
        ({"problem": "1+1", "answer": "2"}, render_qwen_math("1+1"), "2"),
        ({"problem": "1+1", "solution": "so 2", "answer": "2"}, render_qwen_math("1+1"), "so 2"),
        ({"prompt": "1+1=", "completion": "2"}, "1+1=", "2"),
    ],
)
def test_columns_decide_what_a_row_is(tmp_path, suffix, row, prompt, completion):
    read = load(tmp_path / f"data.{suffix}", [row, row])
    assert [texts(each) for each in read.examples] == [(prompt, completion + END)] * 2


def test_conversations_are_read_from_every_kind_of_file(tmp_path):
    messages = [{"role": "user", "content": "1+1"}, {"role": "assistant", "content": "2"}]
    for suffix in ("json", "jsonl", "parquet"):
        read = load(tmp_path / f"data.{suffix}", [{"messages": messages}])
        prompt, completion = texts(read.examples[0])
        assert prompt.endswith("<|im_start|>assistant\n")
        assert completion == "2<|im_end|>"


def test_given_keys_come_first(tmp_path):
    row = {"question": "1+1", "reply": "2", "prompt": "x", "completion": "y"}
    data = DataArgs(input_key="question", output_key="reply", prompt_template="no")
    assert texts(load(tmp_path / "a.jsonl", [row], data).examples[0]) == ("1+1", "2" + END)
    with pytest.raises(ValueError, match="--output_key must be a column"):
        load(tmp_path / "a.jsonl", [row], replace(data, output_key="answers"))


def test_a_generator_of_problems_can_be_learnt_from():
    source = SupervisedArgs(sft_data="reasoning_gym:chain_sum?size=3")
    read = load_examples(replace(Args(), supervised=source))
    assert len(read.examples) == 3


def test_unknown_columns_are_refused_with_those_that_are_read(tmp_path):
    with pytest.raises(ValueError, match=r"columns q, a, and none of messages.*--input_key"):
        load(tmp_path / "a.jsonl", [{"q": "1", "a": "2"}])


def test_bad_rows_are_named(tmp_path):
    good = {"query": "1+1", "response": "2"}
    rows = [good, {"query": "1"}, good | {"response": ""}, good | {"query": 7}, good]
    with pytest.raises(ValueError) as error:
        load(tmp_path / "a.jsonl", rows)
    message = str(error.value)
    assert "3 of 5 rows cannot be used" in message
    for part in (
        "row 1: no column 'response'",
        "row 2: 'response' is empty",
        "row 3: 'query' is int",
    ):
        assert part in message


def test_a_line_that_is_not_json_is_named(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"query": "1", "response": "2"}\n{"query": \n')
    supervised = SupervisedArgs(sft_data=str(tmp_path / "a.jsonl"))
    with pytest.raises(ValueError, match="row 1: line 2 is not JSON"):
        load_examples(replace(Args(), supervised=supervised))


def test_long_examples_are_left_out_and_counted(tmp_path):
    rows = [{"prompt": "1", "completion": "2" * n} for n in (1, 30, 2)]
    read = load(tmp_path / "a.jsonl", rows, sft_max_length=10)
    assert [texts(each)[1] for each in read.examples] == [f"2{END}", f"22{END}"]
    assert read.num_long == 1
    with pytest.raises(ValueError, match="--sft_max_length must be at least 3 tokens"):
        load(tmp_path / "a.jsonl", rows, sft_max_length=2)


def test_wrong_policy_rows_are_left_out_and_counted(tmp_path):
    row = {"content": "1+1", "summary": "so 2", "label": True, "real_answer": "2"}
    rows = [row, row | {"summary": "so 3", "label": False}, row | {"label": 0}, row | {"label": 1}]
    read = load(tmp_path / "a.jsonl", rows)
    expected = [(render_qwen_math("1+1"), "so 2" + END)] * 2
    assert [texts(each) for each in read.examples] == expected
    assert read.num_wrong == 2
    with pytest.raises(ValueError, match="row 1: 'label' is 'yes', not true or false"):
        load(tmp_path / "a.jsonl", [row, row | {"label": "yes"}])
    with pytest.raises(ValueError, match="the label of all 1 rows is false"):
        load(tmp_path / "a.jsonl", rows[1:2])
