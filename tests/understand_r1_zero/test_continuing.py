"""A file goes on where it was cut, and only with what belongs in it."""

import json

import pytest

from understand_r1_zero.continuing import Lines, places_done

LINES = Lines(
    "tree of these", "the file it was made from", "facts", lambda r: r["text"], {"by": "a"}
)


def line(place, text, by="a"):
    return json.dumps({"text": text, "facts": {"place": place, "by": by}}) + "\n"


@pytest.fixture
def output(tmp_path):
    return tmp_path / "out.jsonl"


def test_the_line_that_was_cut_is_dropped_and_done_again(output):
    assert places_done(output, ["x", "y"], LINES) == set()
    output.write_text(line(2, "z") + line(0, "x") + line(1, "y")[:-5])
    assert places_done(output, ["x", "y", "z"], LINES) == {0, 2}
    assert output.read_text() == line(2, "z") + line(0, "x")


@pytest.mark.parametrize(
    "foreign",
    [
        line(0, "y"),
        line(2, "x"),
        line(-1, "y"),
        '{"facts": {"place": 0}}\n',
        '{"facts": 3}\n',
        "{}\n",
    ],
)
def test_lines_of_something_else_are_refused(output, foreign):
    output.write_text(line(1, "y") + foreign)
    with pytest.raises(
        ValueError, match="line 2 is no tree of these; give another --output, or the"
    ):
        places_done(output, ["x", "y"], LINES)


def test_lines_made_in_another_way_are_refused(output):
    output.write_text(line(0, "x") + line(1, "y", by="b"))
    with pytest.raises(ValueError, match="line 2 was made with by b, and not a; give another"):
        places_done(output, ["x", "y"], LINES)
