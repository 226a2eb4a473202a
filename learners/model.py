"""The policy as the learner sees it: a causal language model that scores chosen tokens."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import AutoModelForCausalLM, PreTrainedModel

from understand_r1_zero.args import ModelArgs

MAX_LOGITS = 2**26
"""Logits that may exist at once (256 MiB in float32); more are computed in pieces."""


def load_model(path: str, args: ModelArgs, *, device: str) -> PreTrainedModel:
    """Load a causal language model onto `device`, in training precision, without dropout."""
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
        path,
        dtype=torch.bfloat16 if args.bf16 else torch.float32,
        attn_implementation=(
            "flash_attention_2" if args.flash_attn and device == "cuda" else "sdpa"
        ),
        trust_remote_code=args.trust_remote_code,
    )
    _disable_dropout(model)
    nn.Module.to(model, device)
    return model


def _disable_dropout(model: nn.Module) -> None:
    """Dropout would make the old and the current policy differ before any update."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if isinstance(getattr(module, "attention_dropout", None), float):
            module.attention_dropout = 0.0  # pyright: ignore[reportArgumentType]


def can_share_prompts(model: PreTrainedModel) -> bool:
    """Whether the model takes the mask of rows that share prompts."""
    config = model.config
    layer_types = getattr(config, "layer_types", None) or ["full_attention"]
    return (
        config._attn_implementation == "sdpa"
        and getattr(config, "sliding_window", None) is None
        and set(layer_types) == {"full_attention"}
    )


def linear_cost(model: PreTrainedModel) -> float:
    """One token in the linear layers, in units of one query-key pair in all attention layers.

    `2 P / (4 n d)` FLOP over FLOP, with P the parameters outside the embeddings, n layers and d the
    width of all heads.
    """
    config = model.config
    ends = (model.get_input_embeddings(), model.get_output_embeddings())
    embeddings = {id(end.weight) for end in ends if end is not None}
    parameters = sum(p.numel() for p in model.parameters() if id(p) not in embeddings)
    head_dim = getattr(config, "head_dim", None) or (
        config.hidden_size // config.num_attention_heads
    )
    return parameters / (2 * config.num_hidden_layers * config.num_attention_heads * head_dim)


class TokenLogprobs(nn.Module):
    """Log-prob and entropy of chosen tokens under a causal language model.

    The head sees only the positions that predict a chosen token: prompts, padding and the vocabulary
    at every other place cost nothing.

    Args:
        model: the language model.
        temperature: divides the logits, as in sampling.
        max_logits: logits computed at once; beyond, pieces are recomputed in the backward pass. 0: all
            at once (ZeRO-3 needs it: every rank must run the head equally often).
        trains_entropy: entropies have a gradient, at the price of more memory.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        temperature: float,
        max_logits: int = MAX_LOGITS,
        *,
        trains_entropy: bool = False,
    ) -> None:
        super().__init__()
        assert model.get_output_embeddings() is not None, "a causal language model has a head"
        self.model: PreTrainedModel = model
        self.temperature = temperature
        self.max_logits = max_logits
        self.trains_entropy = trains_entropy

    def forward(
        self,
        input_ids: Tensor,
        sources: Tensor,
        targets: Tensor,
        position_ids: Tensor | None = None,
        segments: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """float32 (N,) log-probs and (N,) entropies in nats; see `MicroBatch`."""
        hidden = self.hidden_states(input_ids, position_ids, segments)
        return self.score(hidden.index_select(0, sources), targets)

    def hidden_states(
        self, input_ids: Tensor, position_ids: Tensor | None, segments: Tensor | None
    ) -> Tensor:
        """(B L, H): what the head sees at every position of the rows."""
        return self.model.base_model(
            input_ids=input_ids,
            position_ids=position_ids,
            attention_mask=None if segments is None else shared_prompt_mask(segments),
            use_cache=False,
        ).last_hidden_state.flatten(0, 1)

    def score(self, chosen: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probs and entropies, (N,) each, of `targets` after hidden states (N, H)."""
        vocabulary = self.model.config.vocab_size
        size = max(1, self.max_logits // vocabulary) if self.max_logits else len(targets)
        if len(targets) <= size:
            return self._score(chosen, targets)
        pieces = [
            checkpoint(self._score, *piece, use_reentrant=False)
            for piece in zip(chosen.split(size), targets.split(size), strict=True)
        ]
        return torch.cat([p[0] for p in pieces]), torch.cat([p[1] for p in pieces])

    def _score(self, hidden: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        head: Any = self.model.get_output_embeddings()
        logits = head(hidden).float()
        if self.temperature != 1.0:
            logits = logits / self.temperature
        logprobs = torch.log_softmax(logits, dim=-1)
        with torch.set_grad_enabled(self.trains_entropy and torch.is_grad_enabled()):
            entropies = -(logprobs.exp() * logprobs).sum(-1)
        return logprobs.gather(-1, targets[:, None]).squeeze(-1), entropies


def shared_prompt_mask(segments: Tensor) -> Tensor:
    """Which token may look at which in rows that share prompts, bool (B, 1, L, L).

    Causal, and only within the own response and the prompt, as if each response stood alone behind
    its prompt; `segments` are those of `MicroBatch`.
    """
    query, key = segments[:, :, None], segments[:, None, :]
    return (((key == 0) | (key == query)) & (key >= 0)).tril()[:, None]
