"""Supervised and value examples drawn at random, and their losses by loops over whole sequences."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import logsigmoid
from transformers import AutoModelForCausalLM

from learners.value_model import value_head
from understand_r1_zero.args import Args
from understand_r1_zero.encoding import SupervisedExample
from understand_r1_zero.value_examples import ValueExample

VOCABULARY = 64


def make_examples(seed: int, number: int = 12) -> list[SupervisedExample]:
    """Ragged examples, some with one prompt, some with tokens that are not trained."""
    rng = np.random.default_rng(seed)
    prompts = [rng.integers(0, VOCABULARY, int(rng.integers(1, 12))) for _ in range(number)]
    examples = []
    for index in range(number):
        length = int(rng.integers(1, 10))
        is_trained = (rng.random(length) < 0.7) | (np.arange(length) == length - 1)
        completion = rng.integers(0, VOCABULARY, length).astype(np.int32)
        prompt = prompts[index - index % 2].astype(np.int32)
        examples.append(SupervisedExample(prompt, completion, is_trained))
    return examples


def make_value_examples(seed: int) -> list[ValueExample]:
    """Ragged solutions with one to three step ends; three groups, one of right steps alone."""
    rng = np.random.default_rng(seed)
    examples = []
    for index, text in enumerate(make_examples(seed)):
        length = len(text.completion_token_ids)
        number = int(rng.integers(1, min(3, length) + 1))
        ends = np.sort(rng.choice(length, number, replace=False)).astype(np.int32)
        targets = rng.integers(0, 2, number).astype(np.float32) if index % 3 else np.ones(number)
        if targets[-1] != 1:
            text = dataclasses.replace(text, is_trained=np.zeros(length, bool))
        examples.append(ValueExample(text, ends, targets.astype(np.float32), index % 3))
    return examples


def plain_sft(model_path: Path, aggregation: str, on_prompt: bool) -> dict[str, float]:
    model = AutoModelForCausalLM.from_pretrained(model_path, dtype=torch.float32)
    sums, means, count = torch.zeros(()), [], 0
    for example in make_examples(0):
        prompt = torch.from_numpy(example.prompt_token_ids).long()
        ids = torch.cat([prompt, torch.from_numpy(example.completion_token_ids).long()])
        logits = model(ids[None]).logits[0]
        losses = []
        for place in range(1, len(ids)):
            of_completion = place - len(prompt)
            if on_prompt or (of_completion >= 0 and example.is_trained[of_completion]):
                losses.append(-logits[place - 1].log_softmax(-1)[ids[place]])
        sums, count = sums + sum(losses), count + len(losses)
        means.append(sum(losses) / len(losses))
    loss = sums / count if aggregation == "token" else sum(means) / len(means)
    return loss_and_norm(loss, model.parameters()) | {"tokens": count, "nll": sums.item() / count}


def plain_value(model_path: Path, args: Args) -> dict[str, float]:
    """The first step by `args.value`, `args.supervised`: its losses and gradient norm."""
    flags, by_step, by_sequence = args.value, [], []
    model = AutoModelForCausalLM.from_pretrained(model_path, dtype=torch.float32)
    head = value_head(model, str(model_path), Args().run.seed)
    outputs, targets, groups, policy = [], [], [], []
    for example in make_value_examples(0):
        text = example.text
        prompt = torch.from_numpy(text.prompt_token_ids).long()
        ids = torch.cat([prompt, torch.from_numpy(text.completion_token_ids).long()])
        hidden = model.base_model(ids[None]).last_hidden_state[0]
        own = [head(hidden[len(prompt) + end])[0] for end in example.step_ends.tolist()]
        values = [output.tanh() if flags.value_head == "tanh" else output for output in own]
        if flags.value_loss == "bce":
            pairs = zip(own, example.targets.tolist(), strict=True)
            losses = [-(y * logsigmoid(o) + (1 - y) * logsigmoid(-o)) for o, y in pairs]
        else:
            losses = [(v - y) ** 2 for v, y in zip(values, example.targets.tolist(), strict=True)]
        outputs += values
        targets += example.targets.tolist()
        groups += [example.group] * len(own)
        by_step += losses
        by_sequence.append(sum(losses) / len(losses))
        logprobs = model(ids[None]).logits[0].log_softmax(-1)
        policy.append(
            [
                -logprobs[len(prompt) + t - 1, ids[len(prompt) + t]]
                for t in np.flatnonzero(text.is_trained).tolist()
            ]
        )
    if flags.value_loss == "ranking":
        value = plain_ranking(outputs, targets, groups)
    else:
        value = mean(by_step if flags.value_aggregation == "step" else by_sequence)
    if args.supervised.sft_aggregation == "sequence":
        cross_entropy = mean([mean(tokens) for tokens in policy if tokens])
    else:
        cross_entropy = mean([loss for tokens in policy for loss in tokens])
    loss = cross_entropy + flags.value_beta * value if flags.value_joint else value
    found = loss_and_norm(loss, [*model.parameters(), *head.parameters()])
    return found | {"value": value.item(), "policy": cross_entropy.item()}


def mean(values: list[Any]) -> Any:
    return sum(values) / len(values)


def plain_ranking(outputs: list[Any], targets: list[float], groups: list[int]) -> Any:
    losses = []
    for group in set(groups):
        own = [(o, y) for o, y, g in zip(outputs, targets, groups, strict=True) if g == group]
        pairs = [a - b for a, y in own for b, z in own if y == 1 and z == 0]
        if pairs:
            losses.append(sum((-p).exp().log1p() for p in pairs) / len(pairs))
    return sum(losses) / len(losses)


def loss_and_norm(loss: Any, parameters: Any) -> dict[str, float]:
    parameters = list(parameters)
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    gradients = [gradient for gradient in found if gradient is not None]
    return {"loss": loss.item(), "norm": float(torch.nn.utils.get_total_norm(gradients))}


def parity_examples(seed: int, number: int) -> list[ValueExample]:
    rng = np.random.default_rng(seed)
    examples = []
    for index in range(number):
        ids = rng.integers(10, VOCABULARY, 6).astype(np.int32)
        mark = int(rng.integers(0, 10))
        ids[rng.integers(0, 5)] = mark
        text = SupervisedExample(ids[:1], ids[1:], np.zeros(5, bool))
        target = np.array([float(mark % 2)], np.float32)
        examples.append(ValueExample(text, np.array([4], np.int32), target, index // 8))
    return examples
