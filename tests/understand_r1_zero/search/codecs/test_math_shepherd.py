import pytest

from understand_r1_zero.search.codecs.math_shepherd import (
    LabelledSolution,
    labelled,
    read_labels,
    tagged,
)
from understand_r1_zero.search.codecs.registry import load_codec
from understand_r1_zero.search.codecs.step import Fault, Reason
from understand_r1_zero.search.step import Step

CODEC = load_codec("math_shepherd")
PROBLEM = "A shop sells 4 boxes of 6 eggs. 3 eggs are broken. How many are whole?"
STEPS = ("Step 1: There are 4 * 6 = <<4*6=24>>24 eggs.", "Step 2: 24 - 3 = 21. The answer is: 21")
TAGGED = (
    "A shop sells 4 boxes of 6 eggs. 3 eggs are broken. How many are whole? "
    "Step 1: There are 4 * 6 = <<4*6=24>>24 eggs. ки\nStep 2: 24 - 3 = 21. The answer is: 21 ки"
)


def test_a_solution_is_written_read_and_written_again():
    first = CODEC.parse(f"{STEPS[0]} ки", stop_reason=" ки")
    assert first == Step(f"{STEPS[0]} ки\n")
    final = CODEC.parse(STEPS[1], [first], stop_reason=" ки")
    assert final == Step(f"{STEPS[1]} ки\n", answer="21")
    assert CODEC.prompt(PROBLEM, [first, final]) == f"{TAGGED}\n"
    assert CODEC.split(first.text + final.text) == [first, final]


def test_rows_of_the_published_form_are_written_and_read():
    assert tagged(PROBLEM, STEPS) == TAGGED
    solution = LabelledSolution(PROBLEM, STEPS, (True, False))
    label = TAGGED.replace("eggs. ки", "eggs. +").replace("21 ки", "21 -")
    assert labelled(solution) == label
    assert read_labels(TAGGED, label) == solution


def test_signs_in_the_text_are_not_labels():
    problem, steps = "What is + - ?", ("Step 1: 3 -\n+ 2 +", "Step 2: + ")
    solution = LabelledSolution(problem, tuple(step.strip() for step in steps), (False, True))
    assert read_labels(tagged(problem, steps), labelled(solution)) == solution


def test_a_problem_that_speaks_of_step_1_keeps_it():
    problem = "Step 1: is the first floor. Who lives there?"
    row = tagged(problem, ["Step 1: The cat."])
    assert read_labels(row, row.replace("ки", "+")).problem_text == problem


def test_the_tag_inside_a_russian_word_is_none():
    text = "Step 1: руки и ноги ки\n"
    assert [step.text for step in CODEC.split(f"{text}Step 2: да ки")] == [text, "Step 2: да ки"]


@pytest.mark.parametrize(
    ("row_input", "row_label", "named"),
    [
        ("2 + 3? Step 1: 5", "2 + 3? Step 1: 5", "Step 1: 5"),
        ("2 + 3? It is 5 ки", "2 + 3? It is 5 +", "It is 5"),
        (TAGGED, TAGGED, "24 eggs. к"),
        (TAGGED, TAGGED.replace("ки", "+")[:-1], "The answer is: 21"),
        (TAGGED, "another problem Step 1: x +", "another problem"),
    ],
)
def test_rows_that_are_not_in_the_form_are_named(row_input, row_label, named):
    with pytest.raises(ValueError, match=named):
        read_labels(row_input, row_label)


@pytest.mark.parametrize(
    ("sample", "reason"),
    [
        ("", Reason.EMPTY),
        ("2 + 3 ки", Reason.NO_STEP),
        ("Step 2: 2 + 3 ки", Reason.WRONG_NUMBER),
        ("Step 1: ки", Reason.TOO_SHORT),
        ("Step 1: 2 + 3", Reason.NO_END),
        ("Step 1: руки", Reason.NO_END),
        ("Step 1: 2 + 3 ки\nand", Reason.TEXT_AFTER_END),
    ],
)
def test_why_a_sample_is_no_step(sample, reason):
    parsed = CODEC.parse(sample)
    assert isinstance(parsed, Fault)
    assert parsed.reason == reason
