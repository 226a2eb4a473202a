"""Random steps with odd characters, stop strings and tags inside: written, read, and written again."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from understand_r1_zero.search.codecs.registry import CODECS, load_codec
from understand_r1_zero.search.codecs.step import Fault
from understand_r1_zero.search.step import Step, trainable_spans

ODD = [
    *(
        "\n",
        "\r\n",
        "\n\n",
        "\u2028",
        "\x0c",
        "é",
        "十",
        "𝔸",
        "$",
        "`",
        "```",
        "\\boxed{",
        "}",
        " ",
    ),
    *(
        "<step>",
        "</step>",
        "<p>",
        "</p>",
        "<code>",
        "</code>",
        "<output>",
        "</output>",
        "<question>",
    ),
    *("<end_of_step>", "<end_of_code>", "<end_of_output>", "<answer>", "<end_of_answer>"),
    *("Thought:", "\nThought:", "Action: None", "\nObservation:", "Final Answer: 5", "Question:"),
    *("Step 1: ", "\nStep 2: ", "步骤1: ", " ки", "The answer is 5", "<think>", "</think>"),
]
TEXTS = st.lists(st.one_of(st.sampled_from(ODD), st.text(max_size=6)), max_size=8).map("".join)
NAMES = pytest.mark.parametrize("name", CODECS)
BEGINNINGS = {
    "xml": "<step>\n<p>\n",
    "react": "Thought: ",
    "rstar": "<code>\n",
    "step_k": "Step {k}: ",
    "step_k_zh": "步骤{k}: ",
    "lines": "",
    "paragraphs": "",
    "self_explore": "",
    "math_shepherd": "Step {k}: ",
}
ENDINGS = {
    "xml": ["\nFinal Answer: 5\n</p>\n</step>", "<code>\n```python\n{c}\n```\n</code>"],
    "react": [
        "\n\nFinal Answer: 5\n<Solution complete>",
        "\n\nAction: python_interpreter\n\nAction Input:\n```python\n{c}\n```\n\nObservation:",
    ],
    "rstar": ["{c}\n<end_of_step>", "{c}\n<end_of_code>", "<end_of_answer>"],
    "math_shepherd": [" ки"],
}


def sampled(draw, name, num_steps):
    """What an engine gives back: some text, or some in nearly the right form, up to a stop string."""
    beginning = BEGINNINGS[name].format(k=num_steps + 1)
    begin = draw(st.sampled_from([beginning, beginning, ""]))
    ending = draw(st.sampled_from(["", *ENDINGS.get(name, ["\n", "\nThe answer is 5.\n"])]))
    text = begin + draw(TEXTS) + ending.replace("{c}", draw(TEXTS))
    stops = [(text.find(stop), stop) for stop in load_codec(name).stop if stop in text]
    if not stops:
        return text, None
    start, stop = min(stops)
    return text[: start + len(stop)], stop


@NAMES
@settings(deadline=None)
@given(data=st.data())
def test_any_sample_is_a_fault_or_a_step_that_begins_with_it(name, data):
    codec, steps = load_codec(name), []
    for _ in range(3):
        sample, stop = sampled(data.draw, name, len(steps))
        parsed = codec.parse(sample, steps, stop_reason=stop)
        if isinstance(parsed, Fault):
            continue
        assert parsed.text.startswith(sample)
        assert sample.strip()
        if stop:
            assert codec.parse(sample.removesuffix(stop), steps, stop_reason=stop) == parsed
        if parsed.code is not None:
            output = data.draw(TEXTS)
            parsed = codec.observe(parsed, output, steps)
            assert parsed.text.startswith(sample)
        steps.append(parsed)
        solution = "".join(step.text for step in steps)
        assert codec.prompt("2 + 3?", steps) == codec.prompt("2 + 3?") + solution
        for start, end in trainable_spans(steps):
            assert 0 <= start < end <= len(solution)


@NAMES
@settings(deadline=None)
@given(solution=TEXTS)
def test_any_solution_is_split_into_steps_that_join_to_it(name, solution):
    steps = load_codec(name).split(solution)
    assert "".join(step.text for step in steps) == solution
    assert all(step.answer is None for step in steps[:-1])


def fill(text):
    """The text without what has a meaning in the format, as thoughts and codes have it."""
    marks = (
        "<[^>]*>?|`+|[\r\n\x0b\x0c\x1c-\x1e\x85\u2028\u2029]|:|ки|[Aa]nswer|Step|步骤|#|\\\\boxed"
    )
    return re.sub(marks, "", text).strip()


# Self-Explore samples whole solutions, and cuts them by their lengths.
@pytest.mark.parametrize("name", [name for name in CODECS if name != "self_explore"])
@settings(deadline=None)
@given(data=st.data())
def test_written_steps_are_read_again_field_by_field(name, data):
    codec, steps = load_codec(name), []
    for k in range(1, 1 + data.draw(st.integers(1, 4))):
        thought = fill(data.draw(TEXTS)) or "x"
        code = fill(data.draw(TEXTS)) or "y"
        body = {
            "xml": f"<step>\n<p>\n{thought}\n</p>\n<code>\n```python\n{code}\n```\n</code>",
            "react": (
                f"Thought: {thought}\n\nAction: python_interpreter\n\nAction Input:\n```python\n"
                f"{code}\n```\n\nObservation:"
            ),
            "rstar": f"<code>\n# {thought}\n{code}\n<end_of_code>",
            "lines": f"{thought}\n",
            "paragraphs": f"{thought}\n\n",
            "step_k": f"Step {k}: number {k}, {thought}\n",
            "step_k_zh": f"步骤{k}: number {k}, {thought}\n",
            "math_shepherd": f"Step {k}: number {k}, {thought} ки",
        }[name]
        step = codec.parse(body, steps)
        assert isinstance(step, Step), step
        if step.code is not None:
            step = codec.observe(step, data.draw(TEXTS), steps)
        steps.append(step)
    assert codec.split("".join(step.text for step in steps)) == steps
