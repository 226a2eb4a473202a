"""Log-probs and entropies in pieces against every logit at once, and their gradients."""

from collections.abc import Iterator

import pytest
import torch
from torch import nn

import learners.head
from learners.head import TokenHead

TOKENS, HIDDEN, VOCABULARY = 13, 8, 50


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch) -> None:
    """Several in a piece."""
    monkeypatch.setitem(learners.head.BLOCK_LOGITS, "cpu", 3 * VOCABULARY)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """So little work is slower on two threads, and far slower on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make(has_bias: bool = False, dtype=torch.float32):
    torch.manual_seed(0)
    head = nn.Linear(HIDDEN, VOCABULARY, bias=has_bias)
    hidden = torch.randn(TOKENS, HIDDEN) * 2
    targets = torch.randint(0, VOCABULARY, (TOKENS,))
    return head.to(dtype), hidden.to(dtype).requires_grad_(), targets


def by_the_token(head, hidden, targets, temperature):
    """A loop over tokens and words, in float64."""
    weight = head.weight.double()
    bias = torch.zeros(VOCABULARY).double() if head.bias is None else head.bias.double()
    logprobs, entropies = [], []
    for h, target in zip(hidden.double(), targets, strict=True):
        logits = torch.stack([(h @ w + b) / temperature for w, b in zip(weight, bias, strict=True)])
        p = logits.exp() / logits.exp().sum()
        logprobs.append(p[target].log())
        entropies.append(-sum(x * x.log() for x in p))
    return torch.stack(logprobs), torch.stack(entropies)


def gradients(head, hidden, logprobs, entropies, entropy_weight):
    weights = torch.linspace(-1, 1, TOKENS).to(logprobs.dtype)
    loss = (weights * logprobs).sum()
    if entropy_weight:
        loss = loss + entropy_weight * (weights.flip(0) * entropies).sum()
    return torch.autograd.grad(loss, [hidden, *head.parameters()])


PIECES = [VOCABULARY * TOKENS, VOCABULARY * 4, VOCABULARY, 1]


@pytest.mark.parametrize("max_logits", PIECES)
@pytest.mark.parametrize("has_bias", [False, True])
@pytest.mark.parametrize("temperature", [1.0, 0.6])
@pytest.mark.parametrize("entropy_weight", [0.0, 0.3])
def test_a_head_in_pieces_equals_a_loop(max_logits, has_bias, temperature, entropy_weight):
    head, hidden, targets = make(has_bias)
    scorer = TokenHead(head, temperature, max_logits, trains_entropy=entropy_weight > 0)
    found, expected = scorer(hidden, targets), by_the_token(head, hidden, targets, temperature)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.double(), other, atol=1e-5, rtol=1e-5)
    for one, other in zip(
        gradients(head, hidden, *found, entropy_weight),
        gradients(head, hidden, *expected, entropy_weight),
        strict=True,
    ):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("max_logits", PIECES)
def test_gradients_of_finite_differences(max_logits):
    head, hidden, targets = make(has_bias=True)
    scorer = TokenHead(head, 0.6, max_logits, trains_entropy=True)
    inputs = [hidden, *head.parameters()]
    found = gradients(head, hidden, *scorer(hidden, targets), 0.3)
    step, weights = 1e-2, torch.linspace(-1, 1, TOKENS)

    def loss() -> torch.Tensor:
        logprobs, entropies = scorer(hidden, targets)
        return (weights * logprobs + 0.3 * weights.flip(0) * entropies).sum()

    for value, gradient in zip(inputs, found, strict=True):
        direction = torch.randn_like(value)
        with torch.no_grad():
            value += step * direction
            above = loss()
            value -= 2 * step * direction
            slope = (above - loss()) / (2 * step)
            value += step * direction
        assert slope == pytest.approx((gradient * direction).sum().item(), rel=0.02, abs=0.02)


def test_entropies_have_no_gradient_unless_asked_for():
    head, hidden, targets = make()
    logprobs, entropies = TokenHead(head, 1.0)(hidden, targets)
    assert logprobs.requires_grad and not entropies.requires_grad
    _, entropies = TokenHead(head, 1.0, trains_entropy=True)(hidden, targets)
    expected = by_the_token(head, hidden, targets, 1.0)[1]
    found, other = (torch.autograd.grad(e.sum(), [hidden])[0] for e in (entropies, expected))
    torch.testing.assert_close(found, other, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("max_logits", PIECES)
def test_bf16_weights_have_float32_logits(max_logits):
    head, hidden, targets = make(has_bias=True, dtype=torch.bfloat16)
    found = TokenHead(head, 0.6, max_logits, trains_entropy=True)(hidden, targets)
    expected = by_the_token(head, hidden, targets, 0.6)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == torch.float32
        torch.testing.assert_close(one.double(), other, atol=1e-5, rtol=1e-5)
    for one, other in zip(
        gradients(head, hidden, *found, 0.3), gradients(head, hidden, *expected, 0.3), strict=True
    ):
        assert one.dtype == torch.bfloat16
        torch.testing.assert_close(one, other, atol=1e-2, rtol=1e-2)


def test_a_frozen_head_gets_no_gradient_and_others_the_same():
    head, hidden, targets = make(has_bias=True)
    (expected,) = torch.autograd.grad(TokenHead(head, 1.0, 100)(hidden, targets)[0].sum(), hidden)
    head.requires_grad_(False)
    logprobs, _ = TokenHead(head, 1.0, 100)(hidden, targets)
    logprobs.sum().backward()
    assert head.weight.grad is None and head.bias.grad is None
    assert torch.equal(hidden.grad, expected)


def test_a_graph_that_is_kept_gives_the_same_gradient_again():
    head, hidden, targets = make()
    logprobs, _ = TokenHead(head, 1.0, VOCABULARY * 4)(hidden, targets)
    first, second = (
        torch.autograd.grad(logprobs.sum(), [hidden, head.weight], retain_graph=True)
        for _ in range(2)
    )
    for one, other in zip(first, second, strict=True):
        torch.testing.assert_close(one, other)


def test_no_tokens_give_zero_gradients():
    head, hidden, targets = make(has_bias=True)
    logprobs, entropies = TokenHead(head, 1.0)(hidden[:0], targets[:0])
    assert logprobs.shape == entropies.shape == (0,)
    for gradient in torch.autograd.grad(logprobs.sum(), [hidden, *head.parameters()]):
        assert gradient.abs().max() == 0


@pytest.mark.parametrize("max_logits", [VOCABULARY * 4, VOCABULARY])
def test_no_more_logits_than_allowed_exist_at_once(max_logits, monkeypatch):
    head, hidden, targets = make()
    sizes = []
    original = learners.head._log_softmax

    def noting(*arguments):
        logits = original(*arguments)
        sizes.append(logits.numel())
        return logits

    monkeypatch.setattr(learners.head, "_log_softmax", noting)
    TokenHead(head, 1.0, max_logits)(hidden, targets)[0].sum().backward()
    assert max(sizes) <= max_logits
    # Every piece twice, but the last of them once.
    pieces = -(-TOKENS * VOCABULARY // max_logits)
    assert len(sizes) == 2 * pieces - 1
