"""The head of a language model on chosen tokens: log-probs and entropies, never all logits at once."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

MAX_LOGITS = 3 * 2**24
"""Logits that may exist at once: 192 MiB in float32."""
BLOCK_LOGITS = {"cpu": 2**20, "cuda": 2**24}
"""Those whose softmax is computed at once: little for the cache of a CPU, few launches on a GPU."""


class TokenHead(nn.Module):
    """Log-prob and entropy of given tokens by a language model's linear head.

    Pieces of at most `max_logits` logits are computed one after the other, and again in the backward
    pass, where each adds to the gradients of the hidden states and of the head: memory does not
    grow with tokens x vocabulary. All is float32, whatever the precision of the weights.

    Holds the head's own parameters. All pieces are one call of this module, before which ZeRO-3
    gathers them: ranks with more tokens, hence more pieces, gather no more often than others.

    Args:
        head: its weight may be tied to the embedding, and may be frozen.
        temperature: divides the logits, as in sampling.
        max_logits: at least one token's are computed at once.
        trains_entropy: whether entropies have a gradient; costs time if they do.
    """

    def __init__(
        self,
        head: nn.Linear,
        temperature: float,
        max_logits: int = MAX_LOGITS,
        *,
        trains_entropy: bool = False,
    ) -> None:
        super().__init__()
        assert isinstance(head, nn.Linear), f"the head must be a linear layer, got {type(head)}"
        self.weight = head.weight
        self.bias = head.bias
        self.temperature = temperature
        self.max_logits = max_logits
        self.trains_entropy = trains_entropy

    def forward(self, hidden: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """(N, H) hidden states, int64 (N,) tokens -> float32 (N,) log-probs, (N,) entropies, in nats.

        `log p(target)` and `-sum_v p(v) log p(v)` with `p = softmax((hidden W^T + b) / temperature)`.
        """
        most = max(1, self.max_logits // self.weight.shape[0])
        num_pieces = max(1, -(-len(targets) // most))
        options = _Options(
            self.temperature,
            max(1, -(-len(targets) // num_pieces)),
            self.trains_entropy,
        )
        return _Score.apply(hidden, self.weight, self.bias, targets, options)


class _Options(NamedTuple):
    temperature: float
    piece_tokens: int
    trains_entropy: bool

    def pieces(self, num_tokens: int) -> list[slice]:
        """Which tokens are computed at once."""
        starts = range(0, num_tokens, self.piece_tokens)
        return [slice(start, start + self.piece_tokens) for start in starts]


class _Score(torch.autograd.Function):
    """With z the logits after temperature T, e the one-hot target and S the entropy:

    `d log p / dz = e - p`, `dS / dz_v = -p_v (log p_v + S)`, then through `z = (h W^T + b) / T`.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        options: _Options,
    ) -> tuple[Tensor, Tensor]:
        ctx.last = None
        logprobs = hidden.new_empty(len(targets), dtype=torch.float32)
        entropies = torch.empty_like(logprobs)
        for piece in options.pieces(len(targets)):
            # The last one stays: the backward pass begins with it.
            ctx.last = None
            ctx.last = _log_softmax(hidden[piece], weight, bias, options.temperature)
            logprobs[piece] = ctx.last.gather(1, targets[piece, None]).squeeze(1)
            for rows in _blocks(ctx.last):
                block = ctx.last[rows]
                entropies[piece][rows] = -block.exp().mul_(block).sum(1)
        if not options.trains_entropy:
            ctx.mark_non_differentiable(entropies)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(hidden, weight, bias, targets, entropies)
        ctx.options = options
        return logprobs, entropies

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *gradients: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        hidden, weight, bias, targets, entropies = ctx.saved_tensors
        temperature = ctx.options.temperature
        distribution, ctx.last = ctx.last, None
        of_logprobs, of_entropies = (g if g is None else g / temperature for g in gradients)
        if of_logprobs is None:
            of_logprobs = torch.zeros_like(entropies)
        d_hidden, d_weight, d_bias = (
            None if part is None or not is_needed else torch.zeros_like(part, dtype=dtype)
            for part, is_needed, dtype in zip(
                (hidden, weight, bias),
                ctx.needs_input_grad,
                (hidden.dtype, torch.float32, torch.float32),
                strict=False,
            )
        )
        for piece in reversed(ctx.options.pieces(len(targets))):
            if distribution is None:
                distribution = _log_softmax(hidden[piece], weight, bias, temperature)
            d_logits = _gradient_of_logits(
                distribution,
                of_logprobs[piece, None],
                None if of_entropies is None else of_entropies[piece, None],
                entropies[piece, None],
                targets[piece, None],
            )
            if d_hidden is not None:
                d_hidden[piece] = _product(d_logits, weight)
            if d_weight is not None:
                _add_product(d_weight, d_logits.t(), hidden[piece])
            if d_bias is not None:
                d_bias += d_logits.sum(0)
            del d_logits
            distribution = None
        return (
            d_hidden,
            None if d_weight is None else d_weight.to(weight.dtype),
            None if d_bias is None else d_bias.to(bias.dtype),
            None,
            None,
        )


def _log_softmax(hidden: Tensor, weight: Tensor, bias: Tensor | None, temperature: float) -> Tensor:
    logits = _product(hidden, weight.t())
    if bias is not None:
        logits += bias
    if temperature != 1.0:
        logits /= temperature
    for rows in _blocks(logits):
        logits[rows] = torch.log_softmax(logits[rows], dim=-1)
    return logits


def _blocks(matrix: Tensor) -> list[slice]:
    """A few rows each."""
    size = max(1, BLOCK_LOGITS[matrix.device.type] // matrix.shape[1])
    return [slice(start, start + size) for start in range(0, len(matrix), size)]


def _gradient_of_logits(
    distribution: Tensor,
    of_logprobs: Tensor,
    of_entropies: Tensor | None,
    entropies: Tensor,
    targets: Tensor,
) -> Tensor:
    """(n, V) from the log-softmax (n, V), which it overwrites; all others are (n, 1)."""
    for rows in _blocks(distribution):
        block = distribution[rows]
        if of_entropies is None:
            block.exp_().mul_(-of_logprobs[rows])
            continue
        probabilities = block.exp()
        block.add_(entropies[rows]).mul_(of_entropies[rows]).add_(of_logprobs[rows])
        block.mul_(probabilities).neg_()
    return distribution.scatter_add_(1, targets, of_logprobs)


def _product(left: Tensor, right: Tensor) -> Tensor:
    """`left @ right` in float32; sums of products of 16-bit numbers are not rounded to 16 bits.

    Where `right` has 16 bits a GPU rounds `left` to as many first, as any matrix product there would.
    """
    if right.dtype == torch.float32:
        return left.float() @ right
    if right.is_cuda:
        return torch.mm(left.to(right.dtype), right, out_dtype=torch.float32)
    return left.float() @ right.float()


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """`total += left @ right`, without a second matrix of its size where torch can."""
    if right.dtype == torch.float32:
        total.addmm_(left, right)
    else:
        total += _product(left, right)
