"""Policy-gradient updates by loops over responses and tokens: no padding, no batch, none of our mathematics."""

import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from learners.batching import optimizer_batches
from learners.policy_gradient import loss_aggregation
from understand_r1_zero.args import Args
from understand_r1_zero.types import Trajectory

Rows = list[list[float]]


def plain_updates(path: Path, batches: Sequence[list[Trajectory]], args: Args) -> dict[str, Any]:
    """An update on each batch of the model at `path`: losses, gradient norm and clipped share of each."""
    model, reference = (
        AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32) for _ in range(2)
    )
    optimizer = torch.optim.AdamW(
        model.parameters(),
        args.optim.learning_rate,
        (args.optim.adam_beta_1, args.optim.adam_beta_2),
        weight_decay=args.optim.l2,
    )
    metrics = []
    for step, batch in enumerate(batches):
        old, ref = (
            [tokens_of(each, t, args)[0].tolist() for t in batch] for each in (model, reference)
        )
        advantages = plain_advantages(batch, old, ref, args)
        size = args.responses_per_optimizer_step
        schedule = optimizer_batches(len(batch), size, 1, (args.run.seed, step))
        found = []
        for chosen in schedule:
            pg_loss, reg_loss, clipped = step_loss(
                model, batch, chosen.tolist(), (old, ref, advantages), args
            )
            optimizer.zero_grad()
            (pg_loss + reg_loss).backward()
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), args.optim.max_norm)
            optimizer.step()
            found.append((pg_loss.item(), reg_loss.item(), clipped, norm.item()))
        pg_losses, reg_losses, clipped, norms = zip(*found, strict=True)
        metrics.append(
            {
                "train/pg_loss": statistics.fmean(pg_losses),
                "train/reg_loss": statistics.fmean(reg_losses),
                "train/pg_clipfrac": statistics.fmean(clipped),
                "train/policy_grad_norm": max(norms),
            }
        )
    weights = {name: weight.detach().numpy() for name, weight in model.named_parameters()}
    return {"metrics": metrics, "weights": weights}


def tokens_of(model: Any, trajectory: Trajectory, args: Args) -> tuple[Tensor, Tensor]:
    """Log-probs and entropies of one response's tokens."""
    prompt, response = (
        torch.from_numpy(ids).long()
        for ids in (trajectory.prompt_token_ids, trajectory.response_token_ids)
    )
    logits = model(torch.cat([prompt, response])[None]).logits[0, len(prompt) - 1 : -1]
    rows = (logits / args.sampling.temperature).log_softmax(-1)
    logprobs = torch.stack([row[token] for row, token in zip(rows, response, strict=True)])
    return logprobs, torch.stack([-(row.exp() * row).sum() for row in rows])


def step_loss(
    model: Any,
    batch: list[Trajectory],
    chosen: list[int],
    rows: tuple[Rows, Rows, Rows],
    args: Args,
) -> tuple[Tensor, Tensor, float]:
    """Policy loss, KL and entropy loss, and the clipped share of an optimizer step's trained tokens."""
    olds, refs, advantages = rows
    pg_loss, reg_loss, num_clipped, num_tokens = torch.zeros(()), torch.zeros(()), 0, 0
    for i in chosen:
        length = len(olds[i])
        divisor = {
            "sequence": length * len(chosen),
            "token": sum(len(olds[j]) for j in chosen),
            "constant": args.sampling.generate_max_length * len(chosen),
        }[loss_aggregation(args)]
        is_regularised = args.algorithm.beta > 0 or args.policy.ent_coef > 0
        if batch[i].is_masked or not (is_regularised or any(advantages[i])):
            continue
        new, entropies = tokens_of(model, batch[i], args)
        weights = importance(olds[i], batch[i].sampler_logprobs.tolist(), args)
        for t in range(length):
            loss, is_clipped = token_loss(new, olds[i], t, advantages[i][t], args)
            kl = token_kl(args.policy.kl_estimator, new[t], refs[i][t], olds[i][t])
            pg_loss = pg_loss + weights[t] * loss / divisor
            reg_loss = reg_loss + args.algorithm.beta * kl / divisor
            reg_loss = reg_loss - args.policy.ent_coef * entropies[t] / divisor
            num_clipped += is_clipped
        num_tokens += length
    return pg_loss, reg_loss, num_clipped / num_tokens


