"""Directories as values, for nodes that share no file system: Ray carries the bytes."""

from collections.abc import Mapping
from pathlib import Path

Files = Mapping[str, bytes]
"""Contents by path, relative to a directory."""


def pack(directory: Path) -> dict[str, bytes]:
    """Every file below a directory."""
    files = (path for path in sorted(directory.rglob("*")) if path.is_file())
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}


def unpack(files: Files, directory: Path) -> None:
    """Write what `pack` read below another directory."""
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
