import time

import pytest

from understand_r1_zero.grading.extraction import answer_tag, boxed, extraction_by_name

BOXED = [
    (r"so \boxed{5}.", "5"),
    (r"\boxed{1} and then \boxed{2}", "2"),
    (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
    (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
    (r"\boxed {7}", "7"),
    (r"\fbox{8}", "8"),
    (r"\boxed 5", "5"),
    (r"is $\boxed 42$, as asked", "42"),
    (r"\boxed -3.5.", "-3.5"),
    (r"\(\boxed \frac{1}{2}\)", r"\frac{1}{2}"),
    (r"\boxed{x = \boxed{5} + 1}", r"x = \boxed{5} + 1"),
    (r"\boxed{ \boxed{\frac{1}{2}} }", r"\frac{1}{2}"),
    (r"\boxed{5} and then \boxed{12", "5"),
    (r"{ an open brace \boxed{3}", "3"),
    (r"a closed brace } \boxed{3}", "3"),
    (r"\boxed{5}, in \boxed format as asked", "5"),
    (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix} is \boxed{1 \\}", r"1 \\"),
    (r"\boxed{}", None),
    (r"\boxed{ }", None),
    (r"\boxed{5", None),
    (r"\boxedx{5}", None),
    (r"\\boxed", None),
    ("the answer is 5", None),
    ("", None),
    (r"<think>\boxed{1}</think> it is \boxed{2}", "2"),
    (r"<think>\boxed{1}</think> it is 2", None),
    (r"<think> maybe \boxed{1}", None),
    (r"\boxed{1}</think> \boxed{2} <think> or \boxed{3}", "2"),
    (r"<think>a</think> \boxed{1} <think>b</think> \boxed{2}", "2"),
]

TAGGED = [
    ("a thought </think> <answer> 5 </answer>", "5"),
    ("</think><answer>5</answer>", "5"),
    ("</think>\n\n\t<answer>\n5\n</answer>", "5"),
    ("</think> <answer>5</answer> trailing", "5"),
    ("</think> <answer>1</answer> no: <answer>2</answer>", "2"),
    (r"</think> <answer>It is \boxed{7}.</answer>", "7"),
    ("</think> <answer>5</answer></answer>", "5"),
    ("maybe </think> <answer>1</answer> hm </think> <answer>2</answer>", "2"),
    ("</think> so <answer>5</answer>", None),
    ("<answer>5</answer>", None),
    ("<answer>5</answer> </think> hm", None),
    ("</think> <answer>5", None),
    ("</think> <answer> </answer>", None),
    ("</think> </answer> <answer>", None),
    (r"</think> \boxed{5}", None),
    ("", None),
]


@pytest.mark.parametrize(("response", "answer"), BOXED)
def test_boxed(response: str, answer: str | None) -> None:
    assert boxed(response) == answer


@pytest.mark.parametrize(("response", "answer"), TAGGED)
def test_answer_tag(response: str, answer: str | None) -> None:
    assert answer_tag(response) == answer


@pytest.mark.parametrize(
    "piece",
    [
        r"\boxed{",
        r"\boxed 1{",
        "{",
        "}",
        "\\",
        r"\boxed{}",
        "</think> <answer>",
        "<think>",
        " ",
        "1",
    ],
)
def test_a_hundred_thousand_characters_take_no_time(piece: str) -> None:
    response = f"</think> <answer>{piece * (100_000 // len(piece))}"
    start_s = time.perf_counter()
    boxed(response)
    answer_tag(response)
    answer_tag(response + "</answer>")
    assert time.perf_counter() - start_s < 5.0  # quadratic would take a minute


def test_nested_boxes_a_hundred_thousand_deep() -> None:
    depth = 100_000
    assert boxed(r"\boxed{" * depth + "5" + "}" * depth) == "5"


def test_by_name() -> None:
    assert extraction_by_name("boxed") is boxed
    assert extraction_by_name("answer_tag") is answer_tag
    with pytest.raises(ValueError, match="boxed, answer_tag, got 'none'"):
        extraction_by_name("none")
