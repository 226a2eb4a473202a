"""Losses against plain Python over ragged responses, one token at a time, gradients by differences."""

import math
import random
from dataclasses import dataclass, field

import pytest
import torch

from learners import losses
from learners.losses import Clip
from learners.policy_gradient import loss_aggregation
from understand_r1_zero.cli import parse

LENGTHS = [3, 1, 7, 2, 5, 0]
IS_MASKED = [False, False, True, False, False, False]
CONSTANT_LENGTH = 16
CLIP = Clip(0.2, 0.3)
STEP = 1e-6

Rows = list[list[float]]


@dataclass(frozen=True)
class Objective:
    """Flags of a loss."""

    policy_loss: str = "ppo"
    clip: Clip = CLIP
    aggregation: str = "sequence"
    tis_c: float = 0.0
    is_level: str = "token"
    is_mode: str = "truncate"
    kl_estimator: str = "k3"
    beta: float = 0.0


@dataclass(frozen=True)
class Data:
    """Log-probs and advantages of every token."""

    old: Rows
    new: Rows
    sampler: Rows
    ref: Rows
    advantages: Rows = field(default_factory=list)


def draw(seed: int) -> Data:
    rng = random.Random(seed)
    old = [[-rng.expovariate(0.7) for _ in range(n)] for n in LENGTHS]
    noisy = [[[x + rng.gauss(0, 0.5) for x in row] for row in old] for _ in range(3)]
    of_responses = [0.7, -1.3, 0.4, 0.9, -0.2, 0.6]
    advantages = [[a] * n for a, n in zip(of_responses, LENGTHS, strict=True)]
    return Data(old, *noisy, advantages)


def surrogate(ratio: float, advantage: float, clip: Clip) -> float:
    """PPO's loss, by its cases."""
    if advantage >= 0:
        return -advantage * min(ratio, 1 + clip.high)
    loss = -advantage * max(ratio, 1 - clip.low)
    return min(loss, -clip.dual * advantage) if clip.dual else loss


def plain_token_loss(
    objective: Objective, data: Data, new: Rows, i: int, t: int, frozen: Rows
) -> float:
    """The loss of one token; `frozen` is `new` where no gradient flows."""
    advantage, length = data.advantages[i][t], LENGTHS[i]
    ratio = math.exp(new[i][t] - data.old[i][t])
    if objective.policy_loss == "reinforce":
        return -advantage * new[i][t]
    if objective.policy_loss == "cispo":
        weight = min(math.exp(frozen[i][t] - data.old[i][t]), 1 + objective.clip.high)
        return -weight * advantage * new[i][t]
    if objective.policy_loss == "gspo":
        ratio = math.exp(sum(new[i][s] - data.old[i][s] for s in range(length)) / length)
    return surrogate(ratio, advantage, objective.clip)


def plain_weight(objective: Objective, data: Data, i: int, t: int) -> float:
    """The importance weight of one token."""
    if objective.tis_c == 0:
        return 1.0
    tokens = range(LENGTHS[i]) if objective.is_level == "sequence" else [t]
    weight = math.exp(sum(data.old[i][s] - data.sampler[i][s] for s in tokens))
    if weight <= objective.tis_c:
        return weight
    return objective.tis_c if objective.is_mode == "truncate" else 0.0


def plain_kl(kind: str, new: float, ref: float, old: float) -> float:
    k3 = math.exp(ref - new) - 1 - (ref - new)
    values = {"k1": new - ref, "k2": (new - ref) ** 2 / 2, "k3": k3}
    return values[kind] if kind in values else math.exp(new - old) * k3


def plain_loss(objective: Objective, data: Data, new: Rows) -> float:
    total = 0.0
    for i, length in enumerate(LENGTHS):
        divisor = {
            "sequence": length * len(LENGTHS),
            "token": sum(LENGTHS),
            "constant": CONSTANT_LENGTH * len(LENGTHS),
        }[objective.aggregation]
        for t in range(0 if IS_MASKED[i] else length):
            loss = plain_token_loss(objective, data, new, i, t, data.new)
            loss *= plain_weight(objective, data, i, t)
            kl = plain_kl(objective.kl_estimator, new[i][t], data.ref[i][t], data.old[i][t])
            total += (loss + objective.beta * kl) / divisor
    return total


def plain_gradient(objective: Objective, data: Data) -> list[float]:
    """By central differences."""
    gradient = []
    for i, length in enumerate(LENGTHS):
        for t in range(length):
            values = []
            for step in (STEP, -STEP):
                new = [list(row) for row in data.new]
                new[i][t] += step
                values.append(plain_loss(objective, data, new))
            gradient.append((values[0] - values[1]) / (2 * STEP))
    return gradient


def flat(rows: Rows) -> torch.Tensor:
    return torch.tensor([x for row in rows for x in row], dtype=torch.float64)


