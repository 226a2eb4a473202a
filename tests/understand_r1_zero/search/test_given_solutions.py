"""Solutions in files of responses and of pairs, with their right answers."""

import json

import pytest

from understand_r1_zero.search.codecs.registry import load_codec
from understand_r1_zero.search.given_solutions import read_given
from understand_r1_zero.templates import TEMPLATES, render_qwen_math

RIGHT, WRONG = "1+2=3\n\\boxed{3}\n", "1+2=4\n\\boxed{4}\n"
UNENDED = "1+2=3\nThree.\n"


@pytest.fixture
def read(tmp_path):
    def read(*rows, golds_of=lambda text: (), most=0):
        path = tmp_path / "given.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        codec = load_codec("lines", TEMPLATES["qwen_math"])
        return read_given(path, codec, golds_of, most)

    return read


def texts(found):
    return ["".join(step.text for step in each.solution.steps) for each in found]


def test_responses_of_ours_are_taken_right_and_wrong(read):
    ours = {"problem": "sums/train:7", "truncated": [False, False, True, False]}
    [right, wrong, cut] = read(
        {"prompt": "1 + 2 =", "preds": [RIGHT, WRONG, RIGHT, " "], "answer": "3", "ours": ours}
    )
    assert texts([right, wrong, cut]) == [RIGHT, WRONG, RIGHT]
    assert [each.solution.answer for each in (right, wrong, cut)] == ["3", "4", None]
    assert right.problem.id == "sums/train:7" and right.problem.answers == ("3",)
    assert right.row == {"question": "1 + 2 =", "answer": "3"}


def test_foreign_responses_have_whole_solutions_as_answers(read):
    [given] = read({"prompt": "Q", "preds": [UNENDED], "answer": "So 1+2 is 3.\n#### 3"})
    assert given.problem.answers == ("3",) and given.problem.id == "given:0"
    assert given.row == {"question": "Q", "answer": "3"}
    assert given.solution.answer is None and given.solution.num_open == 2


def test_some_solutions_of_a_problem_are_taken_the_first_ones(read):
    rows = [{"prompt": p, "preds": [RIGHT, WRONG, UNENDED], "answer": "3"} for p in ("P", "Q", "P")]
    found = read(*rows, most=2)
    assert [each.problem.text for each in found] == ["P", "P", "Q", "Q"]
    assert texts(found) == [RIGHT, WRONG] * 2


def test_the_rejected_response_of_a_pair_is_explored_and_its_cells_are_kept(read):
    pair = {"prompt": "1 + 2 =", "chosen": RIGHT, "rejected": WRONG, "margin": 0.5, "x": {"y": 1}}
    [given] = read(pair)
    assert texts([given]) == [WRONG] and given.problem.answers == ("3",)
    assert given.row == {
        "question": "1 + 2 =",
        "answer": "3",
        "prompt": "1 + 2 =",
        "chosen": RIGHT,
        "rejected": WRONG,
        "margin": 0.5,
    }


@pytest.mark.parametrize(
    ("cells", "golds"),
    [
        ({"chosen": RIGHT, "answer": "0"}, ("0",)),
        ({"chosen": RIGHT}, ("3",)),
        ({"chosen": UNENDED}, ("33",)),
        ({"chosen": UNENDED, "problem": "other"}, ()),
    ],
)
def test_the_gold_is_given_or_chosen_or_of_the_training_problem(read, cells, golds):
    training = {"P": ("33",)}
    [given] = read(
        {"prompt": "P", "rejected": WRONG, **cells}, golds_of=lambda text: training.get(text, ())
    )
    assert given.problem.answers == golds


def test_a_prompt_that_has_its_template_is_the_problem_again(read):
    pair = {"prompt": render_qwen_math("1 + 2 ="), "chosen": RIGHT, "rejected": WRONG}
    [given] = read(pair)
    assert given.problem.text == "1 + 2 =" and given.row["prompt"] == pair["prompt"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": "P"}, "no column 'preds', as responses have, nor 'rejected'"),
        ({"preds": []}, "no column 'prompt'"),
        ({"prompt": "P", "preds": [RIGHT]}, "no column 'answer'"),
        ({"prompt": "P", "preds": [1], "answer": "3"}, "'preds' is no list of texts"),
        ({"prompt": "P", "rejected": WRONG}, "no column 'chosen'"),
        ({"prompt": "P", "preds": [" "], "answer": "3"}, "none but blank solutions"),
        (
            {"prompt": "P", "preds": [RIGHT], "answer": "3", "ours": {"truncated": []}},
            "'truncated' has 0 values for 1 responses",
        ),
    ],
)
def test_rows_at_fault_are_told(read, row, message):
    with pytest.raises(ValueError, match=message):
        read(row)
