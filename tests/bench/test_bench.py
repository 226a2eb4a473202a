"""`python -m bench`, on real engines."""

import json
import subprocess
import sys

import pytest


def bench(repository, *arguments):
    command = [sys.executable, "-m", "bench", *map(str, arguments)]
    return subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=560)


def test_an_unknown_benchmark_is_refused(repository):
    done = bench(repository, "learnr")
    assert done.returncode == 2
    assert "no benchmark learnr; there are actor, learner, publication, peer" in done.stderr


@pytest.mark.slow
@pytest.mark.engine
@pytest.mark.timeout(600)
def test_every_benchmark_finds_a_ratio(repository, tmp_path):
    names = ["actor", "learner", "publication"]
    done = bench(repository, *names, "--smoke", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["benchmark", *names]
    for name in names:
        found = json.loads((tmp_path / f"{name}.json").read_text())
        assert found["figure"] > 0 and found["cores"] >= 1
        assert len(found["ours"]) == len(found["theirs"]) >= 2
        assert str(repository) not in json.dumps(found)
    assert found["figure"] < 1
