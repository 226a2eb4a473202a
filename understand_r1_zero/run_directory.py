"""The files of one run: configuration, metrics, samples, evaluations, and where the rest lies.

    runs/<name>/
      config.toml                          resolved flags
      metrics.jsonl                        one object a step
      samples/step_000012.jsonl            one group a line
      eval_results/{step}_{benchmark}.json
      unknown_golds.jsonl                  one problem a line whose gold answer cannot be read
      grader_audit.jsonl                   one answer a line on which grading presets disagree
      checkpoints/step_N/  plots/*.png  logs/  wandb/

A file that a reader may open while it is written appears whole or not at all. Errors of the disk
are told in one line where they happen (`disk_errors_explained`), in whichever process that is.
"""

import errno
import json
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, SupportsFloat

from understand_r1_zero.types import Group, Response, VersionSpan

RUNS = Path("runs")
"""Where runs go without --save_path."""

_REMEDIES = {
    errno.ENOSPC: "no space left on the device; free some, or lower --max_save_num",
    errno.EDQUOT: "disk quota exceeded; free some, or lower --max_save_num",
    errno.EFBIG: "the file system or a ulimit allows no larger file; use another --save_path",
    errno.EROFS: "the file system is read-only; use another --save_path",
    errno.EACCES: "permission denied; use another --save_path",
    errno.EPERM: "permission denied; use another --save_path",
}


class DiskError(RuntimeError):
    """A write that the user must make room for; the message is one line with the remedy."""


@contextmanager
def disk_errors_explained(path: Path) -> Iterator[None]:
    """Turn a full, read-only or forbidden disk under `path` into a `DiskError`; pass others on.

    Put it around every write of a run, in every process: the message is all that is needed, and it
    survives the way back through Ray, where the `errno` of an OSError does not.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _REMEDIES:
            raise
        raise DiskError(f"cannot write {path}: {_REMEDIES[error.errno]}") from error


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write a file so that readers see its old content or its new, never a part.

    A temporary file beside it is renamed over it; when writing fails, nothing stays behind.
    """
    if isinstance(content, str):
        # A lone surrogate in model or problem text becomes its JSON escape.
        content = content.encode("utf-8", errors="backslashreplace")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with disk_errors_explained(path):
        try:
            temporary.write_bytes(content)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def default_path(now: datetime) -> Path:
    """`runs/<date>-<time>` for a run without --save_path."""
    return RUNS / now.strftime("%Y-%m-%d-%H%M%S")


class RunDirectory:
    """One run's files. `RunDirectory(path)` opens an existing run; `create` starts one."""

    def __init__(self, path: Path) -> None:
        if not path.is_dir():
            raise ValueError(f"--resume must name a run directory, got {path}, which is none")
        self.path = path
        self.config = path / "config.toml"
        self.metrics = path / "metrics.jsonl"
        self.unknown_golds = path / "unknown_golds.jsonl"
        self.grader_audit = path / "grader_audit.jsonl"
        self.samples = path / "samples"
        self.eval_results = path / "eval_results"
        self.checkpoints = path / "checkpoints"
        self.plots = path / "plots"
        self.logs = path / "logs"
        self.wandb = path / "wandb"

    @classmethod
    def create(cls, path: Path) -> "RunDirectory":
        """Make the directory of a new run.

        Raises:
            ValueError: `path` is a file, or a directory that already holds something.
            DiskError: it cannot be made.
        """
        if path.exists() and not path.is_dir():
            raise ValueError(f"--save_path must be a directory, got the file {path}")
        if path.is_dir() and any(path.iterdir()):
            raise ValueError(
                f"--save_path {path} already holds files; continue that run with "
                f"--resume {path}, or choose another --save_path"
            )
        with disk_errors_explained(path):
            path.mkdir(parents=True, exist_ok=True)
            run = cls(path)
            for folder in (run.samples, run.eval_results, run.checkpoints, run.plots, run.logs):
                folder.mkdir(exist_ok=True)
        return run

    def append_metrics(self, step: int, metrics: Mapping[str, SupportsFloat]) -> None:
        """Add a step's row to metrics.jsonl and flush it; NaN and infinities become null.

        Floats keep every digit, so that two equal runs have equal files.
        """
        row = {"step": step} | {key: _json_number(value) for key, value in metrics.items()}
        append_rows(self.metrics, [row])

    def read_metrics(self) -> list[dict[str, Any]]:
        """The rows of metrics.jsonl; see `read_rows`."""
        return read_rows(self.metrics)

    def truncate_after(self, step: int) -> None:
        """Forget what lies past a checkpoint's step: rows of files, samples, evaluations.

        The resumed run writes them again; a row cut short by a kill goes too.
        """
        for path in (self.metrics, self.unknown_golds, self.grader_audit):
            rows = [row for row in read_rows(path) if row["step"] <= step]
            if path.exists():
                write_atomic(path, "".join(_dumps(row) + "\n" for row in rows))
        for folder, name in (
            (self.samples, r"step_(\d+)\.jsonl"),
            (self.eval_results, r"(\d+)_.+"),
        ):
            for file in folder.iterdir():
                match = re.fullmatch(name, file.name)
                if match and int(match[1]) > step:
                    file.unlink()

    def write_samples(
        self, step: int, groups: Sequence[Group], conventions: Mapping[str, Any]
    ) -> Path:
        """Write `samples/step_000012.jsonl`: one line a group, in the order of the problems.

        Every line holds the conventions its responses were graded under.
        """
        path = self.samples / f"step_{step:06d}.jsonl"
        ordered = sorted(groups, key=lambda group: group.index)
        records = [group_record(group) | {"conventions": conventions} for group in ordered]
        write_atomic(path, "".join(_dumps(record) + "\n" for record in records))
        return path

    def write_evaluation(
        self,
        step: int,
        benchmark: str,
        groups: Iterable[Group],
        score: Mapping[str, SupportsFloat],
        conventions: Mapping[str, Any],
    ) -> Path:
        """Write `eval_results/{step}_{benchmark}.json`: the score, and a record a problem.

        `conventions` say what was graded how, without which a score cannot be compared. Characters
        of the benchmark's name that file names may not hold become `_`.
        """
        path = self.eval_results / evaluation_name(step, benchmark)
        ordered = sorted(groups, key=lambda group: (group.problem.source, group.problem.row))
        write_atomic(
            path,
            _dumps(
                {
                    "step": step,
                    "benchmark": benchmark,
                    "score": {key: _json_number(value) for key, value in score.items()},
                    "conventions": conventions,
                    "results": [group_record(group) for group in ordered],
                }
            ),
        )
        return path

    def write_processes(self, process_ids: Mapping[str, int]) -> None:
        """Write `logs/processes.json`: which process is which, for those who watch or profile them."""
        write_atomic(self.logs / "processes.json", json.dumps(process_ids, indent=2))

    def write_crash(self, text: str) -> Path:
        """Write the traceback that ended the run to `logs/crash.txt`, over an older one."""
        path = self.logs / "crash.txt"
        write_atomic(path, text)
        return path


