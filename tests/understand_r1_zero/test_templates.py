import sys
from types import SimpleNamespace

import pytest

from understand_r1_zero.templates import TEMPLATES, Template, load_template


def test_the_ancestors_templates_are_byte_exact():
    assert load_template("qwen_math").render("1+1?", None) == (
        "<|im_start|>system\nPlease reason step by step, and put your final answer within "
        "\\boxed{}.<|im_end|>\n<|im_start|>user\n1+1?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert load_template("r1").render("1+1?", None) == (
        "A conversation between User and Assistant. The User asks a question, and the Assistant "
        "solves it. The Assistant first thinks about the reasoning process in the mind and then "
        "provides the User with the answer. The reasoning process is enclosed within <think> "
        "</think> and answer is enclosed within <answer> </answer> tags, respectively, i.e., "
        "<think> reasoning process here </think> <answer> answer here </answer>.\n"
        "User: 1+1?\nAssistant: <think>"
    )
    assert load_template("no").render("  1+1?\n", None) == "  1+1?\n"


@pytest.mark.parametrize(
    ("name", "stop", "extraction"),
    [
        ("qwen_math", (), "boxed"),
        ("no", (), "boxed"),
        ("r1", ("</answer>",), "answer_tag"),
        ("chat", (), "boxed"),
    ],
)
def test_what_ends_a_response_and_where_its_answer_stands(name, stop, extraction):
    assert (load_template(name).stop, load_template(name).extraction) == (stop, extraction)


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)
def test_only_templates_that_need_a_tokenizer_fail_without_one(template):
    if template.needs_tokenizer:
        with pytest.raises(ValueError, match="needs a tokenizer"):
            template.render("1+1?", None)
    else:
        assert "1+1?" in template.render("1+1?", None)


@pytest.mark.parametrize("name", ["qwen_math", "r1", "no", "few_shot"])
def test_a_problem_is_not_read_as_a_format_string(name):
    assert "{x} %s \\boxed{}" in TEMPLATES[name].render("{x} %s \\boxed{}", None)


def test_few_shot_has_three_boxed_answers_and_stops_before_a_fourth_problem():
    template = load_template("few_shot")
    prompt = template.render("What is 2 + 2?", None)
    assert prompt.count("\\boxed{") == 3
    assert prompt.endswith("\n\nProblem: What is 2 + 2?\nSolution:")
    solutions = [part.partition("Solution:")[2] for part in prompt.split("Problem: ")[1:]]
    (stop,) = template.stop
    assert not any(stop in solution for solution in solutions)
    assert stop in solutions[0] + "Problem: "


def chat_tokenizer(chat_template, adds_bos=False):
    """A tokenizer whose chat template begins with a beginning-of-sequence token."""

    class Tokenizer:
        bos_token, bos_token_id, name_or_path = "<s>", 1, "some/model"

        def __init__(self):
            self.chat_template = chat_template

        def __call__(self, text):
            return SimpleNamespace(input_ids=[1] if adds_bos else [])

        def apply_chat_template(self, messages, tokenize, add_generation_prompt):
            assert not tokenize and add_generation_prompt
            turns = "".join(f"[{m['role']}]{m['content']}" for m in messages)
            return f"<s>{turns}[assistant]"

    return Tokenizer()


def test_chat_asks_for_a_boxed_answer_in_the_users_turn():
    prompt = load_template("chat").render("1+1?", chat_tokenizer("..."))
    assert prompt == (
        "<s>[user]1+1?\n\nPlease reason step by step, and put your final answer within "
        "\\boxed{}.[assistant]"
    )


def test_chat_leaves_the_begin_token_to_a_tokenizer_that_adds_it():
    prompt = load_template("chat").render("1+1?", chat_tokenizer("...", adds_bos=True))
    assert prompt.startswith("[user]1+1?")


def test_chat_without_a_chat_template_is_refused_with_the_remedy():
    with pytest.raises(ValueError, match=r"'some/model' has none; use qwen_math"):
        load_template("chat").render("1+1?", chat_tokenizer(None))


def test_unknown_names_are_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r"got 'qwen-math'; the nearest is qwen_math"):
        load_template("qwen-math")


def test_a_users_own_template_comes_by_import_path(tmp_path, monkeypatch):
    (tmp_path / "my_templates.py").write_text(
        "from understand_r1_zero.templates import Template\n"
        "SHOUT = Template('shout', lambda text, tokenizer: text.upper(), stop=('!',))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    template = load_template("my_templates:SHOUT")
    assert isinstance(template, Template)
    assert template.render("what?", None) == "WHAT?"
    with pytest.raises(ValueError, match=r"must name a Template.*got NoneType"):
        load_template("my_templates:WHISPER")
    sys.modules.pop("my_templates")


def test_a_missing_module_is_refused_but_its_own_import_errors_are_not_hidden(
    tmp_path, monkeypatch
):
    with pytest.raises(ValueError, match="there is no module 'no_such_module'"):
        load_template("no_such_module.inner:NAME")
    (tmp_path / "broken_template.py").write_text("import no_such_dependency\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_dependency"):
        load_template("broken_template:NAME")
