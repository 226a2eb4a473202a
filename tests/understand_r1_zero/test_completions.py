import json

import pytest

from understand_r1_zero.completions import (
    NO_VALUE,
    BadRow,
    ColumnArgs,
    Completions,
    read_completions,
    survey,
)
from understand_r1_zero.tables import Table


def table_of(*rows, columns=("answer", "responses")):
    return Table("rows.jsonl", columns, rows)


def read(row, **columns):
    """What one row amounts to, or the reason why nothing."""
    (found,) = read_completions(table_of(row), ColumnArgs(**columns))
    return found.reason if isinstance(found, BadRow) else found


@pytest.mark.parametrize(
    ("cell", "responses"), [("a", ("a",)), (["a"], ("a",)), (["a", "", "a"], ("a", "", "a"))]
)
def test_responses(cell, responses):
    assert read({"answer": "1", "responses": cell}) == Completions(0, ("1",), responses)


@pytest.mark.parametrize(
    ("cell", "golds"),
    [
        ("1/2", ("1/2",)),
        (142.0, ("142",)),
        (["2", "3"], ("2", "3")),
        ("['$9.6$\\n', '7']", ("$9.6$", "7")),
        ("48/2 = 24\n#### 1,072", ("1072",)),
    ],
)
def test_gold_answers_are_read_as_those_of_problems(cell, golds):
    assert read({"answer": cell, "responses": "a"}).golds == golds


@pytest.mark.parametrize(
    ("cell", "golds"),
    [
        (r"So \boxed{5}, no, \boxed{6}.", ("6",)),
        ([r"\boxed{1}", r"\boxed{2}"], ("1", "2")),
        (7, ("7",)),
    ],
)
def test_a_gold_text_may_hold_more_than_the_answer(cell, golds):
    assert read({"answer": cell, "responses": "a"}, answer_extraction="boxed").golds == golds


@pytest.mark.parametrize(
    ("responses", "cell", "scores"),
    [
        ("a", 0.5, (0.5,)),
        ("a", [0.5], (0.5,)),
        ("a", [[0.5]], (0.5,)),
        ("a", [0.5, 0.25], (0.25,)),
        ("a", [[0.5, 0.25]], (0.25,)),
        (["a"], 1, (1.0,)),
        (["a"], [0.5], (0.5,)),
        (["a", "b"], [0.5, 1], (0.5, 1.0)),
        (["a", "b"], [[0.5, 0.25], [2, 3, 1]], (0.25, 1.0)),
        (["a", "b"], [0.5, [2, 3]], (0.5, 3.0)),
    ],
)
def test_scores(responses, cell, scores):
    row = {"answer": "1", "responses": responses, "scores": cell}
    assert read(row, score_key="scores").scores == scores


