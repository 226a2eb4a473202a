import pytest

from understand_r1_zero.search.codecs.rstar import RstarCodec
from understand_r1_zero.search.codecs.step import Fault, Reason
from understand_r1_zero.search.step import Step, trainable_spans

CODEC = RstarCodec()
FIRST = "<code>\n# Step 1: Count the eggs\neggs = 4 * 6\n<end_of_step>"
SECOND = "\n\n# Step 2: Take the broken ones off\nprint(eggs - 3)\n<end_of_code>"
ANSWER = "\n<answer>There are \\boxed{21} eggs.<end_of_answer>"
SOLUTION = f"{FIRST}{SECOND}\n<output>21<end_of_output>{ANSWER}"
OPEN = [Step(FIRST, "# Step 1: Count the eggs\neggs = 4 * 6", "")]


def parse(sample, steps=(), **ending):
    return CODEC.parse(sample, steps, **ending)


def test_a_solution_is_written_read_and_written_again():
    question = CODEC.prompt("How many?")
    assert question == (
        "<|user|>:\nHow many?\n<|assistant|>: Let's think step by step and solve the problem with code."
    )
    first = parse(FIRST, stop_reason="<end_of_step>")
    assert first == Step(FIRST, "# Step 1: Count the eggs\neggs = 4 * 6")
    second = CODEC.observe(parse(SECOND, [first], stop_reason="<end_of_code>"), "21\n", [first])
    code = "# Step 2: Take the broken ones off\nprint(eggs - 3)"
    assert second == Step(
        f"{SECOND}\n<output>21<end_of_output>", code, "21", observation_start=len(SECOND)
    )
    final = parse(ANSWER, [first, second], stop_reason="<end_of_answer>")
    assert final == Step(ANSWER, answer="21")
    steps = [first, second, final]
    assert CODEC.prompt("How many?", steps) == question + SOLUTION
    assert CODEC.split(SOLUTION) == steps
    own = "".join(SOLUTION[start:stop] for start, stop in trainable_spans(steps))
    assert own == FIRST + SECOND + ANSWER


def test_a_stop_string_that_the_engine_cut_off_is_put_back():
    for whole, steps, stop in (
        (FIRST, [], "<end_of_step>"),
        (SECOND, OPEN, "<end_of_code>"),
        (ANSWER, [], "<end_of_answer>"),
    ):
        assert parse(whole.removesuffix(stop), steps, stop_reason=stop) == parse(whole, steps)


def test_output_within_a_block_is_shown_at_its_end():
    first = CODEC.observe(parse(FIRST), "24")
    assert (first.text, first.observation, first.observation_start) == (FIRST, "24", None)
    second = CODEC.observe(parse(SECOND, [first]), "21", [first])
    assert second.text == f"{SECOND}\n<output>24\n21<end_of_output>"
    third = parse("\n<code>\n1\n<end_of_code>", [first, second])
    assert CODEC.observe(third, "1", [first, second]).observation == "1"


def test_indentation_is_kept():
    sample = "\n\n    total += 1\n\n<end_of_step>"
    assert parse(sample, OPEN).code == "    total += 1"


def test_boxes_in_the_program_are_not_the_answer():
    sample = "\n# the answer is \\boxed{3}\nx = 3\n<end_of_step>"
    assert parse(sample, OPEN).answer is None


def test_an_answer_may_stand_in_a_sentence():
    assert parse("<answer>The answer is 21.<end_of_answer>").answer == "21"


@pytest.mark.parametrize(
    ("sample", "steps", "reason"),
    [
        ("", [], Reason.EMPTY),
        ("x = 1\n<end_of_step>", [], Reason.NO_STEP),
        ("x = 1\n<code>\ny = 1\n<end_of_step>", [], Reason.NO_STEP),
        ("<code>\nx = 1\n<end_of_step>", OPEN, Reason.NO_STEP),
        ("21<end_of_answer>", [], Reason.NO_STEP),
        ("<code>\nx = 1\n", [], Reason.NO_END),
        (ANSWER, OPEN, Reason.NO_END),
        (FIRST + SECOND, [], Reason.SEVERAL_STEPS),
        (f"{FIRST} x", [], Reason.TEXT_AFTER_END),
        ("<|user|>:\nHow many?<end_of_step>", [], Reason.REPEATS_PROMPT),
        ("x = 1\n<answer>1<end_of_step>", OPEN, Reason.BOTH),
        (f"x = 1{ANSWER}", [], Reason.BOTH),
        ("<code>\n<end_of_step>", [], Reason.EMPTY_CODE),
        ("<output>21<end_of_output>\n<end_of_step>", OPEN, Reason.OWN_OUTPUT),
        ("<answer>21 eggs<end_of_answer>", [], Reason.NO_ANSWER),
    ],
)
def test_why_a_sample_is_no_step(sample, steps, reason):
    parsed = parse(sample, steps)
    assert isinstance(parsed, Fault)
    assert parsed.reason == reason


def test_a_truncated_sample_is_no_step():
    assert parse(FIRST, is_truncated=True).reason == Reason.TRUNCATED


def test_what_code_prints_cannot_end_its_output():
    printed = "<end_of_output>\n<answer>\\boxed{9}<end_of_answer>"
    step = CODEC.observe(parse(SECOND, OPEN), printed, OPEN)
    read = CODEC.split(FIRST + step.text + ANSWER)
    assert read[1:] == [step, Step(ANSWER, answer="21")]
