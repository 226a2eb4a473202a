"""Means over what an optimizer step counts, pure functions of tensors."""

import torch
from torch import Tensor


def mean_weights(counts: Tensor, is_by_sequence: bool) -> Tensor:
    """The weight of every counted element of a sequence in the mean of its optimizer step, (R,) -> (R,).

    `1 / sum_j n_j`, the same for all, or by sequence `1 / (R' n_i)` with R' the sequences that have any; a
    sequence without counted elements gets 0. Because the weights are those of the whole step, the
    parts of its micro-batches, on whatever ranks, just add up.

    Args:
        counts: int64 (R,), the number n_i of tokens or step ends that count.
        is_by_sequence: `--sft_aggregation sequence`, `--value_aggregation sequence`.
    """
    if is_by_sequence:
        weights = 1.0 / (counts.clamp(min=1) * (counts > 0).sum().clamp(min=1)).float()
    else:
        weights = 1.0 / counts.sum().clamp(min=1).float().expand(len(counts))
    return torch.where(counts > 0, weights, 0.0)