@pytest.mark.parametrize(
    ("aggregation", "scores"), [("last", (4, 0.5)), ("product", (24, 0.25)), ("min", (2, 0.5))]
)
def test_step_scores_amount_to_their_last_product_or_minimum(aggregation, scores):
    row = {"answer": "1", "responses": ["a", "b"], "scores": [[3, 2, 4], [0.5, 0.5]]}
    assert read(row, score_key="scores", score_aggregation=aggregation).scores == scores


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("a", "an object with columns was expected, not str"),
        ({"answer": "1"}, "no column 'responses'"),
        ({"responses": "a"}, "no column 'answer'"),
        ({"answer": "1", "responses": "a"}, "no column 'scores'"),
        ({"answer": " ", "responses": "a", "scores": 1}, "no gold answer in 'answer'"),
        ({"answer": None, "responses": "a", "scores": 1}, "no gold answer in 'answer'"),
        ({"answer": "1", "responses": [], "scores": []}, "'responses' is an empty list"),
        (
            {"answer": "1", "responses": {"text": "a"}, "scores": 1},
            "'responses' is of type dict, not text or a list of texts",
        ),
        (
            {"answer": "1", "responses": ["a", None], "scores": [1, 1]},
            "response 1 in 'responses' is null, not text",
        ),
        (
            {"answer": "1", "responses": ["a", "b"], "scores": [1, 1, 1]},
            "'scores' has 3 scores for 2 responses",
        ),
        (
            {"answer": "1", "responses": ["a", "b"], "scores": 1},
            "'scores' has 1 scores for 2 responses",
        ),
        (
            {"answer": "1", "responses": ["a", "b"], "scores": [1, "2"]},
            "score 1 in 'scores' is of type str, not a number",
        ),
        (
            {"answer": "1", "responses": ["a", "b"], "scores": [[1], [2, None]]},
            "score 1 in 'scores' is null, not a number",
        ),
        (
            {"answer": "1", "responses": ["a", "b"], "scores": [[1], []]},
            "score 1 in 'scores' is an empty list",
        ),
        (
            {"answer": "1", "responses": "a", "scores": float("nan")},
            "score 0 in 'scores' is not finite",
        ),
        ({"answer": "1", "responses": "a", "scores": 10**400}, "score 0 in 'scores' is not finite"),
        (
            {"answer": "1", "responses": "a", "scores": True},
            "score 0 in 'scores' is of type bool, not a number",
        ),
    ],
)
def test_a_bad_row_says_what_is_wrong(row, reason):
    assert read(row, score_key="scores") == reason


def test_a_gold_text_without_the_answer_is_a_bad_row():
    row = {"answer": "so it is 5", "responses": "a"}
    reason = "no gold answer in 'answer' by --answer_extraction boxed"
    assert read(row, answer_extraction="boxed") == reason


@pytest.mark.parametrize(
    ("value", "group"),
    [("Level 1", "Level 1"), (3, "3"), (3.0, "3"), (0.5, "0.5"), (None, NO_VALUE), ([1], "[1]")],
)
def test_a_column_groups_rows(value, group):
    assert read({"answer": "1", "responses": "a", "level": value}, by="level").group == group
    assert read({"answer": "1", "responses": "a"}, by="level").group == NO_VALUE


def survey_of(*rows, **columns):
    given = ColumnArgs(**columns)
    names = tuple(rows[0]) if isinstance(rows[0], dict) else ()
    table = table_of(*rows, columns=names)
    return survey(read_completions(table, given), table, given)


def test_a_survey_counts_rows_and_names_the_bad_ones():
    good = [{"answer": "1", "responses": ["a"] * size} for size in (3, 2, 5, 2)]
    found = survey_of(*good, {"answer": "1"}, *good)
    assert (found.num_rows, found.num_good, found.num_responses) == (9, 8, 24)
    assert (found.fewest, found.most, found.fewest_row) == (2, 5, 1)
    assert found.bad == [BadRow(4, "no column 'responses'")]


def test_a_file_without_a_good_row_is_refused():
    with pytest.raises(ValueError, match=r"--response_key must .* nearest is 'response'"):
        survey_of({"answer": "1", "response": "a"})
    with pytest.raises(ValueError, match=r"1 of 1 rows cannot be used .* row 0: no gold answer"):
        survey_of({"answer": "", "responses": "a"})


def test_a_column_to_group_by_must_exist_in_some_row():
    row = {"answer": "1", "responses": "a"}
    assert survey_of(row, row | {"level": 1}, by="level").num_good == 2
    assert survey_of(row | {"level": None}, by="level").num_good == 1
    with pytest.raises(ValueError, match=r"--by must be a column of .* 'lvl'"):
        survey_of(row, by="lvl")


def test_rows_are_read_as_they_are_asked_for():
    def endless():
        while True:
            yield json.loads('{"answer": "1", "responses": "a"}')

    rows = read_completions(Table("endless", (), endless()), ColumnArgs())
    assert [next(rows).row for _ in range(3)] == [0, 1, 2]