def responses_of(lengths: list[int]) -> torch.Tensor:
    return torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))


def loss_of(
    objective: Objective, data: Data, logprobs: torch.Tensor, chosen: list[int]
) -> torch.Tensor:
    """The part of the loss that a micro-batch of the chosen responses has, as the learner sums it."""
    tokens = torch.cat([(responses_of(LENGTHS) == i).nonzero()[:, 0] for i in chosen])
    responses = responses_of([LENGTHS[i] for i in chosen])
    new, old, sampler, ref, advantages = (
        values[tokens]
        for values in (logprobs, *map(flat, (data.old, data.sampler, data.ref, data.advantages)))
    )
    weights = losses.response_weights(
        torch.tensor(LENGTHS), torch.tensor(IS_MASKED), objective.aggregation, CONSTANT_LENGTH
    )
    loss, _ = losses.policy_loss(
        objective.policy_loss, new, old, advantages, responses, objective.clip
    )
    loss = loss * losses.importance_weights(
        old, sampler, responses, objective.tis_c, level=objective.is_level, mode=objective.is_mode
    )
    kl = losses.kl(objective.kl_estimator, new, ref, old)
    return (weights[responses_of(LENGTHS)[tokens]] * (loss + objective.beta * kl)).sum()


OBJECTIVES = [
    *(
        Objective(kind, clip, aggregation)
        for kind, clip in [
            ("ppo", CLIP),
            ("ppo", Clip(0.1, 0.1, dual=1.2)),
            ("gspo", Clip(0.02, 0.05)),
            ("gspo", Clip(0.1, 0.1, dual=1.5)),
            ("cispo", CLIP),
            ("reinforce", CLIP),
        ]
        for aggregation in ("sequence", "token", "constant")
    ),
    *(
        Objective(kind, tis_c=1.5, is_level=level, is_mode=mode)
        for kind in ("ppo", "gspo", "cispo", "reinforce")
        for level in ("token", "sequence")
        for mode in ("truncate", "mask")
        # GSPO with a weight a token is GSPO-token, whose gradient is not that of its value.
        if (kind, level) != ("gspo", "token")
    ),
    *(Objective(beta=0.3, kl_estimator=kind) for kind in ("k1", "k2", "k3", "k3_is")),
    Objective("reinforce", aggregation="token", beta=0.3, tis_c=1.1),
]


@pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
@pytest.mark.parametrize("seed", [1, 2])
def test_loss_and_gradient_equal_the_plain_loop(objective, seed):
    data = draw(seed)
    logprobs = flat(data.new).requires_grad_()
    loss = loss_of(objective, data, logprobs, [0, 1, 2, 3, 4, 5])
    loss.backward()
    assert loss.item() == pytest.approx(plain_loss(objective, data, data.new), abs=1e-7)
    assert logprobs.grad is not None
    expected = plain_gradient(objective, data)
    assert logprobs.grad.tolist() == pytest.approx(expected, rel=1e-5, abs=1e-8)
    assert any(expected)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
