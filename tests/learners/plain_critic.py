"""PPO with a critic, one response and one token after another, without our code."""

import math

import torch
from transformers import AutoModelForCausalLM, AutoModelForTokenClassification

from tests.learners.critic_process import FLAGS, batches

GAMMA, LAM, TEMPERATURE = 0.95, 0.9, 0.8


def plain_gae(earned, values):
    """Backwards, one token at a time."""
    advantages, following, next_value = [], 0.0, 0.0
    for reward, value in zip(reversed(earned), reversed(values), strict=True):
        following = reward + GAMMA * next_value - value + GAMMA * LAM * following
        next_value = value
        advantages.append(following)
    return advantages[::-1]


def plain_earned(trajectory, k1, coefficient):
    earned = [-coefficient * k for k in k1]
    earned[-1] += trajectory.reward
    for end, reward in zip(trajectory.step_ends, trajectory.step_rewards, strict=True):
        earned[end] += reward
    return earned


def plain_update(place, kind):
    """The first update's losses and gradient norms, by a loop over responses without our code."""
    path = place / "value_model"
    critic = AutoModelForTokenClassification.from_pretrained(path, dtype=torch.float32).eval()
    policy = AutoModelForCausalLM.from_pretrained(
        place / "model" if kind == "separate" else path, dtype=torch.float32
    )
    data = batches(1)[0]
    num_tokens = sum(len(t.response_token_ids) for t in data)
    num_counted = sum(len(t.response_token_ids) for t in data if not t.is_masked)
    value_loss, pg_loss = torch.zeros(()), torch.zeros(())
    for t in data:
        if t.is_masked:
            continue
        prompt, response = (
            torch.from_numpy(ids).long() for ids in (t.prompt_token_ids, t.response_token_ids)
        )
        ids = torch.cat([prompt, response])[None]
        values = critic(ids).logits[0, len(prompt) - 1 : -1, 0]
        logits = policy(ids).logits[0, len(prompt) - 1 : -1] / TEMPERATURE
        advantages = plain_gae(plain_earned(t, [0.0] * len(response), 0.0), values.tolist())
        for i, a in enumerate(advantages):
            value_loss = value_loss + 0.5 * (values[i] - (a + values[i].item())) ** 2 / num_counted
            logprob = logits[i].log_softmax(-1)[response[i]]
            weight = min(math.exp(logprob.item() - t.sampler_logprobs[i]), 2.0)
            pg_loss = pg_loss - a * weight * (logprob - logprob.detach()).exp() / num_tokens
    norms = {}
    if kind == "separate":
        value_loss.backward()
        pg_loss.backward()
        norms["train/critic_grad_norm"] = norm_of(critic.parameters())
        norms["train/policy_grad_norm"] = norm_of(policy.parameters())
    else:
        # One trunk: what both losses say of a weight adds up.
        (pg_loss + FLAGS[kind]["vf_coef"] * value_loss).backward()
        slopes = {name.removeprefix("model."): p.grad for name, p in policy.named_parameters()}
        for name, p in critic.named_parameters():
            found = slopes.get(name.removeprefix("model."))
            slopes[name.removeprefix("model.")] = p.grad if found is None else p.grad + found
        norms["train/policy_grad_norm"] = float(
            torch.nn.utils.get_total_norm([slope for slope in slopes.values() if slope is not None])
        )
    return {"train/critic_loss": value_loss.item(), "train/pg_loss": pg_loss.item(), **norms}


def norm_of(parameters):
    return float(torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None]))
