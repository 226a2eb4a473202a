import pytest

from understand_r1_zero.search.codecs.registry import CODECS, load_codec
from understand_r1_zero.templates import TEMPLATES


@pytest.mark.parametrize("name", CODECS)
def test_a_codec_has_the_name_it_is_found_by(name):
    assert load_codec(name).name == name


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("solution", ["", "\n", "no format at all", "<step>", "Step 1:"])
def test_any_text_is_split_into_steps_that_join_to_it(name, solution):
    assert "".join(step.text for step in load_codec(name).split(solution)) == solution


@pytest.mark.parametrize(("name", "nearest"), [("xmll", "xml"), ("stepk", "step_k")])
def test_an_unknown_name_is_refused_with_the_nearest(name, nearest):
    with pytest.raises(ValueError, match=f"got '{name}'; the nearest is {nearest}$"):
        load_codec(name)


def test_an_unknown_extraction_is_refused():
    with pytest.raises(ValueError, match=r"extraction must be one of .* got 'last'"):
        load_codec("lines", extraction="last")


@pytest.mark.parametrize("name", ["lines", "paragraphs", "step_k", "step_k_zh", "self_explore"])
def test_codecs_of_plain_text_ask_by_the_template(name):
    template = TEMPLATES["qwen_math"]
    assert load_codec(name, template).prompt("2 + 3?") == template.render("2 + 3?", None)


def test_a_template_that_needs_a_tokenizer_gets_it():
    class Tokenizer:
        chat_template = "one"
        bos_token = None

        def apply_chat_template(self, messages, **_):
            return f"[{messages[0]['content'].partition(chr(10))[0]}]"

    codec = load_codec("lines", TEMPLATES["chat"], Tokenizer())
    assert codec.prompt("2 + 3?") == "[2 + 3?]"
