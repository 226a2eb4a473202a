"""The comparison of verifiers, against values worked out by hand."""

import math

import pytest

from understand_r1_zero.search.sampled import SampledQuestion, Solution
from understand_r1_zero.search.step import Step
from understand_r1_zero.search.step_oracle import PROBABILITY, SIGNED
from understand_r1_zero.search.verifier_report import draw, table_lines, to_json
from understand_r1_zero.search.verifiers import (
    Score,
    parse_verifiers,
    scores_in_file,
    scores_of,
    verifier_table,
)
from understand_r1_zero.types import Problem, Status
from understand_r1_zero.voting import class_labels


def question(gold, answers, values=()):
    """Solutions of one step with these answers, None for none."""
    values = values or [()] * len(answers)
    solutions = tuple(
        Solution((Step(str(i)),), None, Status.UNPARSABLE)
        if answer is None
        else Solution(
            (Step(str(i)),),
            answer,
            Status.CORRECT if answer == gold else Status.INCORRECT,
            tuple(own),
        )
        for i, (answer, own) in enumerate(zip(answers, values, strict=True))
    )
    return SampledQuestion(Problem("q", 0, "?", (gold,)), solutions)


def labels_of(questions):
    return [
        class_labels([each.answer for each in q.solutions], lambda a, b: a == b) for q in questions
    ]


def test_the_aggregates_are_of_values_brought_into_probabilities():
    values = [[[0.0, 1.0, -0.5], None]]
    scores = scores_of("v", values, SIGNED)
    # (0, 1, -.5) in [-1, 1] is (.5, 1, .25).
    assert scores == {
        Score("v", "last"): [[0.25, -math.inf]],
        Score("v", "min"): [[0.25, -math.inf]],
        Score("v", "product"): [[0.125, -math.inf]],
    }
    assert scores_of("v", [[[0.5, 0.2, 0.9]]], PROBABILITY)[Score("v", "min")] == [[0.2]]
    with pytest.raises(ValueError, match=r"v has values from -0.5 to 1, outside its scale 0 to 1"):
        scores_of("v", values, PROBABILITY)


# Two questions of four solutions, valued by their last steps:
# right 1: 2 (.1), 1 (.9), 2 (.2), none; right 3: 3 (.6), 4 (.7), 4 (.3), 3 (.5).
QUESTIONS = [
    question("1", ["2", "1", "2", None]),
    question("3", ["3", "4", "4", "3"]),
]
SCORE = Score("orm", "last")
SCORES = {SCORE: [[0.1, 0.9, 0.2, -math.inf], [0.6, 0.7, 0.3, 0.5]]}
EXPECTED = {
    # 1 of 4 and 2 of 4; 1 - C(3, 2) / C(4, 2) = 1/2 and 1 - C(2, 2) / C(4, 2) = 5/6.
    "pass@n": {1: (1 / 4 + 1 / 2) / 2, 2: (1 / 2 + 5 / 6) / 2, 4: 1.0},
    # Ties go to the first. n = 2: (2, 1) and (2, none) are wrong; (3, 4) is right, (4, 3) wrong. n = 4: 2 is wrong, 3 right.
    "SC": {1: 3 / 8, 2: 1 / 4, 4: 1 / 2},
    # n = 2: 1 right, 2 wrong; 4 wrong, 3 right. n = 4: 1 right; 4 wrong.
    "orm (last)": {1: 3 / 8, 2: 1 / 2, 4: 1 / 2},
    # n = 4: 2 has .3 and 1 has .9, right; 3 has 1.1 and 4 has 1.0, right.
    "SC+orm (last)": {1: 3 / 8, 2: 1 / 2, 4: 1.0},
}


def test_every_method_at_every_number_of_solutions():
    rows = verifier_table(QUESTIONS, labels_of(QUESTIONS), SCORES)
    assert [row.name for row in rows] == list(EXPECTED)
    for row in rows:
        found = {n: estimate.mean for n, estimate in row.accuracy.items()}
        assert found == pytest.approx(EXPECTED[row.name]), row.name
    over = {row.name: row.over_sc and row.over_sc.mean for row in rows}
    assert over == {"pass@n": 0.5, "SC": None, "orm (last)": 0.0, "SC+orm (last)": 0.5}


