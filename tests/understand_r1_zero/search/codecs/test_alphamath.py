import pytest

from understand_r1_zero.search.codecs.alphamath import XmlCodec
from understand_r1_zero.search.codecs.step import Fault, Reason
from understand_r1_zero.search.step import Step, trainable_spans

CODEC = XmlCodec()
CODE_SAMPLE = "<step>\n<p>\nAdd them.\n</p>\n<code>\n```python\nprint(2 + 3)\n```\n</code>"
CODE_TEXT = CODE_SAMPLE + "\n<output>\n5\n</output>\n</step>\n"
FINAL_SAMPLE = "<step>\n<p>\nThe sum is 5.\n</p>\n<p>\nFinal Answer: $5$\n</p>\n</step>"
CODE_STEP = Step(CODE_TEXT, "print(2 + 3)", "5", observation_start=len(CODE_SAMPLE))
FINAL_STEP = Step(FINAL_SAMPLE + "\n", answer="5")


def parse(sample, **ending):
    return CODEC.parse(sample, **ending)


def thought(text="x"):
    return f"<step>\n<p>\n{text}\n</p>\n"


def code_sample(code):
    return f"{thought()}<code>\n```python\n{code}\n```\n</code>"


def final_sample(answer):
    return f"{thought()}<p>\nFinal Answer: {answer}\n</p>\n</step>"


def test_a_solution_is_written_read_and_written_again():
    assert CODEC.prompt("2 + 3?") == "<question> 2 + 3? </question>\n"
    asked = parse(CODE_SAMPLE, stop_reason="\n</code>")
    assert asked == Step(CODE_SAMPLE, "print(2 + 3)")
    step = CODEC.observe(asked, "5\n")
    assert step == CODE_STEP
    final = parse(FINAL_SAMPLE, steps=[step], stop_reason="</step>")
    assert final == FINAL_STEP
    prompt = CODEC.prompt("2 + 3?", [step, final])
    assert prompt == f"<question> 2 + 3? </question>\n{CODE_TEXT}{FINAL_SAMPLE}\n"
    assert CODEC.split(CODE_TEXT + FINAL_SAMPLE + "\n") == [step, final]


@pytest.mark.parametrize("stop", CODEC.stop)
def test_a_stop_string_that_the_engine_cut_off_is_put_back(stop):
    whole = FINAL_SAMPLE if stop == "</step>" else CODE_SAMPLE
    assert parse(whole.removesuffix(stop), stop_reason=stop) == parse(whole, stop_reason=stop)


@pytest.mark.parametrize("sample", [CODE_SAMPLE, FINAL_SAMPLE, f"\n {CODE_SAMPLE}\n"])
def test_the_sample_is_left_as_it_is(sample):
    step = parse(sample, stop_reason=None)
    assert step.text.startswith(sample)
    if step.code:
        assert CODEC.observe(step, "5").text.startswith(sample)


def test_closing_tags_that_the_policy_left_out_are_added():
    assert parse(CODE_SAMPLE.removesuffix("\n</code>")) == Step(CODE_SAMPLE, "print(2 + 3)")
    for missing in ("\n</step>", "\n</p>\n</step>"):
        assert parse(FINAL_SAMPLE.removesuffix(missing)) == FINAL_STEP


def test_a_line_end_sampled_past_the_stop_string_is_not_doubled():
    step = CODEC.observe(parse(f"{CODE_SAMPLE}\n", stop_reason="</code>"), "5")
    assert step.text == CODE_TEXT
    assert parse(f"{FINAL_SAMPLE}\n", stop_reason="</step>") == FINAL_STEP


@pytest.mark.parametrize(
    ("written", "answer"),
    [
        ("5", "5"),
        ("$5$", "5"),
        ("$ \\frac{1}{2} $", "\\frac{1}{2}"),
        ("$$5$$", "5"),
        ("$1$ and $2$", "$1$ and $2$"),
        ("\\boxed{7}", "7"),
        ("$\\boxed{7}$", "7"),
        ("\n5", "5"),
        ("\\begin{pmatrix} 1 \\\\\n2 \\end{pmatrix}", "\\begin{pmatrix} 1 \\\\\n2 \\end{pmatrix}"),
        ("$", "$"),
        ("x < 5", "x < 5"),
        ("十", "十"),
    ],
)
def test_the_final_answer(written, answer):
    assert parse(final_sample(written)).answer == answer


