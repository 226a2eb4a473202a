"""`python -m bench`, on real engines."""

import json
import subprocess
import sys

import pytest

from bench.math_answers import MATH_TEST, PARTS, Pair, pairs_of_round, split


def bench(repository, *arguments):
    command = [sys.executable, "-m", "bench", *map(str, arguments)]
    return subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=560)


def test_an_unknown_benchmark_is_refused(repository):
    done = bench(repository, "learnr")
    assert done.returncode == 2
    assert (
        "no benchmark learnr; there are grader, interpreter, search, actor, learner, publication, peer"
        in done.stderr
    )


@pytest.mark.slow
@pytest.mark.engine
@pytest.mark.timeout(600)
def test_every_benchmark_finds_a_ratio(repository, tmp_path):
    learner = ["learner", "learner_head_memory", "learner_head_time", "learner_packing"]
    names = ["actor", *learner, "publication"]
    chosen = ["actor", "learner", "publication"]
    done = bench(repository, *chosen, "--smoke", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["benchmark", *names]
    for name in names:
        found = json.loads((tmp_path / f"{name}.json").read_text())
        assert found["figure"] > 0 and found["cores"] >= 1
        assert len(found["ours"]) == len(found["theirs"]) >= 2
        assert str(repository) not in json.dumps(found)
    assert found["figure"] < 1


needs_math_test = pytest.mark.skipif(not MATH_TEST.exists(), reason=f"{MATH_TEST} is absent")


@needs_math_test
@pytest.mark.slow
def test_the_grader_is_measured_in_three_parts(repository, tmp_path):
    done = bench(repository, "grader", "--smoke", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    names = ["grader", "grader_workers", "grader_integers"]
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["benchmark", *names]
    for name in names:
        found = json.loads((tmp_path / f"{name}.json").read_text())
        assert found["figure"] > 0 and len(found["ours"]) == len(found["theirs"]) == 2
        assert 0.5 < found["share_as_expected_ours"] <= 1
        assert 0.5 < found["share_as_expected_theirs"] <= 1


@needs_math_test
def test_no_two_rounds_grade_by_the_same_rows():
    rounds = [pairs_of_round(number, 250) for number in range(14)]
    assert {len(pairs) for pairs in rounds} == {500}
    golds = [[pair.gold for pair in pairs if pair.is_own] for pairs in rounds]
    assert all(golds[n] != golds[n + 1] for n in range(13))
    own = [pair for pairs in rounds for pair in pairs if pair.is_own]
    assert len(own) == 3500
    assert 0.4 < sum(pair.answer == pair.gold for pair in own) / len(own) < 0.8
    with pytest.raises(ValueError, match="no 250 golds"):
        pairs_of_round(20, 250)


def test_the_parts_of_a_round():
    pairs = [Pair("5", "6", False), Pair("5.0", "5", True), Pair("1+x", "x+1", True)]
    assert split(pairs) == dict(zip(PARTS, [[pair] for pair in pairs], strict=True))
