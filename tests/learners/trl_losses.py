"""TRL's side of `test_against_trl.py`, alone in its environment: `trl_losses.py TASK.json FOUND.json`.

TRL has no pure losses: its formulas stand in methods of its trainers, between the model's forward pass
and the metrics. So each case builds the real trainer on a real, tiny model and calls those methods:
rewards become advantages and importance weights in `_generate_and_score_completions`, these the loss in
`_compute_loss`, padding and masks included. Only what a model would find is given instead: `Given`
stands for its forward pass, and `_generate_single_turn` returns given tokens. None of TRL's formulas is
repeated here, and none of our code imported.
"""

import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from datasets import Dataset
from transformers import AutoTokenizer
from trl import DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer
from trl.experimental.cpo import CPOConfig, CPOTrainer

TRAINERS = {
    "grpo": (GRPOTrainer, GRPOConfig),
    "rloo": (RLOOTrainer, RLOOConfig),
    "dpo": (DPOTrainer, DPOConfig),
    "cpo": (CPOTrainer, CPOConfig),
}
NEVER = -1e4
"""A logit whose probability is 0 in float32."""


@dataclass
class Known:
    """A prompt and a response to it, with log-prob and entropy of each token of the response."""

    prompt: list[int]
    response: list[int]
    logprobs: torch.Tensor
    entropies: torch.Tensor = field(default_factory=lambda: torch.zeros(0))


class Given:
    """A model's forward pass whose log-probs are known for every sequence it is asked about."""

    def __init__(self, sequences: Sequence[Known], pad: int, vocabulary: int) -> None:
        self._pad, self._vocabulary = pad, vocabulary
        self._known = {self._key(s.prompt + s.response): s for s in sequences}
        assert len(self._known) == len(sequences), "every sequence is another"

    def _key(self, token_ids: Sequence[int]) -> tuple[int, ...]:
        return tuple(token for token in token_ids if token != self._pad)

    def __call__(
        self, input_ids: torch.Tensor, labels: torch.Tensor | None = None, **_: Any
    ) -> SimpleNamespace:
        """Fields of TRL's fused head if there are labels, as it has them: 0 where a label is -100."""
        width, rows = input_ids.shape[1], []
        for row in input_ids.tolist():
            sequence = self._known[self._key(row)]
            padding = next(i for i, token in enumerate(row) if token != self._pad)
            rows.append((sequence, padding + len(sequence.prompt)))
        if labels is None:
            return SimpleNamespace(logits=self._logits(rows, width))

        def placed(name: str) -> torch.Tensor:
            values = [(getattr(sequence, name), start) for sequence, start in rows]
            padded = [F.pad(v, (start, width - start - len(v))) for v, start in values]
            return (torch.stack(padded) * (labels != -100))[:, 1:]

        has_entropies = all(len(sequence.entropies) for sequence, _ in rows)
        zeros = torch.zeros(len(rows), width - 1)
        return SimpleNamespace(
            log_probs=placed("logprobs"),
            entropy=placed("entropies") if has_entropies else zeros,
            mean_logits=zeros,
            is_top1=zeros.bool(),
        )

    def _logits(self, rows: Sequence[tuple[Known, int]], width: int) -> torch.Tensor:
        """Logits whose log-softmax at each response token is its log-prob; another token has the rest."""
        logits = []
        for sequence, start in rows:
            targets = torch.tensor(sequence.response)
            cells = torch.full((width, self._vocabulary), NEVER)
            places = torch.arange(start - 1, start - 1 + len(targets))
            rest = torch.log1p(-sequence.logprobs.exp())
            cells = cells.index_put((places, targets), sequence.logprobs)
            logits.append(cells.index_put((places, (targets + 1) % self._vocabulary), rest))
        return torch.stack(logits)


def make_trainer(task: dict[str, Any], case: dict[str, Any], folder: str) -> Any:
    """The case's trainer on the task's model, on the CPU in float32."""
    trainer_class, config_class = TRAINERS[case["trainer"]]
    config = config_class(
        output_dir=folder,
        report_to=[],
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        disable_tqdm=True,
        **case["options"],
    )
    row: dict[str, Any] = {"prompt": "1"}
    arguments: dict[str, Any] = {}
    if case["trainer"] in ("grpo", "rloo"):
        arguments["reward_funcs"] = lambda completions, reward, **_: reward
    else:
        row |= {"chosen": "2", "rejected": "3"}
        arguments["processing_class"] = AutoTokenizer.from_pretrained(task["model"])
    model: Any = task["model"]
    rows = Dataset.from_list([row] * 64)
    trainer: Any = trainer_class(model=model, args=config, train_dataset=rows, **arguments)
    trainer.model.train()
    return trainer


