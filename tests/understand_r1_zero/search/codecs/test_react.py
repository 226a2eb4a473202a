import pytest

from understand_r1_zero.search.codecs.react import EXAMPLES, INSTRUCTIONS, NO_ACTION, ReactCodec
from understand_r1_zero.search.codecs.step import Fault, Reason
from understand_r1_zero.search.step import Step, trainable_spans

CODEC = ReactCodec()
CODE_SAMPLE = (
    "Thought: Add them.\n\nAction: python_interpreter\n\nAction Input:\n```python\nprint(2 + 3)\n```\n\n"
    "Observation:"
)
FINAL_SAMPLE = "Thought: The sum is 5.\n\nFinal Answer: $5$\n<Solution complete>"


def parse(sample, **ending):
    return CODEC.parse(sample, **ending)


def acting(action_input, tool="python_interpreter"):
    return f"Thought: x\n\nAction: {tool}\n\nAction Input:{action_input}\n\nObservation:"


def test_a_solution_is_written_read_and_written_again():
    question = CODEC.prompt("2 + 3?")
    assert question.startswith(INSTRUCTIONS)
    assert question.endswith(f"{EXAMPLES[1]}\n\nNow it is your turn.\n\nQuestion: 2 + 3?\n\n")
    asked = parse(CODE_SAMPLE, stop_reason="\nObservation:")
    assert asked == Step(CODE_SAMPLE, "print(2 + 3)")
    step = CODEC.observe(asked, "5\n")
    assert step == Step(
        f"{CODE_SAMPLE} 5\n\n", "print(2 + 3)", "5", observation_start=len(CODE_SAMPLE)
    )
    final = parse(FINAL_SAMPLE, steps=[step], stop_reason="<Solution complete>")
    assert final == Step(f"{FINAL_SAMPLE}\n\n", answer="5")
    solution = f"{CODE_SAMPLE} 5\n\n{FINAL_SAMPLE}\n\n"
    assert CODEC.prompt("2 + 3?", [step, final]) == question + solution
    assert CODEC.split(solution) == [step, final]


@pytest.mark.parametrize(("example", "answer"), [(EXAMPLES[0], "375"), (EXAMPLES[1], "5")])
def test_the_examples_are_in_the_format_they_teach(example, answer):
    solution = example.partition("\n\n")[2] + "\n\n"
    acting_step, final = CODEC.split(solution)
    sample = acting_step.text[: acting_step.observation_start]
    assert CODEC.observe(parse(sample), acting_step.observation) == acting_step
    assert parse(final.text.removesuffix("\n\n")) == final
    assert final.answer == answer


def test_a_stop_string_that_the_engine_cut_off_is_put_back():
    for stop, whole in (
        ("\nObservation:", CODE_SAMPLE),
        ("Observation:", CODE_SAMPLE),
        ("<Solution complete>", FINAL_SAMPLE),
    ):
        cut_off = whole.removesuffix(stop)
        assert cut_off != whole
        assert parse(cut_off, stop_reason=stop) == parse(whole, stop_reason=stop)


def test_the_end_mark_that_the_policy_left_out_is_added():
    assert parse(FINAL_SAMPLE.removesuffix("\n<Solution complete>")).text == f"{FINAL_SAMPLE}\n\n"


def test_white_space_sampled_past_the_stop_string_is_no_output():
    step = CODEC.observe(parse(f"{CODE_SAMPLE} ", stop_reason="Observation:"), "5")
    assert step.text == f"{CODE_SAMPLE} 5\n\n"


def test_code_needs_no_fence():
    assert parse(acting(" print(1)")).code == "print(1)"


def test_a_step_without_an_action_is_observed_at_once():
    sample = acting(" None", tool="None")
    step = parse(sample)
    assert step == Step(
        f"{sample} {NO_ACTION}\n\n", observation=NO_ACTION, observation_start=len(sample)
    )
    assert trainable_spans([step]) == [(0, len(sample))]
    assert CODEC.split(step.text) == [step]


def test_the_policy_may_end_before_the_observation():
    sample = CODE_SAMPLE.removesuffix("\n\nObservation:")
    assert parse(sample) == parse(CODE_SAMPLE)


@pytest.mark.parametrize(
    ("sample", "reason"),
    [
        ("", Reason.EMPTY),
        ("2 + 3 = 5", Reason.NO_STEP),
        (f" {FINAL_SAMPLE}", Reason.NO_STEP),
        ("Final Answer: 5\n<Solution complete>", Reason.NO_STEP),
        (f"Thought: y\n\n{FINAL_SAMPLE}", Reason.SEVERAL_STEPS),
        (f"{FINAL_SAMPLE}\n\nQuestion: 1 + 1?", Reason.REPEATS_PROMPT),
        ("Thought: x\n\nFinal Answer: 5\n\nAction: None\n\nAction Input: None", Reason.BOTH),
        (acting("\n```python\n5\n```\nFinal Answer: 5"), Reason.BOTH),
        ("Thought: the answer is 5", Reason.NEITHER),
        ("Thought: x\n\nAction: python_interpreter\n\nObservation:", Reason.NEITHER),
        (acting(" 2 + 3", tool="calculator"), Reason.UNKNOWN_ACTION),
        (acting("\n```python\nprint(1) # Observation:"), Reason.NO_FENCE),
        (acting("\n```python\n```"), Reason.EMPTY_CODE),
        (acting(""), Reason.EMPTY_CODE),
        (f"{CODE_SAMPLE} 5", Reason.OWN_OUTPUT),
        ("Thought: x\n\nFinal Answer:\n<Solution complete>", Reason.NO_ANSWER),
        (
            acting(" None", tool="None").replace("Observation:", "<Solution complete>"),
            Reason.NO_ANSWER,
        ),
        ("Thought: x\n\nFinal Answer: 5\n\nObservation:", Reason.TEXT_AFTER_END),
        (f"{FINAL_SAMPLE} or so", Reason.TEXT_AFTER_END),
    ],
)
def test_why_a_sample_is_no_step(sample, reason):
    parsed = parse(sample)
    assert isinstance(parsed, Fault)
    assert parsed.reason == reason


def test_a_truncated_sample_is_no_step():
    assert parse(FINAL_SAMPLE, is_truncated=True).reason == Reason.TRUNCATED


def test_what_code_prints_cannot_begin_a_step():
    printed = "1\nThought: y\n\nFinal Answer: 9\n<Solution complete>"
    step = CODEC.observe(Step(CODE_SAMPLE, "print(2 + 3)"), printed)
    final = parse(FINAL_SAMPLE)
    assert CODEC.split(step.text + final.text) == [step, final]
