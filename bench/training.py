"""Real runs of train_zero_math.py."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.side import LOG_LINES, REPOSITORY

WARM_UP_STEPS = 2
"""The first steps also compare log-probs with the sampler's, and fill caches."""


def train(flags: Sequence[str], steps: int) -> list[dict[str, Any]]:
    """The rows of metrics.jsonl of a run of so many steps beyond the warm-up, without evaluations.

    Raises RuntimeError with the end of its output when it fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        command = [sys.executable, "train_zero_math.py", *flags]
        command += ["--save_path", str(run), "--eval_steps", "-1"]
        command += ["--max_steps", str(WARM_UP_STEPS + steps)]
        done = subprocess.run(
            command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        if done.returncode:
            tail = "\n".join(done.stdout.splitlines()[-LOG_LINES:])
            raise RuntimeError(f"train_zero_math.py ended with {done.returncode}:\n{tail}")
        lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return [row for row in rows if row["step"] > WARM_UP_STEPS]
