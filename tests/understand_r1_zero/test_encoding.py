"""Prompts and completions as the sampler would see them, with the bundled tokenizer."""

import copy

import pytest

from understand_r1_zero.args import Args, ModelArgs
from understand_r1_zero.encoding import Encoder, last_tokens, load_encoder
from understand_r1_zero.table_rows import RowFault
from understand_r1_zero.templates import TEMPLATES, render_qwen_math
from understand_r1_zero.tokenizer import load_tokenizer

END_OF_TEXT, END = 0, 2


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer(ModelArgs())


@pytest.fixture(scope="module")
def encoder(tokenizer):
    return Encoder(tokenizer, TEMPLATES["qwen_math"], other_ends=[END])


def test_a_problem_is_asked_by_the_template_and_answered_up_to_the_end(encoder, tokenizer):
    example = encoder.problem("1 + 2 =", "1+2=3")
    assert example.prompt_token_ids.tolist() == tokenizer(render_qwen_math("1 + 2 =")).input_ids
    assert example.completion_token_ids.tolist() == [*tokenizer("1+2=3").input_ids, END_OF_TEXT]
    assert example.is_trained.all()
    assert example.num_tokens == len(example.prompt_token_ids) + len(example.completion_token_ids)


def test_no_token_reaches_over_the_boundary(encoder, tokenizer):
    # Whole, " answer" is one token; cut, none may join "Final" and "ly" or a space and its word.
    whole = tokenizer("the final answer").input_ids
    example = encoder.pair("the final ", "answer")
    ids = example.prompt_token_ids.tolist() + example.completion_token_ids.tolist()[:-1]
    assert ids == tokenizer("the final ").input_ids + tokenizer("answer").input_ids
    assert ids != whole
    assert tokenizer.decode(ids) == "the final answer"


@pytest.mark.parametrize(("text", "end"), [("5<|im_end|>", END), ("5<|endoftext|>", END_OF_TEXT)])
def test_an_end_that_is_there_is_not_doubled(encoder, tokenizer, text, end):
    ids = encoder.pair("2+3=", text).completion_token_ids.tolist()
    assert ids == [*tokenizer("5").input_ids, end]


def test_a_stop_string_ends_a_completion(tokenizer):
    encoder = Encoder(tokenizer, TEMPLATES["r1"])
    stopped = encoder.problem("2 + 3 =", "5 </think> <answer>5</answer>")
    assert stopped.completion_token_ids[-1] != END_OF_TEXT
    open_ended = encoder.problem("2 + 3 =", "5 </think> <answer>5")
    assert open_ended.completion_token_ids[-1] == END_OF_TEXT


def test_the_end_token_can_be_chosen(tokenizer):
    encoder = Encoder(tokenizer, TEMPLATES["no"], "<|im_end|>")
    assert encoder.pair("a", "b").completion_token_ids[-1] == END
    with pytest.raises(ValueError, match=r"--sft_end_token .*'<stop>'"):
        Encoder(tokenizer, TEMPLATES["no"], "<stop>")


def test_the_ends_of_the_model_are_known():
    ids = load_encoder(Args()).completion_ids("5<|im_end|>")
    assert ids[-1] == END


def test_every_assistant_turn_is_trained_and_nothing_else(encoder, tokenizer):
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "1+2"},
        {"role": "assistant", "content": "3"},
        {"role": "user", "content": "2+2"},
        {"role": "assistant", "content": "4"},
    ]
    example = encoder.chat(turns)
    prompt = tokenizer.decode(example.prompt_token_ids)
    assert prompt == tokenizer.apply_chat_template(
        turns[:2], tokenize=False, add_generation_prompt=True
    )
    completion, trained = example.completion_token_ids, example.is_trained
    assert tokenizer.decode(completion[trained]) == "3<|im_end|>4<|im_end|>"
    between = "\n<|im_start|>user\n2+2<|im_end|>\n<|im_start|>assistant\n"
    assert tokenizer.decode(completion[~trained]) == between
    assert completion[-1] == END
    whole = tokenizer.apply_chat_template(turns, tokenize=False)
    assert prompt + tokenizer.decode(completion) + "\n" == whole


def test_a_pair_of_message_lists_is_a_conversation(encoder):
    user, assistant = {"role": "user", "content": "1"}, {"role": "assistant", "content": "2"}
    pair, chat = encoder.pair([user], [assistant]), encoder.chat([user, assistant])
    assert pair.completion_token_ids.tolist() == chat.completion_token_ids.tolist()


@pytest.mark.parametrize(
    ("messages", "fault"),
    [
        ("hello", "not a list of messages"),
        ([], "not a list of messages"),
        ([{"role": "user", "content": "1"}], "no message of role 'assistant'"),
        ([{"role": "user"}], "message 0 is not an object"),
        ([{"role": "user", "content": 3}], "message 0 is not an object"),
        ([{"role": "assistant", "content": " "}], "message 0 of role 'assistant' is empty"),
    ],
)
def test_bad_conversations_are_told(encoder, messages, fault):
    with pytest.raises(RowFault, match=fault):
        encoder.chat(messages)


def test_a_chat_template_that_rewrites_or_refuses_is_told(tokenizer):
    turns = [{"role": role, "content": "1"} for role in ("user", "assistant") * 2]
    changed = copy.deepcopy(tokenizer)
    changed.chat_template = "{{ messages | length }}" + tokenizer.chat_template
    with pytest.raises(RowFault, match="anew"):
        Encoder(changed, TEMPLATES["no"]).chat(turns)
    changed.chat_template = "{{ raise_exception('no such role') }}"
    with pytest.raises(RowFault, match="no such role"):
        Encoder(changed, TEMPLATES["no"]).chat(turns)
    changed.chat_template = None
    with pytest.raises(ValueError, match="chat template"):
        Encoder(changed, TEMPLATES["no"]).chat(turns)


def test_a_step_ends_in_the_last_token_that_ends_within_it(tokenizer):
    text = "1+2=3\n3+4=7\n\\boxed{7}"
    ids = tokenizer(text).input_ids
    for cut in range(1, len(text) + 1):
        found, (place, _) = last_tokens(tokenizer, [text[:cut], text[cut:]])
        assert found == ids
        assert len(tokenizer.decode(ids[: place + 1])) <= max(cut, len(tokenizer.decode(ids[:1])))
        if place + 1 < len(ids):
            assert len(tokenizer.decode(ids[: place + 2])) > cut
