import pytest
from hypothesis import given
from hypothesis import strategies as st

from understand_r1_zero.search.codecs.registry import load_codec
from understand_r1_zero.search.codecs.step import cut, ended, with_line_end, with_stop
from understand_r1_zero.search.step import Step, trainable_spans
from understand_r1_zero.templates import load_template


@pytest.mark.parametrize(
    ("sample", "stop_reason", "text"),
    [
        ("a", None, "a"),
        ("a", "</step>", "a</step>"),
        ("a</step>", "</step>", "a</step>"),
        ("a</step>\n", "</step>", "a</step>\n"),
    ],
)
def test_a_stop_string_is_put_back_once(sample, stop_reason, text):
    assert with_stop(sample, stop_reason) == text


@pytest.mark.parametrize(
    ("text", "line_end", "ended"),
    [
        ("a", "\n", "a\n"),
        ("a\n", "\n", "a\n"),
        ("a\n\n\n", "\n", "a\n\n\n"),
        ("a\n", "\n\n", "a\n\n"),
        ("a\n ", "\n", "a\n \n"),
        ("", "\n", "\n"),
    ],
)
def test_line_ends_are_added_up_to_their_number(text, line_end, ended):
    assert with_line_end(text, line_end) == ended


@given(st.text("a \n", max_size=30), st.sets(st.integers(0, 30)))
def test_pieces_join_to_the_text_and_none_is_blank_unless_all_is(text, positions):
    pieces = cut(text, sorted(position for position in positions if position <= len(text)))
    assert "".join(pieces) == text
    assert all(piece.strip() for piece in pieces) or len(pieces) == 1


def test_a_blank_piece_goes_to_the_one_before_and_a_first_one_to_the_next():
    assert cut("  a \n b", [2, 3, 5]) == ["  a \n", " b"]


def test_neighbouring_spans_are_one():
    observed = Step("run -> 5\n", "run", "5", observation_start=3)
    steps = [Step("a\n"), Step("b\n"), observed, Step("c\n"), observed]
    assert trainable_spans(steps) == [(0, 7), (13, 18)]
    assert trainable_spans([observed, Step("")]) == [(0, 3)]
    assert trainable_spans(steps, with_observations=True) == [(0, 24)]
    assert trainable_spans([]) == []


def test_a_step_that_is_all_observation_has_no_span():
    assert trainable_spans([Step("5\n", observation="5", observation_start=0)]) == []


@pytest.mark.parametrize("name", ["lines", "step_k", "xml"])
def test_a_response_ends_as_a_searched_solution_does(name):
    codec = load_codec(name, load_template("no"))
    whole = {
        "lines": ["1+1=2\n", "\\boxed{2}"],
        "step_k": ["Step 1: 1+1=2\n", "Step 2: The answer is \\boxed{2}."],
        "xml": ["<step>\n<p>\nIt is 2.\n</p>\n<p>\nFinal Answer: 2\n</p>\n</step>"],
    }[name]
    response = codec.split("".join(whole))
    assert [step.text for step in response] == whole
    searched = codec.parse(whole[-1], response[:-1])
    assert isinstance(searched, Step)
    found = ended(response, codec)
    assert [step.text for step in found] == [*whole[:-1], searched.text]
    assert found[-1].answer == "2"
    assert found[-1].text == whole[-1] + "\n"
    assert ended(found, codec) == found, "a searched solution stays as it is"
    assert ended([], codec) == []
