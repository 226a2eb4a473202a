"""The other side of `peer`, alone in its environment: `trl_grpo.py TASK.json FOUND.json`.

TRL's GRPOTrainer on the CPU, with Hugging Face generation (its vLLM mode cannot update a CPU
engine's weights), set to what our run does: Dr. GRPO, no KL, one optimizer step a batch.
"""

import json
import re
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import TrainerCallback
from trl import GRPOConfig, GRPOTrainer

BOXED = re.compile(r"\\boxed\{([^{}]*)\}")
MICRO_BATCH = 64
"""Responses: of 32 to 512 the fastest here."""


class StepClock(TrainerCallback):
    """One row a step: seconds since the step before ended, mean reward, mean response length."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []
        self._ended_s = 0.0
        self._seconds = 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """The clock starts."""
        self._ended_s = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """A step has ended."""
        now_s = time.perf_counter()
        self._seconds, self._ended_s = now_s - self._ended_s, now_s

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """What TRL says of the step that has just ended."""
        if logs and "reward" in logs:
            self.rows.append(
                {
                    "seconds": self._seconds,
                    "reward": float(logs["reward"]),
                    "response_tokens": float(logs["completions/mean_length"]),
                }
            )


def reward(
    completions: Sequence[str], answers: Sequence[Sequence[str]], **_: object
) -> list[float]:
    """1 for a response whose last boxed answer is a gold answer to the letter."""
    boxed = [BOXED.findall(completion) for completion in completions]
    return [
        float(bool(found) and found[-1].strip() in gold)
        for found, gold in zip(boxed, answers, strict=True)
    ]


def configuration(task: Mapping[str, Any], folder: str) -> GRPOConfig:
    """Our run's settings by TRL's names."""
    responses = task["prompts_per_step"] * task["num_samples"]
    return GRPOConfig(
        output_dir=folder,
        max_steps=task["steps"],
        per_device_train_batch_size=min(MICRO_BATCH, responses),
        gradient_accumulation_steps=max(1, responses // MICRO_BATCH),
        num_generations=task["num_samples"],
        max_completion_length=task["max_tokens"],
        temperature=task["temperature"],
        learning_rate=task["learning_rate"],
        lr_scheduler_type="constant",
        adam_beta2=task["adam_beta_2"],
        beta=0.0,
        loss_type="dr_grpo",
        scale_rewards="none",
        shuffle_dataset=False,
        seed=task["seed"],
        logging_steps=1,
        report_to=[],
        save_strategy="no",
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        disable_tqdm=True,
    )


def main() -> None:
    """Train, and write one row a step."""
    task_path, found_path = map(Path, sys.argv[1:])
    task = json.loads(task_path.read_text(encoding="utf-8"))
    clock = StepClock()
    with tempfile.TemporaryDirectory() as folder:
        trainer = GRPOTrainer(
            model=task["model"],
            reward_funcs=reward,
            args=configuration(task, folder),
            train_dataset=Dataset.from_list(task["problems"]),
            callbacks=[clock],
        )
        trainer.train()
    found_path.write_text(json.dumps(clock.rows), encoding="utf-8")


if __name__ == "__main__":
    main()
