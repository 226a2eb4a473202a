"""Offline pairs with the bundled model's tokenizer: texts, chat messages, spans, rows at fault."""

import json
import math
from dataclasses import replace

import datasets
import pytest
from transformers import AutoTokenizer

from understand_r1_zero.args import Args, DataArgs, SamplingArgs
from understand_r1_zero.args_preference import PreferenceArgs
from understand_r1_zero.args_supervised import SupervisedArgs, ValueArgs
from understand_r1_zero.preference_data import load_pairs
from understand_r1_zero.value_examples import load_value_examples

TEXTS = [
    {"prompt": "1 + 2 =", "chosen": " 3", "rejected": " 4 or so"},
    {"prompt": "2 + 2 =", "chosen": " 4", "rejected": " 5"},
]
USER = {"role": "user", "content": "1 + 2 ="}
GOOD = {"role": "assistant", "content": "3"}
BAD = {"role": "assistant", "content": "4"}


@pytest.fixture(scope="module")
def tokenizer(repository):
    return AutoTokenizer.from_pretrained(repository / "examples" / "tiny" / "model")


@pytest.fixture
def load(tmp_path, tokenizer):
    """Pairs of rows written to a file of the given name."""

    def load(
        rows,
        name="pairs.jsonl",
        max_prompt=1024,
        max_response=64,
        head="linear",
        end_token="",
        **flags,
    ):
        path = tmp_path / name
        if name.endswith(".parquet"):
            datasets.Dataset.from_list(rows).to_parquet(path)
        elif name.endswith(".json"):
            path.write_text(json.dumps(rows))
        else:
            path.write_text("\n".join(map(json.dumps, rows)))
        args = replace(
            Args(),
            preference=PreferenceArgs(preference_data=str(path), **flags),
            data=DataArgs(prompt_max_length=max_prompt),
            sampling=SamplingArgs(generate_max_length=max_response),
            value=ValueArgs(value_head=head),
            supervised=SupervisedArgs(sft_end_token=end_token),
        )
        return load_pairs(args, tokenizer)

    return load


@pytest.mark.parametrize("name", ["pairs.jsonl", "pairs.json", "pairs.parquet"])
def test_texts_stand_as_they_are_and_end(load, tokenizer, name):
    data = load(TEXTS, name)
    assert data.num_too_long == 0
    for pair, row in zip(data.pairs, TEXTS, strict=True):
        assert tokenizer.decode(pair.prompt_token_ids) == row["prompt"]
        for side in ("chosen", "rejected"):
            token_ids = getattr(pair, f"{side}_token_ids")
            assert tokenizer.decode(token_ids[:-1]) == row[side]
            assert token_ids[-1] == tokenizer.eos_token_id
        assert pair.chosen_spans is None


def test_steps_within_a_solution_do_not_end(load, tokenizer):
    (pair, _) = load(TEXTS, append_eos=False).pairs
    assert tokenizer.decode(pair.chosen_token_ids) == " 3"


def test_an_end_that_is_written_is_not_written_twice(load, tokenizer):
    rows = [TEXTS[0] | {"chosen": " 3<|endoftext|>"}]
    (pair,) = load(rows).pairs
    assert (pair.chosen_token_ids == tokenizer.eos_token_id).sum() == 1


def test_text_prompts_go_through_the_template(load, tokenizer):
    (pair, _) = load(TEXTS, preference_template="qwen_math").pairs
    assert tokenizer.decode(pair.prompt_token_ids).endswith(
        "<|im_start|>user\n1 + 2 =<|im_end|>\n<|im_start|>assistant\n"
    )


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": [USER], "chosen": [GOOD], "rejected": [BAD]},
        {"prompt": [USER], "chosen": [USER, GOOD], "rejected": [USER, BAD]},
        {"chosen": [USER, GOOD], "rejected": [USER, BAD]},
        {"prompt": "1 + 2 =", "chosen": [GOOD], "rejected": [BAD]},
        {"prompt": [USER], "chosen": "3", "rejected": "4"},
        {"prompt": "1 + 2 =", "chosen": [USER, GOOD], "rejected": "4"},
    ],
    ids=["answers", "conversations", "no prompt", "text prompt", "text answers", "mixed"],
)
@pytest.mark.parametrize("name", ["pairs.jsonl", "pairs.parquet"])
def test_chat_messages_go_through_the_chat_template(load, tokenizer, row, name):
    (pair,) = load([row], name).pairs
    assert tokenizer.decode(pair.prompt_token_ids) == (
        "<|im_start|>user\n1 + 2 =<|im_end|>\n<|im_start|>assistant\n"
    )
    assert tokenizer.decode(pair.chosen_token_ids) == "3<|im_end|>"
    assert tokenizer.decode(pair.rejected_token_ids) == "4<|im_end|>"