@pytest.mark.parametrize("split", [[[2, 0], [5, 4, 3, 1]], [[4], [1], [0], [2], [3], [5]]])
def test_parts_of_a_step_add_up_whatever_the_split_and_order(objective, split):
    data = draw(3)
    gradients = []
    for chunks in ([[0, 1, 2, 3, 4, 5]], split):
        logprobs = flat(data.new).requires_grad_()
        sum(loss_of(objective, data, logprobs, chunk) for chunk in chunks).backward()
        gradients.append(logprobs.grad)
    torch.testing.assert_close(*gradients, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dual", [0.0, 1.4])
def test_is_clipped_is_where_the_gradient_is_gone(dual):
    clip = Clip(0.2, 0.3, dual)
    ratio = torch.tensor([0.5, 0.9, 1.0, 1.25, 1.5]).repeat(3).requires_grad_()
    advantages = torch.tensor([1.0, -1.0, 0.0]).repeat_interleave(5)
    losses.clipped_surrogate(ratio, advantages, clip).sum().backward()
    assert ratio.grad is not None
    is_gone = (ratio.grad == 0) & (advantages != 0)
    assert torch.equal(losses.is_clipped(ratio, advantages, clip), is_gone)
    assert is_gone.sum() == (3 if dual else 2)


def test_gspo_with_an_advantage_a_token_has_the_gradient_of_gspo_token():
    """`s_i A_t` at every token: arXiv:2507.18071, eq. 17."""
    old, advantages = torch.zeros(3), torch.tensor([1.0, -2.0, 0.5])
    logprobs = torch.tensor([0.3, -0.1, 0.2]).requires_grad_()
    loss, _ = losses.policy_loss(
        "gspo", logprobs, old, advantages, torch.zeros(3, dtype=torch.int64), Clip(1.0, 1.0)
    )
    loss.sum().backward()
    assert logprobs.grad is not None
    ratio = math.exp((0.3 - 0.1 + 0.2) / 3)
    assert logprobs.grad.tolist() == pytest.approx([-ratio * a for a in advantages.tolist()])


@pytest.mark.parametrize("level", ["token", "sequence"])
@pytest.mark.parametrize("mode", ["truncate", "mask"])
def test_no_gradient_flows_through_importance_weights(level, mode):
    old, sampler = torch.zeros(3, requires_grad=True), torch.tensor([-5.0, 0.0, 5.0])
    weights = losses.importance_weights(
        old, sampler, torch.arange(3), cap=2.0, level=level, mode=mode
    )
    assert not weights.requires_grad
    beyond = 2.0 if mode == "truncate" else 0.0
    assert weights.tolist() == pytest.approx([beyond, 1.0, math.exp(-5.0)])


def test_k3_is_exact_near_zero_and_finite_far_away():
    logprobs = torch.tensor([-1.0, -1.0, -1.0, 0.0])
    ref_logprobs = logprobs + torch.tensor([0.0, 1e-4, -1e-4, -1e4])
    values = losses.k3(logprobs, ref_logprobs)
    assert values[0] == 0
    assert values[1:3].tolist() == pytest.approx([5e-9, 5e-9], rel=1e-2)
    assert values[3] == pytest.approx(39.0)


def softmax_policies(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits of a policy, and log-probs of a reference and an old policy over eight tokens."""
    generator = torch.Generator().manual_seed(seed)
    logits, ref, old = torch.randn(3, 8, generator=generator, dtype=torch.float64)
    return logits, ref.log_softmax(-1), old.log_softmax(-1)


@pytest.mark.parametrize(
    ("kind", "has_value", "has_gradient"),
    [("k1", True, False), ("k2", False, True), ("k3", True, False), ("k3_is", True, True)],
)
def test_which_estimator_is_unbiased_on_policy_in_value_and_in_gradient(
    kind, has_value, has_gradient
):
    """Expectations over all tokens, exactly: what is claimed of each in its docstring."""
    logits, ref, _ = softmax_policies(0)
    exact = logits.clone().requires_grad_()
    policy = exact.log_softmax(-1)
    kl = (policy.exp() * (policy - ref)).sum()
    kl.backward()
    own = logits.clone().requires_grad_()
    logprobs = own.log_softmax(-1)
    probabilities = logprobs.detach().exp()
    estimate = (probabilities * losses.kl(kind, logprobs, ref, logprobs.detach())).sum()
    estimate.backward()
    assert exact.grad is not None and own.grad is not None
    assert (abs(estimate - kl) < 1e-9).item() == has_value
    assert torch.allclose(own.grad, exact.grad, atol=1e-9) == has_gradient


def test_k3_is_stays_unbiased_for_tokens_of_the_old_policy():
    logits, ref, old = softmax_policies(1)
    exact, own = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    policy, logprobs = exact.log_softmax(-1), own.log_softmax(-1)
    kl = (policy.exp() * (policy - ref)).sum()
    estimate = (old.exp() * losses.k3_is(logprobs, ref, old)).sum()
    (kl + estimate).backward()
    assert estimate.item() == pytest.approx(kl.item())
    torch.testing.assert_close(own.grad, exact.grad)


def test_a_masked_response_stays_in_the_denominator():
    lengths = torch.tensor([4, 2])
    for aggregation, expected in (
        ("constant", [1 / 16, 1 / 16]),
        ("sequence", [1 / 8, 1 / 4]),
        ("token", [1 / 6, 1 / 6]),
    ):
        both = losses.response_weights(lengths, torch.tensor([False, False]), aggregation, 8)
        one = losses.response_weights(lengths, torch.tensor([False, True]), aggregation, 8)
        assert both.tolist() == pytest.approx(expected)
        assert one.tolist() == pytest.approx([expected[0], 0.0])


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("--critic_type drgrpo", "constant"),
        ("--critic_type grpo", "sequence"),
        ("--critic_type rloo", "constant"),
        ("--critic_type reinforce_pp", "token"),
        ("--policy_loss gspo", "sequence"),
        ("--policy_loss cispo --critic_type grpo", "token"),
        ("--policy_loss gspo --loss_aggregation constant", "constant"),
    ],
)
def test_the_aggregation_is_that_of_the_papers_unless_told(flags, expected):
    assert loss_aggregation(parse(flags.split())) == expected


def test_an_empty_micro_batch_has_a_loss_of_0():
    nothing, responses = torch.zeros(0), torch.zeros(0, dtype=torch.int64)
    for kind in ("ppo", "gspo", "cispo", "reinforce"):
        loss, clipped = losses.policy_loss(kind, nothing, nothing, nothing, responses, CLIP)
        assert loss.sum() == 0 and len(clipped) == 0
    weights = losses.importance_weights(nothing, nothing, responses, 2.0, level="sequence")
    assert len(weights) == 0