def policy_run(trainer: Any, case: dict[str, Any], run: dict[str, Any]) -> dict[str, Any]:
    """Advantages of one generation batch, and loss and gradient of each of its optimizer steps."""
    tokenizer = trainer.processing_class
    prompts = [tokenizer(prompt)["input_ids"] for prompt in run["prompts"]]
    is_grpo = case["trainer"] == "grpo"

    def given(name: str, *, requires_grad: bool = False) -> tuple[Given, list[Known]]:
        sequences = [
            Known(
                prompt,
                response,
                torch.tensor(logprobs, requires_grad=requires_grad),
                torch.tensor(entropies, requires_grad=requires_grad),
            )
            for prompt, response, logprobs, entropies in zip(
                prompts, run["responses"], run[name], run["entropies"], strict=True
            )
        ]
        return Given(sequences, tokenizer.pad_token_id, len(tokenizer)), sequences

    trainer.model.forward = given("old")[0]
    if trainer.ref_model is not None:
        trainer.ref_model.forward = given("ref")[0]
    sampled = (run["responses"], run["sampler"]) if is_grpo else run["responses"]
    trainer._generate_single_turn = lambda *_: sampled
    if is_grpo:
        # The engine itself is never asked: this has the importance weights computed and applied.
        trainer.use_vllm = case["corrects_sampler"]
    inputs = [
        {"prompt": prompt, "reward": reward}
        for prompt, reward in zip(run["prompts"], run["rewards"], strict=True)
    ]
    scored = trainer._generate_and_score_completions(inputs)
    found = {"advantages": scored["advantages"].tolist(), "steps": []}
    for micro_batches in run["steps"]:
        trainer.current_gradient_accumulation_steps = len(micro_batches)
        policy, sequences = given("new", requires_grad=True)
        total = 0.0
        for rows in micro_batches:
            part = {key: value[rows] if value.dim() else value for key, value in scored.items()}
            loss = trainer._compute_loss(policy, part)
            loss.backward()
            total += loss.item()
        found["steps"].append(
            {
                "loss": total,
                "gradient": gradients([s.logprobs for s in sequences]),
                "entropy_gradient": gradients([s.entropies for s in sequences]),
            }
        )
    return found


def preference_run(trainer: Any, case: dict[str, Any], run: dict[str, Any]) -> dict[str, Any]:
    """Loss and gradient of each optimizer step of pairs."""
    tokenizer = trainer.processing_class
    sides = ("chosen", "rejected")

    def given(name: str, *, requires_grad: bool = False) -> tuple[Given, dict[str, list]]:
        sequences = {
            side: [
                Known(pair["prompt"], pair[side], torch.tensor(pair[f"{name}_{side}"]))
                for pair in run["pairs"]
            ]
            for side in sides
        }
        everything = [s for side in sides for s in sequences[side]]
        for sequence in everything:
            sequence.logprobs.requires_grad_(requires_grad)
        return Given(everything, tokenizer.pad_token_id, len(tokenizer)), sequences

    found: dict[str, Any] = {"steps": []}
    for chosen in run["steps"]:
        policy, sequences = given("new", requires_grad=True)
        pairs = [run["pairs"][index] for index in chosen]
        if case["trainer"] == "dpo":
            trainer.ref_model.forward = given("ref")[0]
            examples = [
                {"prompt_ids": pair["prompt"], **{f"{side}_ids": pair[side] for side in sides}}
                for pair in pairs
            ]
            loss = trainer._compute_loss(policy, trainer.data_collator(examples), False)
        else:
            examples = [labelled(pair, sides) for pair in pairs]
            loss, _ = trainer.get_batch_loss_metrics(policy, trainer.data_collator(examples))
        loss.backward()
        step = {side: gradients([s.logprobs for s in sequences[side]]) for side in sides}
        found["steps"].append({"loss": loss.item(), **step})
    return found


def labelled(pair: dict[str, Any], sides: Sequence[str]) -> dict[str, list[int]]:
    """A pair as `CPOTrainer.tokenize_row` leaves it: labels are -100 over the prompt."""
    example = {}
    for side in sides:
        prompt, response = pair["prompt"], pair[side]
        example[f"{side}_input_ids"] = prompt + response
        example[f"{side}_attention_mask"] = [1] * len(prompt + response)
        example[f"{side}_labels"] = [-100] * len(prompt) + response
    return example


def gradients(leaves: Sequence[torch.Tensor]) -> list[list[float]]:
    """Of each leaf; 0 where the loss did not reach it."""
    return [(torch.zeros_like(x) if x.grad is None else x.grad).tolist() for x in leaves]


def main() -> None:
    """Run every case, and write what it found in the same order."""
    task_path, found_path = map(Path, sys.argv[1:])
    task = json.loads(task_path.read_text(encoding="utf-8"))
    torch.set_num_threads(1)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, case in task["cases"].items():
            trainer = make_trainer(task, case, folder)
            is_policy = case["trainer"] in ("grpo", "rloo")
            run_case = policy_run if is_policy else preference_run
            found[name] = [run_case(trainer, case, run) for run in case["runs"]]
    found_path.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