def test_conversations_may_part_after_several_turns(load, tokenizer):
    more = {"role": "user", "content": "and + 1?"}
    row = {"chosen": [USER, GOOD, more, BAD], "rejected": [USER, GOOD, more, GOOD]}
    (pair,) = load([row]).pairs
    assert "and + 1?" in tokenizer.decode(pair.prompt_token_ids)
    assert tokenizer.decode(pair.chosen_token_ids) == "4<|im_end|>"


def test_spans_of_characters_become_spans_of_tokens(load, tokenizer):
    text = "1 + 2 = 3\n3 + 4 = 7\nso 7"
    rows = [
        {
            "prompt": "1 + 2 + 4 =\n",
            "chosen": text,
            "rejected": text.replace("7", "8"),
            "chosen_spans": [[10, 19]],
            "rejected_spans": [[0, 9], [20, len(text)]],
        }
    ]
    (pair,) = load(rows).pairs
    ((start, end),) = pair.chosen_spans
    assert tokenizer.decode(pair.chosen_token_ids[start:end]) == "3 + 4 = 7"
    (_, first_end), (second, last) = pair.rejected_spans
    assert tokenizer.decode(pair.rejected_token_ids[:first_end]) == "1 + 2 = 3"
    assert tokenizer.decode(pair.rejected_token_ids[second:last]) == "so 8<|endoftext|>"


def test_evidence_columns_give_weights_and_labels(load):
    visits = [
        {"chosen_visits": 6, "rejected_visits": 2},
        {"chosen_visits": 3, "rejected_visits": 1},
    ]
    rows = [
        row | v | {"margin": n + 1} for n, (row, v) in enumerate(zip(TEXTS, visits, strict=True))
    ]
    pairs = load(rows, pair_weights="margin", soft_labels="visits").pairs
    assert [pair.weight for pair in pairs] == pytest.approx([2 / 3, 4 / 3])
    assert [pair.label_smoothing for pair in pairs] == [0.25, 0.25]


def test_whole_responses_end_as_the_policy_does(load, tokenizer):
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert end != tokenizer.eos_token_id
    rows = [TEXTS[0] | {"rejected_is_whole": False}]
    (pair,) = load(rows, end_token="<|im_end|>").pairs
    assert pair.chosen_token_ids[-1] == end
    assert pair.rejected_token_ids[-1] not in (end, tokenizer.eos_token_id)
    with pytest.raises(
        ValueError, match="--sft_end_token must be a token of --pretrain's tokenizer"
    ):
        load(rows, end_token="<|nobody|>")


@pytest.mark.parametrize("name", ["pairs.jsonl", "pairs.parquet"])
@pytest.mark.parametrize("append_eos", [True, False])
def test_a_row_says_which_response_is_whole(load, tokenizer, append_eos, name):
    rows = [
        TEXTS[0] | {"chosen_is_whole": True, "rejected_is_whole": False},
        TEXTS[1] | {"chosen_is_whole": None, "rejected_is_whole": not append_eos},
    ]
    pairs = load(rows, name, append_eos=append_eos).pairs
    whole = [
        getattr(pair, f"{side}_token_ids")[-1] == tokenizer.eos_token_id
        for pair in pairs
        for side in ("chosen", "rejected")
    ]
    assert whole == [True, False, append_eos, not append_eos]