def test_an_answer_printed_by_the_code_is_not_the_answer():
    code = 'print("Final Answer:", 5)'
    assert parse(code_sample(code)) == Step(code_sample(code), code)


@pytest.mark.parametrize(
    ("sample", "reason"),
    [
        ("", Reason.EMPTY),
        (" \n", Reason.EMPTY),
        ("The sum is 5.", Reason.NO_STEP),
        ("<p>\nx\n</p>\n</step>", Reason.NO_STEP),
        (f"{thought()}<step>\n<p>\nFinal Answer: 5\n</p>\n</step>", Reason.SEVERAL_STEPS),
        (f"{FINAL_SAMPLE}\nand more", Reason.TEXT_AFTER_END),
        (f"{CODE_SAMPLE}\nand more", Reason.TEXT_AFTER_END),
        (f"{thought()}</step><code>\n```python\n1\n```\n</code>", Reason.TEXT_AFTER_END),
        ("<question> 1 + 1? </question>", Reason.REPEATS_PROMPT),
        (f"{thought('Final Answer: 5')}<code>\n```python\n5\n```\n</code>", Reason.BOTH),
        (f"{thought()}</step>", Reason.NEITHER),
        (f"{thought()}<code>\nprint(5)\n</code>", Reason.NO_FENCE),
        (f"{thought()}<code>\n```bash\nls\n```\n</code>", Reason.NO_FENCE),
        (f"{thought()}<code>\n```python\nprint('</code>", Reason.NO_FENCE),
        (code_sample(" \n"), Reason.EMPTY_CODE),
        (f"{thought()}<output>\n5\n</output>\n</step>", Reason.OWN_OUTPUT),
        (final_sample(""), Reason.NO_ANSWER),
        (final_sample("$$"), Reason.NO_ANSWER),
    ],
)
def test_why_a_sample_is_no_step(sample, reason):
    parsed = parse(sample)
    assert isinstance(parsed, Fault)
    assert parsed.reason == reason


def test_a_truncated_sample_is_no_step_even_if_it_reads_well():
    assert parse(FINAL_SAMPLE, is_truncated=True).reason == Reason.TRUNCATED


def test_what_code_prints_cannot_close_its_tags():
    printed = "</output>\n</step>\n<step>\n<p>\nFinal Answer: 9\n</p>\n</step>"
    step = CODEC.observe(Step(CODE_SAMPLE, "print(2 + 3)"), printed)
    assert CODEC.split(step.text + FINAL_SAMPLE + "\n") == [step, FINAL_STEP]


def test_code_that_printed_nothing_has_been_run():
    step = CODEC.observe(Step(CODE_SAMPLE, "print(2 + 3)"), "")
    assert step.text == f"{CODE_SAMPLE}\n<output>\n\n</output>\n</step>\n"
    assert step.observation == ""
    assert CODEC.split(step.text) == [step]


def test_outputs_are_not_trained_on_unless_asked():
    solution = CODE_TEXT + FINAL_STEP.text
    spans = trainable_spans([CODE_STEP, FINAL_STEP])
    assert [solution[start:stop] for start, stop in spans] == [CODE_SAMPLE, FINAL_STEP.text]
    assert trainable_spans([CODE_STEP, FINAL_STEP], with_observations=True) == [(0, len(solution))]


def test_a_given_solution_in_other_white_space_joins_to_itself():
    solution = f"\n{CODE_TEXT}\r\n\n{FINAL_SAMPLE}\n<step>\n<p>\nunfinished"
    steps = CODEC.split(solution)
    assert "".join(step.text for step in steps) == solution
    assert [step.code for step in steps] == ["print(2 + 3)", None, None]
    assert [step.answer for step in steps] == [None, None, None]


def test_a_tag_inside_a_given_output_does_not_end_the_step():
    solution = f"{CODE_SAMPLE}\n<output>\na </step> b\n</output>\n</step>\n{FINAL_SAMPLE}"
    assert [step.observation for step in CODEC.split(solution)] == ["a </step> b", None]
