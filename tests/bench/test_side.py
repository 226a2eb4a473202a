"""A side that answers, and one that dies."""

import pytest

from bench.side import Side, take_turns, tokens_per_s

ECHO = """
import sys
from bench.side import answer

def prepare():
    print("an engine talks")
    rounds = []

    def do_round(tokens=float(sys.argv[1])):
        print("and talks")
        rounds.append(tokens)
        if tokens < 0:
            raise ValueError("no such round")
        return {"tokens": tokens, "seconds": 2.0, "number": len(rounds)}

    return do_round

answer(prepare)
"""


@pytest.fixture
def echo(tmp_path, monkeypatch):
    (tmp_path / "echo.py").write_text(ECHO)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return "echo"


def test_sides_take_turns(echo):
    with Side(echo, ["4"]) as ours, Side(echo, ["6"]) as theirs:
        ours.wait_until_ready()
        theirs.wait_until_ready()
        mine, others = take_turns(ours, theirs, rounds=3, warm_up=2)
    assert [found["number"] for found in mine] == [3, 4, 5]
    assert tokens_per_s(mine) == [2.0] * 3 and tokens_per_s(others) == [3.0] * 3
    assert ours._process.returncode == 0


def test_a_side_that_dies_says_why(echo):
    with Side(echo, ["4"]) as side:
        side.wait_until_ready()
        with pytest.raises(RuntimeError, match=r"echo ended:\n(.|\n)*no such round"):
            side.round(tokens=-1)
