"""Checkpoints on disk: `checkpoints/step_N` of a run is complete, anything else is not.

A checkpoint is written beside its place and renamed as the last act, after everything in it has
reached the disk: whatever kills the run, a half-written one is never taken for a checkpoint.
"""

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

_COMPLETE = re.compile(r"step_(\d+)")
_LEFTOVER = re.compile(r"\.step_\d+\.(partial|replaced)")
_FULL_BYTES = 2**20
"""A file system with less left is full."""


def begin(checkpoints: Path, step: int) -> Path:
    """An empty directory to write the checkpoint of `step` into; `complete` makes it one."""
    partial = checkpoints / f".step_{step}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    return partial


def complete(partial: Path) -> Path:
    """Make what `begin` gave, now filled, the checkpoint of its step; returns its final path.

    An earlier checkpoint of the same step (a resumed run passes it again) is replaced.
    """
    _sync_tree(partial)
    final = partial.with_name(partial.name.removeprefix(".").removesuffix(".partial"))
    replaced = partial.with_suffix(".replaced")
    if final.exists():
        shutil.rmtree(replaced, ignore_errors=True)
        final.rename(replaced)
    partial.rename(final)
    _sync(final.parent)
    shutil.rmtree(replaced, ignore_errors=True)
    return final


def step_of(checkpoint: Path) -> int:
    """The step after which a complete checkpoint was written."""
    match = _COMPLETE.fullmatch(checkpoint.name)
    assert match, f"{checkpoint} is not a complete checkpoint"
    return int(match[1])


def complete_checkpoints(checkpoints: Path) -> list[Path]:
    """The complete checkpoints of a run, oldest step first."""
    found = [path for path in checkpoints.glob("step_*") if _COMPLETE.fullmatch(path.name)]
    return sorted(found, key=step_of)


def latest_checkpoint(run_directory: Path) -> Path | None:
    """The complete checkpoint of the last step of a run, if any."""
    found = complete_checkpoints(run_directory / "checkpoints")
    return found[-1] if found else None


def prune(checkpoints: Path, max_num: int, max_bytes: float) -> list[Path]:
    """Delete the oldest checkpoints beyond `max_num` or `max_bytes` in all, and leftovers.

    The newest always stays. Returns what was deleted. Call it only when none is being written.
    """
    for path in checkpoints.glob(".step_*"):
        if _LEFTOVER.fullmatch(path.name):
            shutil.rmtree(path)
    newest_first = complete_checkpoints(checkpoints)[::-1]
    deleted, total = [], 0
    for rank, path in enumerate(newest_first):
        total += _size_bytes(path)
        if rank > 0 and (rank >= max_num or total > max_bytes):
            # Renamed first: a deletion cut short must not leave half a checkpoint.
            doomed = path.with_name(f".{path.name}.replaced")
            path.rename(doomed)
            shutil.rmtree(doomed)
            deleted.append(path)
    return deleted


@contextmanager
def naming_a_full_disk(directory: Path) -> Iterator[None]:
    """Turn what libraries raise when the disk is full into the OSError that says so.

    `torch.save` reports an "unexpected pos" in an archive, safetensors a serialisation error.
    """
    try:
        yield
    except (RuntimeError, SafetensorError) as error:
        if shutil.disk_usage(directory).free >= _FULL_BYTES:
            raise
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(directory)) from error


def _size_bytes(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


def _sync_tree(directory: Path) -> None:
    for path in [directory, *directory.rglob("*")]:
        _sync(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