def test_values_are_targets_at_the_last_token_of_the_text(load, tokenizer):
    """Before the end of sequence, whether it is appended, written or not there at all."""
    rows = [
        TEXTS[0] | {"chosen_value": 1, "rejected_value": -0.25, "rejected_is_whole": False},
        TEXTS[1]
        | {"chosen": " 4<|endoftext|>", "chosen_value": 0.5, "rejected_value": 0.75, "margin": 1},
    ]
    first, second = load(rows, pair_value_weight=0.1, pair_weights="none").pairs
    assert first.values == (1.0, -0.25) and second.values == (0.5, 0.75)
    for pair in (first, second):
        for token_ids, end in zip(
            (pair.chosen_token_ids, pair.rejected_token_ids), pair.value_ends, strict=True
        ):
            text = tokenizer.decode(token_ids[: end + 1])
            assert text == tokenizer.decode(token_ids).removesuffix("<|endoftext|>")
    assert first.value_ends[1] == len(first.rejected_token_ids) - 1
    assert first.value_ends[0] == len(first.chosen_token_ids) - 2
    assert all(pair.value_ends is None for pair in load(rows).pairs)
    assert [pair.values for pair in load(rows).pairs] == [(1.0, -0.25), (0.5, 0.75)]


def test_a_value_is_read_where_its_step_ends_as_in_a_value_model(load, tokenizer, tmp_path):
    steps = ["1+2=3\n", "3+4=7\n", "so 7"]
    text = "".join(steps)
    cuts = [len("".join(steps[: index + 1])) for index in range(3)]
    rows = [
        {
            "prompt": "1+2+4=\n",
            "chosen": text,
            "rejected": text.replace("7", "8"),
            "chosen_spans": [[0, cuts[index]]],
            "rejected_spans": [[2, 3], [1, cuts[index]]],
        }
        for index in range(3)
    ]
    pairs = load(rows, pair_margin_weight=1.0).pairs
    path = tmp_path / "values.jsonl"
    example = {"prompt": "1+2+4=\n", "steps": steps, "values": [0.0, 0.5, 1.0]}
    path.write_text(json.dumps(example))
    (expected,) = load_value_examples(replace(Args(), value=ValueArgs(value_data=str(path))))
    ends = expected.step_ends.tolist()
    assert [pair.value_ends for pair in pairs] == [(end, end) for end in ends]
    assert ends == sorted(set(ends)) and ends[-1] == len(pairs[0].chosen_token_ids) - 2


def test_a_token_across_the_end_of_a_step_is_not_where_it_is_worth_something(load, tokenizer):
    """The counted tokens lie in the span even in part; the value's has seen nothing behind it."""
    text = "3 = 3 <|im_end|>"
    row = TEXTS[0] | {"chosen": text, "chosen_spans": [[0, 9]]}
    (pair,) = load([row], pair_margin_weight=1.0).pairs
    ((_, last),) = pair.chosen_spans
    assert tokenizer.decode(pair.chosen_token_ids[:last]) == text
    assert tokenizer.decode(pair.chosen_token_ids[: pair.value_ends[0] + 1]) == "3 = 3 "


def test_other_columns_can_be_named(load):
    rows = [{"q": r["prompt"], "good": r["chosen"], "bad": r["rejected"]} for r in TEXTS]
    assert len(load(rows, prompt_key="q", chosen_key="good", rejected_key="bad").pairs) == 2
    with pytest.raises(ValueError, match=r"--chosen_key must be a column.*nearest is"):
        load(rows, prompt_key="q", rejected_key="bad")