def append_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Add JSON objects to a file, a line each, and flush it."""
    lines = [_dumps(row) + "\n" for row in rows]
    if not lines:
        return
    # A lone surrogate in model or problem text becomes its JSON escape.
    with (
        disk_errors_explained(path),
        path.open("a", encoding="utf-8", errors="backslashreplace") as file,
    ):
        file.writelines(lines)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of metrics.jsonl or another file of a row a line, oldest first; none without a file.

    A last line that a kill cut short is left out.

    Raises:
        ValueError: another line is not JSON (file and line are named).
    """
    if not path.exists():
        return []
    # What follows the last newline is empty, or a row that was cut short.
    *lines, _ = path.read_text(encoding="utf-8").split("\n")
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}:{number} is not JSON: {error.msg}") from error
    return rows


def evaluation_name(step: int, benchmark: str) -> str:
    """File name of one benchmark's results at a step."""
    return f"{step}_{re.sub(r'[^A-Za-z0-9._-]+', '_', benchmark)}.json"


def group_record(group: Group) -> dict[str, Any]:
    """A group for people and scripts to read: texts and verdicts, no token ids."""
    return {
        "problem_id": group.problem.id,
        "problem": group.problem.text,
        "gold": list(group.problem.answers),
        "prompt": group.prompt,
        "responses": [_response_record(response) for response in group.responses],
    }


def _response_record(response: Response) -> dict[str, Any]:
    verdict = response.verdict
    record: dict[str, Any] = {
        "text": response.text,
        "reward": verdict.reward,
        "status": str(verdict.status),
        "answer": verdict.answer,
        "num_tokens": len(response.token_ids),
        "version": _version_record(response.version_spans),
    }
    if verdict.reason:
        record["reason"] = verdict.reason
    if verdict.step_rewards:
        record["step_rewards"] = list(verdict.step_rewards)
    if response.unvalued:
        record["unvalued"] = str(response.unvalued)
    if verdict.audit:
        record["presets"] = {preset: str(status) for preset, status in verdict.audit}
    return record


def _version_record(spans: Sequence[VersionSpan]) -> int | list[list[int]]:
    """The policy version, or `[version, num_tokens]` pairs when it changed within the response."""
    if len(spans) == 1:
        return spans[0].version
    return [[span.version, span.num_tokens] for span in spans]


def _json_number(value: SupportsFloat) -> float | int | None:
    """A NumPy or Python number as JSON holds it."""
    number = value if isinstance(value, int) else float(value)
    return number if math.isfinite(number) else None


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
