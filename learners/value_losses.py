"""Losses of value models, pure functions of tensors, to be minimised.

S is the number of step ends; `outputs` are the bare outputs of the value head's linear layer, `values`
what an activation makes of them.
"""

import torch
from torch import Tensor
from torch.nn import functional


def squared_error(values: Tensor, targets: Tensor) -> Tensor:
    """Squared error of each value, (S,), (S,) -> (S,).

    `(v - y)^2`, in the squared unit of the targets.

    Source: AlphaMath, Chen et al. 2024, arXiv:2405.03553 (v = tanh of the output, y the Q of a search tree);
    ReST-MCTS*, Zhang et al. 2024, arXiv:2406.03816 (y in [0, 1]). We depart from ReST-MCTS*'s code, whose
    linear layer reads the logits of the last position: ours reads the hidden state.
    """
    return (values - targets).square()


def clipped_squared_error(
    values: Tensor, old_values: Tensor, returns: Tensor, cliprange: float
) -> tuple[Tensor, Tensor]:
    """PPO's loss of a critic at each token, (N,), (N,), (N,) -> (N,), and where the clip took over, bool (N,).

    `1/2 max((v - R)^2, (clip(v, v_old - e, v_old + e) - R)^2)`: a value that already moved by e towards its
    return since the batch was scored has no gradient. e = 0 turns the clip off.

    Source: Schulman et al. 2017, arXiv:1707.06347, in its authors' code (openai/baselines, ppo2); the
    paper itself has the square alone.
    """
    error = (values - returns).square()
    if cliprange == 0:
        return 0.5 * error, torch.zeros_like(values, dtype=torch.bool)
    moved = (values - old_values).clamp(-cliprange, cliprange)
    clipped = (old_values + moved - returns).square()
    return 0.5 * torch.maximum(error, clipped), clipped > error


def binary_cross_entropy(outputs: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of each step's label in nats, (S,), (S,) -> (S,).

    `-(y log p + (1 - y) log(1 - p))` with `p = sigmoid(o)`, from the logit o, so that it is finite for
    every output. Hard labels are 0 and 1; soft ones lie between, and then the least loss is the
    entropy of the label, at p = y.

    Source: Math-Shepherd, Wang et al. 2024, arXiv:2312.08935 (hard and soft estimation). We depart where it
    reads p from the logits of two tokens: a head gives the logit.
    """
    return functional.binary_cross_entropy_with_logits(outputs, labels, reduction="none")


def pairwise_ranking(values: Tensor, is_right: Tensor, groups: Tensor) -> Tensor:
    """Loss of each group whose right steps should be worth more than its wrong ones, in nats, (G,).

    `-1/(n+ n-) sum_{i right, j wrong} log sigmoid(v_i - v_j)` over the pairs of one group; 0 for a group
    without both. The weight makes every group count alike, whatever the number of its steps.

    Args:
        values: (S,).
        is_right: bool (S,).
        groups: int64 (S,), from 0 to G - 1.

    Source: rStar-Math, Guan et al. 2025, arXiv:2501.04519 (the process preference model, n+ = n- = 2), with
    the weight of InstructGPT, Ouyang et al. 2022, arXiv:2203.02155, eq. 1.
    """
    is_pair = (is_right[:, None] & ~is_right[None, :]) & (groups[:, None] == groups[None, :])
    right, wrong = is_pair.nonzero(as_tuple=True)
    losses = -functional.logsigmoid(values[right] - values[wrong])
    num_groups = int(groups.max()) + 1 if len(groups) else 0
    pairs = torch.bincount(groups[right], minlength=num_groups).clamp(min=1)
    sums = torch.zeros(num_groups, dtype=losses.dtype, device=losses.device)
    return sums.index_add(0, groups[right], losses) / pairs


def value_margin(chosen: Tensor, rejected: Tensor, margin: float) -> Tensor:
    """A hinge on how much more each chosen response is worth, (P,), (P,) -> (P,), in the unit of values.

    `max(0, m - (V_c - V_r))`; no gradient from `V_c - V_r >= m` on.

    Args:
        chosen: (P,) values of the chosen responses.
        rejected: (P,) of the rejected ones.
        margin: m, what is asked for.

    Source: SVPO, Chen et al. 2024, arXiv:2406.10858, which trains a value head beside step-level preference
    learning with a margin between the values of two steps. Neither the weights nor the exact form of the
    published loss are public: the hinge, its margin and its weight (`--pair_value_margin`,
    `--pair_margin_weight`) are ours.
    """
    return torch.relu(margin - (chosen - rejected))


def joint_loss(policy_loss: Tensor, value_loss: Tensor, beta: float) -> Tensor:
    """A policy and a value head on one trunk, (), () -> ().

    `L = CE + beta V`: the cross-entropy of right solutions in nats a token, and beta times the value
    loss of right and wrong ones.

    Source: AlphaMath, Chen et al. 2024, arXiv:2405.03553; its beta is 0.1 in a table and in its authors'
    answers, 0.01 (0.0005 for Llama 3) in its text. How steps and tokens are weighed within the two losses is
    `--value_aggregation`'s and `--sft_aggregation`'s.
    """
    return policy_loss + beta * value_loss
