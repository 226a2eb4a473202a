import pytest

from understand_r1_zero.search.codecs.registry import load_codec
from understand_r1_zero.search.codecs.step import Fault, Reason
from understand_r1_zero.search.step import Step
from understand_r1_zero.templates import TEMPLATES

LINES = load_codec("lines")
BOXED = load_codec("lines", TEMPLATES["few_shot"])
R1 = load_codec("lines", TEMPLATES["r1"])
PARAGRAPHS = load_codec("paragraphs")


def test_a_solution_is_written_read_and_written_again():
    first = BOXED.parse(" 2 + 3 = 5\n", stop_reason="\n")
    assert first == Step(" 2 + 3 = 5\n")
    final = BOXED.parse("The final answer is \\boxed{5}.", [first])
    assert final == Step("The final answer is \\boxed{5}.\n", answer="5")
    prompt = BOXED.prompt("2 + 3?", [first, final])
    solution = " 2 + 3 = 5\nThe final answer is \\boxed{5}.\n"
    assert prompt == TEMPLATES["few_shot"].render("2 + 3?", None) + solution
    assert BOXED.split(solution) == [first, final]


def test_stops_are_the_delimiter_and_those_of_the_template():
    assert LINES.stop == ("\n",)
    assert PARAGRAPHS.stop == ("\n\n",)
    assert BOXED.stop == ("\n", "\nProblem:")
    assert R1.stop == ("\n", "</answer>")


def test_a_delimiter_that_the_engine_cut_off_is_put_back():
    assert LINES.parse("2 + 3 = 5", stop_reason="\n") == Step("2 + 3 = 5\n")
    assert PARAGRAPHS.parse("a\nb", stop_reason="\n\n") == Step("a\nb\n\n")


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("So $x = \\boxed{\\frac{1}{2}}$.\n", "\\frac{1}{2}"),
        ("The answer is 5.\n", "5"),
        ("Final Answer: 5\n", "5"),
        ("#### 5\n", "5"),
        ("2 + 3 = 5\n", None),
    ],
)
def test_any_form_of_answer_is_found_without_a_template(line, answer):
    assert LINES.parse(line) == Step(line, answer=answer)


def test_a_template_tells_where_the_answer_stands():
    assert BOXED.parse("The answer is 5.\n").answer is None
    assert load_codec("lines", TEMPLATES["few_shot"], extraction="any").parse("#### 5\n").answer


def test_a_thought_names_no_answer_and_may_end_lines_before_it():
    steps = [R1.parse("maybe <answer>4</answer>\n"), R1.parse("no: 5 </think>\n")]
    assert [step.answer for step in steps] == [None, None]
    final = R1.parse("<answer> 5 </answer>", steps, stop_reason="</answer>")
    assert final == Step("<answer> 5 </answer>\n", answer="5")


def test_an_answer_tag_may_fill_lines():
    steps = [R1.parse("5 </think>\n")]
    for line in ("<answer>\n", "5\n", "</answer>"):
        steps.append(R1.parse(line, steps))
    assert [step.answer for step in steps] == [None, None, None, "5"]


def test_an_earlier_answer_of_a_given_prefix_is_not_the_new_one():
    prefix = LINES.split("The answer is 4.\nNo, that is wrong.\n")
    assert LINES.parse("2 + 3 = 5\n", prefix).answer is None


@pytest.mark.parametrize(
    ("codec", "sample", "reason"),
    [
        (LINES, "", Reason.EMPTY),
        (LINES, "\n", Reason.EMPTY),
        (LINES, "a\nb\n", Reason.SEVERAL_STEPS),
        (PARAGRAPHS, "a\n\nb\n\n", Reason.SEVERAL_STEPS),
        (LINES, "and so", Reason.NO_ANSWER),
        (BOXED, "The answer is 5.", Reason.NO_ANSWER),
        (BOXED, "Problem: 1 + 1?\n", Reason.REPEATS_PROMPT),
    ],
)
def test_why_a_sample_is_no_step(codec, sample, reason):
    parsed = codec.parse(sample)
    assert isinstance(parsed, Fault)
    assert parsed.reason == reason


def test_a_truncated_sample_is_no_step():
    assert LINES.parse("The answer is 5", is_truncated=True).reason == Reason.TRUNCATED


@pytest.mark.parametrize(
    ("solution", "texts"),
    [
        ("", []),
        (" \n", [" \n"]),
        ("a\nb", ["a\n", "b"]),
        ("\na\n\n\nb\n \n", ["\na\n\n\n", "b\n \n"]),
        ("a\r\nb\r\n", ["a\r\n", "b\r\n"]),
        ("a\u2028b\x0cc\n", ["a\u2028b\x0cc\n"]),
    ],
)
def test_only_line_feeds_end_a_line_and_blank_lines_are_no_steps(solution, texts):
    assert [step.text for step in LINES.split(solution)] == texts


def test_only_the_last_step_of_a_given_solution_is_final():
    solution = "The answer is 4.\nNo: the answer is 5.\n"
    assert [step.answer for step in LINES.split(solution)] == [None, "5"]


def test_paragraphs_may_have_several_lines():
    texts = ["a\nb\n\n", "c\n\n\n", "The answer is 5"]
    assert [step.text for step in PARAGRAPHS.split("".join(texts))] == texts