def test_long_rows_are_dropped_and_counted(load):
    rows = [*TEXTS, {"prompt": "1", "chosen": " 3" * 100, "rejected": " 4"}]
    data = load(rows)
    assert (len(data.pairs), data.num_too_long) == (2, 1)
    assert load([*TEXTS, TEXTS[0] | {"prompt": "1 + " * 50}], max_prompt=40).num_too_long == 1
    with pytest.raises(ValueError, match="--generate_max_length 1 tokens leave none of 2 pairs"):
        load(TEXTS, max_response=1)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"prompt": "1"}, "no column 'chosen'"),
        ({"chosen": "1", "rejected": "2"}, "no column 'prompt'"),
        ({"chosen": [GOOD], "rejected": [BAD]}, "no first message in common"),
        (TEXTS[0] | {"chosen": 3}, "'chosen' is neither text nor a list of messages"),
        (TEXTS[0] | {"chosen": [{"text": "3"}]}, "'chosen' is neither text nor a list"),
        (TEXTS[0] | {"chosen": " "}, "'chosen' is empty"),
        (TEXTS[0] | {"chosen": []}, "'chosen' is empty"),
        (TEXTS[0] | {"rejected": " 3"}, "the chosen and the rejected response are the same"),
        ({"prompt": [USER], "chosen": [USER], "rejected": [BAD]}, "message of the assistant"),
        (TEXTS[0] | {"chosen_spans": [[0, 99]]}, "pairs [start, end) within its 2 characters"),
        (TEXTS[0] | {"chosen_spans": []}, "pairs [start, end) within"),
        (TEXTS[0] | {"margin": -1}, "'margin' must be a number above 0"),
        (TEXTS[0] | {"chosen_visits": 3}, "must be at least 1, not None"),
        (TEXTS[0] | {"chosen_value": 1}, "no 'rejected_value', where the other response has one"),
        (TEXTS[0] | {"rejected_value": 1}, "no 'chosen_value', where the other"),
        (TEXTS[0] | {"chosen_value": 1, "rejected_value": True}, "'rejected_value' must be a num"),
        (TEXTS[0] | {"chosen_value": "1", "rejected_value": 1}, "'chosen_value' must be a number"),
        (TEXTS[0] | {"chosen_value": math.nan, "rejected_value": 1}, "'chosen_value' must be a"),
        (TEXTS[0] | {"chosen_is_whole": 1}, "'chosen_is_whole' must be true or false, not 1"),
        (TEXTS[0] | {"rejected_is_whole": "no"}, "'rejected_is_whole' must be true or false"),
        (
            {"prompt": [USER], "chosen": [GOOD], "rejected": [BAD], "chosen_value": 1},
            "'chosen_value' is for text responses, not for chat messages",
        ),
        ("text", "an object with columns was expected"),
    ],
)
def test_rows_at_fault_are_named(load, row, reason):
    with pytest.raises(ValueError) as error:
        load([TEXTS[1], row])
    assert "1 of 2 rows cannot be used (counted from 0): row 1: " in str(error.value)
    assert reason in str(error.value)
    assert str(error.value).endswith("mend or remove them")


@pytest.mark.parametrize(
    ("flags", "row", "reason"),
    [
        (
            {"pair_value_weight": 0.1},
            TEXTS[0],
            "no 'chosen_value', which --pair_value_weight needs",
        ),
        (
            {"pair_margin_weight": 0.1},
            {"prompt": [USER], "chosen": [GOOD], "rejected": [BAD]},
            "a value head is read in text responses, not in chat messages",
        ),
        (
            {"pair_value_weight": 0.1, "head": "tanh"},
            TEXTS[0] | {"chosen_value": 1.5, "rejected_value": 0},
            "'chosen_value' must be a number within [-1, 1] (--value_head), not 1.5",
        ),
    ],
)
def test_rows_that_a_value_head_cannot_learn_from_are_named(load, flags, row, reason):
    fine = TEXTS[1] | {"chosen_value": 1, "rejected_value": -1}
    with pytest.raises(ValueError) as error:
        load([fine, row], **flags)
    assert "1 of 2 rows cannot be used (counted from 0): row 1: " + reason in str(error.value)


def test_what_is_no_file_or_no_template_is_refused(load, tokenizer):
    args = replace(Args(), preference=PreferenceArgs(preference_data="none.csv"))
    with pytest.raises(ValueError, match="--preference_data must be a "):
        load_pairs(args, tokenizer)
    with pytest.raises(ValueError, match="--preference_template must be one of"):
        load(TEXTS, preference_template="qwen")
