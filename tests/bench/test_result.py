"""What a result says of its samples."""

import json

import pytest

from bench.result import Result, table


def result(ours, theirs, **rest):
    return Result("name", "tokens/s", ours, theirs, 0.9, **rest)


def test_the_figure_is_the_median_of_the_pairs():
    found = result([10.0, 20.0, 1.0], [10.0, 10.0, 10.0])
    assert found.ratios == [1.0, 2.0, 0.1]
    assert found.figure == 1.0
    assert found.spread == (pytest.approx(0.55), 1.5)


def test_one_pair_has_no_spread():
    assert result([3.0], [2.0]).spread == (1.5, 1.5)


def test_sides_of_different_length_are_refused():
    with pytest.raises(ValueError):
        _ = result([1.0, 2.0], [1.0]).figure


@pytest.mark.parametrize(
    ("ratio", "is_share", "is_met"),
    [(0.9, False, True), (0.89, False, False), (0.9, True, True), (0.91, True, False)],
)
def test_a_share_must_not_exceed_its_target(ratio, is_share, is_met):
    assert result([ratio], [1.0], is_share=is_share).is_met is is_met


def test_the_table_has_a_line_a_benchmark_in_columns():
    lines = table(
        [result([12345.0], [10000.0]), Result("part", "s", [0.02], [1.0], 0.05, is_share=True)]
    ).splitlines()
    assert [line.split()[0] for line in lines] == ["benchmark", "name", "part"]
    assert "12,345" in lines[1] and "1.234" in lines[1] and lines[1].endswith(">= 0.9   met")
    assert "0.020" in lines[2] and lines[2].endswith("<= 0.05  met")
    assert lines[0].index("target") == lines[1].index(">=") == lines[2].index("<=")


def test_the_file_holds_every_sample(tmp_path):
    result([1.0, 2.0], [1.0, 1.0], details={"responses": 512}).write(tmp_path / "new", "command")
    found = json.loads((tmp_path / "new" / "name.json").read_text())
    assert found["ours"] == [1.0, 2.0] and found["theirs"] == [1.0, 1.0]
    assert found["figure"] == 1.5 and found["is_met"] is True and found["responses"] == 512
    assert found["command"] == "command" and found["cores"] >= 1
