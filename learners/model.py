"""The policy as the learner sees it: a causal language model that scores chosen tokens."""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedModel

from learners.head import MAX_LOGITS, TokenHead
from understand_r1_zero.args import ModelArgs


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
    at every other place cost nothing. The rest is as in `TokenHead`.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        temperature: float,
        max_logits: int = MAX_LOGITS,
        *,
        has_entropy_gradient: bool = False,
    ) -> None:
        super().__init__()
        head: Any = model.get_output_embeddings()
        assert head is not None, "a causal language model has a head"
        # First, for its parameters to have their names in it.
        self.model: PreTrainedModel = model
        self.head = TokenHead(
            head, temperature, max_logits, has_entropy_gradient=has_entropy_gradient
        )

    def forward(
        self,
        input_ids: Tensor,
        sources: Tensor,
        targets: Tensor,
        position_ids: Tensor | None = None,
        segments: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """float32 (N,) log-probs and (N,) entropies in nats; see `MicroBatch`.

        Gradients flow through the entropies only with `has_entropy_gradient`.
        """
        hidden = self.model.base_model(
            input_ids=input_ids,
            position_ids=position_ids,
            attention_mask=None if segments is None else shared_prompt_mask(segments),
            use_cache=False,
        ).last_hidden_state
        return self.head(hidden.flatten(0, 1).index_select(0, sources), targets)


def shared_prompt_mask(segments: Tensor) -> Tensor:
    """Which token may look at which in rows that share prompts, bool (B, 1, L, L).

    Causal, and only within the own response and the prompt, as if each response stood alone behind
    its prompt; `segments` are those of `MicroBatch`.
    """
    query, key = segments[:, :, None], segments[:, None, :]
    return (((key == 0) | (key == query)) & (key >= 0)).tril()[:, None]