def token_loss(
    new: Tensor, old: list[float], t: int, advantage: float, args: Args
) -> tuple[Tensor, bool]:
    """The loss of token t, and whether a clip took its gradient or cut its weight."""
    kind, low, dual = args.policy.policy_loss, args.algorithm.cliprange, args.policy.dual_clip
    high = args.policy.cliprange_high or low
    if kind == "reinforce":
        return -advantage * new[t], False
    if kind == "cispo":
        ratio = math.exp(new[t].item() - old[t])
        return -min(ratio, 1 + high) * advantage * new[t], ratio > 1 + high
    if kind == "gspo":
        # GSPO-token: the value is that of the sequence, the gradient that of the token.
        mean = sum(new[s].item() - old[s] for s in range(len(old))) / len(old)
        ratio = math.exp(mean) * (new[t] - new[t].item()).exp()
    else:
        ratio = (new[t] - old[t]).exp()
    nothing = torch.zeros(())
    if advantage > 0 and ratio > 1 + high:
        return nothing - advantage * (1 + high), True
    if advantage < 0 and ratio < 1 - low:
        return nothing - advantage * (1 - low), True
    if advantage < 0 and dual and ratio > dual:
        return nothing - advantage * dual, True
    return -advantage * ratio, False


def importance(old: list[float], sampler: list[float], args: Args) -> list[float]:
    cap, tokens = args.algorithm.tis_c, range(len(old))
    if not cap:
        return [1.0] * len(old)
    differences = [old[t] - sampler[t] for t in tokens]
    if args.policy.is_level == "sequence":
        differences = [sum(differences)] * len(old)
    beyond = 0.0 if args.policy.is_mode == "mask" else cap
    return [w if (w := math.exp(d)) <= cap else beyond for d in differences]


def token_kl(kind: str, new: Tensor, ref: float, old: float) -> Tensor:
    k3 = (ref - new).exp() - 1 - (ref - new)
    estimates = {"k1": new - ref, "k2": (new - ref) ** 2 / 2, "k3": k3}
    return estimates[kind] if kind in estimates else (new - old).exp() * k3


def plain_advantages(batch: list[Trajectory], old: Rows, ref: Rows, args: Args) -> Rows:
    """The advantage of every token."""
    critic, c, scale = (
        args.algorithm.critic_type,
        args.algorithm.kl_penalty_coef,
        args.policy.reward_scale,
    )
    k1 = [[o - r for o, r in zip(*rows, strict=True)] for rows in zip(old, ref, strict=True)]
    groups, known = [t.group for t in batch], [t.is_known for t in batch]
    is_of_responses = critic in ("drgrpo", "grpo", "rloo")
    baselines = [t.baseline_reward if critic == "remax" else 0.0 for t in batch]
    gains = [scale * (t.reward - b) for t, b in zip(batch, baselines, strict=True)]
    outcomes = [compared(critic, gains, groups, known, i) for i in range(len(batch))]
    if is_of_responses:
        kind, sums = ("rloo" if critic == "rloo" else "drgrpo"), [sum(row) for row in k1]
        everything = [True] * len(batch)
        for i in range(len(batch)):
            outcomes[i] -= c * compared(kind, sums, groups, everything, i)
    owners = [i for i, t in enumerate(batch) for _ in t.step_ends]
    rewards = [scale * reward for t in batch for reward in t.step_rewards]
    of_owners = [groups[i] for i in owners], [known[i] for i in owners]
    steps = iter(compared(critic, rewards, *of_owners, i) for i in range(len(owners)))
    rows = []
    for i, trajectory in enumerate(batch):
        earned = [0.0 if is_of_responses else -c * k for k in k1[i]]
        for end in trajectory.step_ends:
            earned[end] += next(steps)
        earned[-1] += outcomes[i]
        for t in reversed(range(len(earned) - 1)):
            earned[t] += args.policy.gamma * earned[t + 1]
        rows.append(earned)
    if not (args.policy.whiten_adv or critic.startswith("reinforce_pp")):
        return rows
    counted = [a for t, row in zip(batch, rows, strict=True) for a in row if not t.is_masked]
    mean, std = statistics.fmean(counted), statistics.pstdev(counted)
    return [[(a - mean) / (std + 1e-8) for a in row] for row in rows]


def compared(
    critic: str, values: list[float], groups: list[int], known: list[bool], i: int
) -> float:
    """What value i is worth beside the known ones of its group."""
    if not known[i]:
        return 0.0
    if critic in ("reinforce", "reinforce_pp", "remax"):
        return values[i]
    mates = [j for j in range(len(values)) if known[j] and groups[j] == groups[i]]
    others = [values[j] for j in mates if j != i]
    if critic == "rloo":
        return values[i] - statistics.fmean(others) if others else 0.0
    everyone = [values[j] for j in mates]
    centred = values[i] - statistics.fmean(everyone)
    if critic != "grpo":
        return centred
    return centred / (statistics.stdev(everyone) + 1e-8) if others else 0.0
