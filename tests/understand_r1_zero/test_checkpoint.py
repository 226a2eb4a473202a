import errno
import os
import signal
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from understand_r1_zero import checkpoint


def write(checkpoints: Path, step: int, num_bytes: int = 10) -> Path:
    partial = checkpoint.begin(checkpoints, step)
    (partial / "training_state").mkdir()
    (partial / "training_state" / "rank_0.pt").write_bytes(b"x" * num_bytes)
    return checkpoint.complete(partial)


def steps(checkpoints: Path) -> list[int]:
    return [checkpoint.step_of(path) for path in checkpoint.complete_checkpoints(checkpoints)]


def test_the_latest_is_that_of_the_last_step_not_of_the_last_name(tmp_path):
    for step in (2, 10, 9):
        write(tmp_path / "checkpoints", step)
    assert steps(tmp_path / "checkpoints") == [2, 9, 10]
    assert checkpoint.latest_checkpoint(tmp_path) == tmp_path / "checkpoints" / "step_10"


def test_no_checkpoint_yet(tmp_path):
    assert checkpoint.latest_checkpoint(tmp_path) is None


def test_a_half_written_checkpoint_is_ignored_then_cleared_away(tmp_path):
    checkpoints = tmp_path / "checkpoints"
    write(checkpoints, 1)
    partial = checkpoint.begin(checkpoints, 2)
    (partial / "model.safetensors").write_bytes(b"half")
    assert checkpoint.latest_checkpoint(tmp_path) == checkpoints / "step_1"
    checkpoint.prune(checkpoints, max_num=5, max_bytes=1e9)
    assert [path.name for path in checkpoints.iterdir()] == ["step_1"]


def test_begin_starts_empty_after_a_crash(tmp_path):
    (checkpoint.begin(tmp_path, 3) / "stale").write_bytes(b"x")
    assert list(checkpoint.begin(tmp_path, 3).iterdir()) == []


def test_a_step_written_again_replaces_the_old_one(tmp_path):
    write(tmp_path, 4, num_bytes=1)
    final = write(tmp_path, 4, num_bytes=7)
    assert (final / "training_state" / "rank_0.pt").stat().st_size == 7
    assert [path.name for path in tmp_path.iterdir()] == ["step_4"]


@pytest.mark.parametrize(
    ("max_num", "max_bytes", "kept"),
    [
        (5, 1e9, [1, 2, 3, 4]),
        (2, 1e9, [3, 4]),
        (5, 350, [2, 3, 4]),
        (5, 299, [3, 4]),
        (2, 150, [4]),
        (1, 1, [4]),
        (0, 0, [4]),
    ],
)
def test_prune_keeps_the_newest_within_both_limits(tmp_path, max_num, max_bytes, kept):
    for step in (1, 2, 3, 4):
        write(tmp_path, step, num_bytes=100)
    deleted = checkpoint.prune(tmp_path, max_num, max_bytes)
    assert steps(tmp_path) == kept
    assert {checkpoint_path.name for checkpoint_path in deleted} == {
        f"step_{step}" for step in (1, 2, 3, 4) if step not in kept
    }


@pytest.mark.parametrize(("free", "raised"), [(0, OSError), (2**30, RuntimeError)])
def test_a_full_disk_is_named_as_such(tmp_path, monkeypatch, free, raised):
    usage = namedtuple("usage", "total used free")(2**30, 2**30 - free, free)
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    with pytest.raises(raised) as caught, checkpoint.naming_a_full_disk(tmp_path):
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534")
    if raised is OSError:
        assert caught.value.errno == errno.ENOSPC
        assert str(tmp_path) in str(caught.value)


def test_a_killed_writer_leaves_the_last_checkpoint(tmp_path):
    write(tmp_path / "checkpoints", 1)
    program = (
        "import sys; from pathlib import Path; from understand_r1_zero import checkpoint\n"
        "for step in range(2, 10**6):\n"
        "    partial = checkpoint.begin(Path(sys.argv[1]), step)\n"
        "    for i in range(20): (partial / str(i)).write_bytes(b'x' * 1000)\n"
        "    checkpoint.complete(partial)\n"
        "    print(step, flush=True)\n"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "checkpoints")],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert writer.stdout is not None
    for _ in range(3):
        announced = int(writer.stdout.readline())
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    latest = checkpoint.latest_checkpoint(tmp_path)
    assert latest is not None
    assert checkpoint.step_of(latest) >= announced
    for path in checkpoint.complete_checkpoints(tmp_path / "checkpoints")[1:]:
        assert [file.stat().st_size for file in path.iterdir()] == [1000] * 20
