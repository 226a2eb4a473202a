import pytest

from understand_r1_zero.search.codecs.registry import load_codec
from understand_r1_zero.search.codecs.step import Fault, Reason
from understand_r1_zero.search.step import Step
from understand_r1_zero.templates import TEMPLATES

CODEC = load_codec("step_k")
CHINESE = load_codec("step_k_zh", extraction="boxed")
FIRST = Step("Step 1: 2 + 3 = 5.\n")


@pytest.mark.parametrize(
    ("codec", "lines", "answer"),
    [
        (CODEC, ["Step 1: 2 + 3 = 5.\n", "Step 2: The answer is 5.\n"], "5"),
        (CHINESE, ["步骤1: 2 + 3 = 5。\n", "步骤2：所以 \\boxed{5}。\n"], "5"),
    ],
)
def test_a_solution_is_written_read_and_written_again(codec, lines, answer):
    first = codec.parse(lines[0], stop_reason="\n")
    final = codec.parse(lines[1].removesuffix("\n"), [first])
    assert [first, final] == [Step(lines[0]), Step(lines[1], answer=answer)]
    assert codec.prompt("2 + 3?", [first, final]) == "2 + 3?" + "".join(lines)
    assert codec.split("".join(lines)) == [first, final]


def test_the_prompt_is_the_template():
    codec = load_codec("step_k", TEMPLATES["qwen_math"])
    assert codec.prompt("2 + 3?", [FIRST]) == (
        TEMPLATES["qwen_math"].render("2 + 3?", None) + FIRST.text
    )


@pytest.mark.parametrize(
    "line", [" Step 1: 23\n", "Step 1 : 2 + 3\n", "Step1: 2 + 3\n", "Step 1: 2 + 3\r\n"]
)
def test_white_space_around_the_label_does_not_matter(line):
    assert CODEC.parse(line) == Step(line)


@pytest.mark.parametrize(
    ("sample", "steps", "reason"),
    [
        ("", [], Reason.EMPTY),
        ("2 + 3 = 5\n", [], Reason.NO_STEP),
        ("Stepwise: 2 + 3\n", [], Reason.NO_STEP),
        ("Step one: 2 + 3\n", [], Reason.NO_STEP),
        ("Step 2: 2 + 3\n", [], Reason.WRONG_NUMBER),
        ("Step 1: 2 + 4\n", [FIRST], Reason.WRONG_NUMBER),
        ("Step 1:\n", [], Reason.TOO_SHORT),
        ("Step 1: 5\n", [], Reason.TOO_SHORT),
        ("  Step 1: 5\n", [], Reason.TOO_SHORT),
        ("Step 2:  2 + 3  = 5.\n", [FIRST], Reason.REPEATS_STEP),
        ("Step 1: 2 + 3 Step 2: = 5\n", [], Reason.SEVERAL_STEPS),
        ("Step 1: 2 + 3\nStep 2: = 5\n", [], Reason.SEVERAL_STEPS),
        ("Step 1: 2 + 3", [], Reason.NO_ANSWER),
    ],
)
def test_why_a_sample_is_no_step(sample, steps, reason):
    parsed = CODEC.parse(sample, steps)
    assert isinstance(parsed, Fault)
    assert parsed.reason == reason


def test_a_truncated_sample_is_no_step():
    assert CODEC.parse("Step 1: 2 + 3", is_truncated=True).reason == Reason.TRUNCATED


def test_a_new_problem_of_the_template_is_no_step():
    codec = load_codec("step_k", TEMPLATES["few_shot"])
    assert codec.parse("Problem: 1 + 1?\n", [FIRST]).reason == Reason.REPEATS_PROMPT


@pytest.mark.parametrize(
    "line",
    ["Step 2: 2 + 3 = 5. Stepwise: x\n", "Step 2: By Step 1: x\n", "Step 2: 2 + 3\n"],
)
def test_steps_that_the_original_would_cut_or_take_for_repetitions(line):
    assert CODEC.parse(line, [FIRST]) == Step(line)


def test_a_given_solution_is_cut_at_labels_only():
    texts = [
        "Let us see.\nStep 1: a\nmore of it\n\n",
        "Step 2: by Step 1: b\n",
        "  Step 3: c\nso c\n",
    ]
    assert [step.text for step in CODEC.split("".join(texts))] == texts
    assert CODEC.split("no label\nat all") == [Step("no label\nat all")]
