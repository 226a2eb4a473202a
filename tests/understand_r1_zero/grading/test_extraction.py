import time

import pytest

from understand_r1_zero.grading.extraction import (
    EXTRACTIONS,
    answer_tag,
    boxed,
    extraction_by_name,
)

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


OTHERS = [
    ("r1_distill", r"a thought </think> \boxed{5}", "5"),
    ("r1_distill", r"\boxed{5}", None),
    ("r1_distill", r"<think> \boxed{5}", None),
    ("r1_distill", r"a </think> b </think> \boxed{5}", None),
    ("hash", "16 - 3 = <<16-3=13>>13\n#### 1,234", "1,234"),
    ("hash", "#### 1\nno:\n#### 2\nbye", "2"),
    ("hash", "### 5", None),
    ("hash", "####", None),
    ("hash", "<think>#### 5", None),
    ("final_answer", "<p>\nFinal Answer: $5$\n</p>\n</step>", "$5$"),
    ("final_answer", "Final Answer: 5</p>", "5"),
    ("final_answer", "**Final Answer:** 3.5", "3.5"),
    ("final_answer", r"final answer: so \boxed{7} it is", "7"),
    ("final_answer", "Final Answer: The final answer is $5$. I hope it is correct.", "$5$"),
    ("final_answer", "Final Answer: 1\nFinal Answer: 2", "2"),
    ("final_answer", "Final Answer: 4<end_of_answer>", "4"),
    ("final_answer", "the answer is 5", None),
    ("final_answer", "Final Answer:", None),
    ("final_answer", "Final Answer: 5 </think> hm", None),
    ("sentence", "So the answer is 3.5.", "3.5"),
    ("sentence", "The answer is: $x=5$. Done.", "$x=5$"),
    ("sentence", "Answer: 12 apples\nBye", "12 apples"),
    ("sentence", "The answer to the question is **7**!", "7"),
    ("sentence", "the answer is 1. No, the answer is 2.", "2"),
    ("sentence", r"the answer is \boxed{4} here", "4"),
    ("sentence", "the answer isolates 5", None),
    ("sentence", "The answer is", None),
    ("sentence", "<think> the answer is 5", None),
    ("any", r"the answer is 1 \boxed{2} #### 3", "2"),
    ("any", r"\boxed{1} <answer>2</answer>", "2"),
    ("any", r"<answer> \boxed{3} </answer>", "3"),
    ("any", "the answer is 4\n#### 3", "3"),
    ("any", "the answer is 4", "4"),
    ("any", "Final Answer: 6", "6"),
    ("any", "I think it is 5", None),
    ("any", r"<think>\boxed{1}</think> I do not know", None),
    ("any", "<answer>5", None),
]


@pytest.mark.parametrize(("name", "response", "answer"), OTHERS)
def test_other_forms(name: str, response: str, answer: str | None) -> None:
    assert extraction_by_name(name)(response) == answer


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
        "answer is ",
        "answer to ",
        "final answer: ",
        "####",
    ],
)
def test_a_hundred_thousand_characters_take_no_time(piece: str) -> None:
    response = f"</think> <answer>{piece * (100_000 // len(piece))}"
    start_s = time.perf_counter()
    for extract in EXTRACTIONS.values():
        extract(response)
        extract(response + "</answer>")
    assert time.perf_counter() - start_s < 5.0  # quadratic would take a minute


def test_nested_boxes_a_hundred_thousand_deep() -> None:
    depth = 100_000
    assert boxed(r"\boxed{" * depth + "5" + "}" * depth) == "5"


def test_by_name() -> None:
    assert extraction_by_name("boxed") is boxed
    assert extraction_by_name("answer_tag") is answer_tag
    with pytest.raises(ValueError, match=r"boxed, answer_tag, .*, got 'none'"):
        extraction_by_name("none")
