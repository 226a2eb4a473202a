"""Samples a second of the default run over TRL's `GRPOTrainer`: same model, problems, batch, cores.

TRL lives in an environment of its own. Both are timed from the end of one step to the end of the
next: everything that a step does counts.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.prompts import first_problems, prompts_of
from bench.result import Result
from bench.scale import Scale
from bench.side import LOG_LINES, REPOSITORY
from bench.training import WARM_UP_STEPS, train
from understand_r1_zero import cli
from understand_r1_zero.args import Args

TARGET = 1.5
ENVIRONMENT = REPOSITORY / ".venv-peer"
REQUIREMENTS = (
    ("torch==2.13.0",),
    ("trl==1.16.0", "transformers>=5.16,<5.20", "accelerate", "datasets"),
)
"""Installed one after the other: on its own, pip can find the same torch that is installed here."""


def run(scale: Scale) -> Result:
    """Measure it: ours and the peer in turn, a whole run each; one sample a run, its median step."""
    install()
    args = cli.parse(scale.flags)
    ours, theirs = [], []
    for _ in range(scale.runs):
        ours.append(_ours(scale))
        theirs.append(_theirs(args, scale.steps))
    per_step = args.responses_per_step
    return Result(
        "peer",
        "samples/s",
        [per_step / found["seconds"] for found in ours],
        [per_step / found["seconds"] for found in theirs],
        TARGET,
        details={"runs_ours": ours, "runs_theirs": theirs},
    )


def _ours(scale: Scale) -> dict[str, float]:
    rows = train(scale.flags, scale.steps)
    return {
        "seconds": statistics.median(row["time/step_s"] for row in rows),
        "response_tokens": statistics.mean(row["actor/response_tok_len"] for row in rows),
        "last_reward": rows[-1]["actor/rewards"],
    }


def _theirs(args: Args, steps: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        task = Path(folder) / "task.json"
        task.write_text(json.dumps(_task(args, WARM_UP_STEPS + steps)), encoding="utf-8")
        found = Path(folder) / "found.json"
        command = [_python(), REPOSITORY / "bench" / "trl_grpo.py", task, found]
        _checked(command, "TRL")
        rows = json.loads(found.read_text(encoding="utf-8"))[WARM_UP_STEPS:]
    return {
        "seconds": statistics.median(row["seconds"] for row in rows),
        "response_tokens": statistics.mean(row["response_tokens"] for row in rows),
        "last_reward": rows[-1]["reward"],
    }


def _task(args: Args, steps: int) -> dict[str, Any]:
    """What the peer is to do: our run, in words that need none of our code."""
    problems = first_problems(args, steps)
    prompts = prompts_of(args, problems)
    return {
        "model": str(Path(args.model.pretrain).resolve()),
        "problems": [
            {"prompt": prompt, "answers": problem.answers}
            for prompt, problem in zip(prompts, problems, strict=True)
        ],
        "steps": steps,
        "prompts_per_step": args.sampling.rollout_batch_size,
        "num_samples": args.sampling.num_samples,
        "max_tokens": args.sampling.generate_max_length,
        "temperature": args.sampling.temperature,
        "learning_rate": args.optim.learning_rate,
        "adam_beta_2": args.optim.adam_beta_2,
        "seed": args.run.seed,
    }


def install() -> None:
    """Make the peer's environment; one that was made before is left as it is."""
    done = ENVIRONMENT / ".installed"
    if done.exists():
        return
    if not _python().exists():
        _checked([sys.executable, "-m", "venv", ENVIRONMENT], "venv")
    for packages in REQUIREMENTS:
        print(f"installing {' '.join(packages)} for the peer", file=sys.stderr, flush=True)
        _checked([_python(), "-m", "pip", "install", "--quiet", *packages], "pip")
    done.touch()


def _python() -> Path:
    return ENVIRONMENT / "bin" / "python"


def _checked(command: Sequence[str | Path], name: str) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        tail = "\n".join(done.stdout.splitlines()[-LOG_LINES:])
        raise RuntimeError(f"{name} ended with {done.returncode}:\n{tail}")