def test_differences_are_paired():
    # Half of the questions are right by both, half by none: accuracies vary, their difference does not.
    questions = [question("1", [answer] * 2) for answer in ("1", "2")] * 50
    scores = {SCORE: [[0.5, 0.5]] * 100}
    *_, best, weighted = verifier_table(questions, labels_of(questions), scores)
    for row in (best, weighted):
        assert row.accuracy[2].low < 0.45 < 0.55 < row.accuracy[2].high
        assert (row.over_sc.mean, row.over_sc.low, row.over_sc.high) == (0, 0, 0)


def test_values_in_the_file_make_as_many_scores_as_they_can():
    whole = [question("1", ["1", None], [(0.5, 0.5), ()])]
    assert scores_in_file(whole) == {
        Score("values", "last"): [[0.5, -math.inf]],
        Score("values", "min"): [[0.5, -math.inf]],
        Score("values", "product"): [[0.25, -math.inf]],
    }
    ends = [question("1", ["1", "2"], [(None, -0.5), (None, 0.0)])]
    assert scores_in_file(ends) == {Score("values", "last"): [[0.25, 0.5]]}
    assert scores_in_file([question("1", ["1", "2"], [(0.5, None), (None, 0.0)])]) == {}
    assert scores_in_file([question("1", [None])]) == {}


def test_verifiers_are_named():
    assert parse_verifiers("orm=a/b, prm=c=d") == {"orm": "a/b", "prm": "c=d"}
    assert parse_verifiers("") == {}
    with pytest.raises(ValueError, match=r"must be NAME=DIR,NAME=DIR, got 'a/b'"):
        parse_verifiers("orm=x,a/b")
    with pytest.raises(ValueError, match="names orm twice"):
        parse_verifiers("orm=x,orm=y")


def test_the_table_and_the_json_say_the_same():
    rows = verifier_table(QUESTIONS, labels_of(QUESTIONS), SCORES)
    header, passed, majority, best, weighted = table_lines(rows)
    assert header.split()[:4] == ["accuracy", "n=1", "n=2", "n=4"]
    assert passed.split() == ["pass@n", "0.375", "0.667", "1.000", "1.000-1.000"]
    assert majority.split()[:4] == ["SC", "0.375", "0.250", "0.500"]
    assert best.split()[:5] == ["orm", "(last)", "0.375", "0.500", "0.500"]
    assert weighted.split()[-4:] == ["+0.500", "+0.000", "to", "+1.000"]
    found = to_json(rows, {"questions": 2})
    assert found["questions"] == 2
    assert [row["name"] for row in found["rows"]] == list(EXPECTED)
    assert found["rows"][3]["accuracy"]["4"] == {"mean": 1.0, "low": 1.0, "high": 1.0}
    assert found["rows"][3]["over_sc"]["high"] == 1.0
    assert (found["rows"][3]["verifier"], found["rows"][3]["aggregate"]) == ("orm", "last")
    assert found["rows"][1]["over_sc"] is None and found["rows"][1]["verifier"] is None


def test_pictures_have_a_panel_for_each_kind_of_vote():
    rows = verifier_table(QUESTIONS, labels_of(QUESTIONS), SCORES)
    best, weighted = draw(rows).axes
    for axes, name in ((best, "orm (last) 0.500"), (weighted, "SC+orm (last) 1.000")):
        texts = [text.get_text() for text in axes.texts]
        assert {"SC 0.500", "pass@n 1.000", name} < set(texts)
        assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "2", "4"]
    [votes] = draw(verifier_table(QUESTIONS, labels_of(QUESTIONS), {})).axes
    assert len(votes.lines) == 2
    single = [question("1", ["1"])]
    assert draw(verifier_table(single, labels_of(single), {SCORE: [[0.5]]})).axes
