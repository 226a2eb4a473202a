"""The policy as the learner sees it: a causal language model that scores chosen tokens."""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedModel

from learners.activations import on_host
from learners.head import MAX_LOGITS, TokenHead
from learners.rows import Packing
from understand_r1_zero.args import ModelArgs

FLASH_ATTENTION = "flash_attention_2"


def load_model(path: str, args: ModelArgs, *, device: str) -> PreTrainedModel:
    """Load a causal language model onto `device`, in training precision, without dropout."""
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
        path,
        dtype=getattr(torch, args.dtype),
        attn_implementation=(FLASH_ATTENTION if args.flash_attn and device == "cuda" else "sdpa"),
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
    """Whether the model takes the mask of rows that hold more than one prompt with one response."""
    return _has_only_layers(model, {"full_attention"}) and _implementation(model) == "sdpa"


def packing_of(model: PreTrainedModel) -> Packing:
    """How rows of the model may hold several prompts.

    FlashAttention reads from position ids where sequences begin; SDPA needs our mask, which says
    nothing of sliding windows. Layers with a state that runs through the row allow neither.
    """
    if can_share_prompts(model):
        return "masked"
    attends = _has_only_layers(model, {"full_attention", "sliding_attention"})
    return "by_positions" if attends and _implementation(model) == FLASH_ATTENTION else "none"


def _has_only_layers(model: PreTrainedModel, allowed: set[str]) -> bool:
    config = model.config
    window = getattr(config, "sliding_window", None)
    default = ["full_attention" if window is None else "sliding_attention"]
    types = set(getattr(config, "layer_types", None) or default)
    if window is not None:
        types.add("sliding_attention")
    return types <= allowed


def _implementation(model: PreTrainedModel) -> str | None:
    return model.config._attn_implementation


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
    at every other place cost nothing. With `offloads_activations` what the model's layers save for the
    backward pass is kept in host memory; the head saves little, and computes the rest again. The other
    arguments are as in `TokenHead`.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        temperature: float,
        max_logits: int = MAX_LOGITS,
        *,
        trains_entropy: bool = False,
        offloads_activations: bool = False,
    ) -> None:
        super().__init__()
        head: Any = model.get_output_embeddings()
        assert head is not None, "a causal language model has a head"
        # First, for its parameters to have their names in it.
        self.model: PreTrainedModel = model
        self.head = TokenHead(head, temperature, max_logits, trains_entropy=trains_entropy)
        self._offloads = offloads_activations
        self._takes_mask = can_share_prompts(model)

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
        mask = None
        # Without a mask FlashAttention goes by the positions.
        if position_ids is not None and segments is not None and self._takes_mask:
            mask = row_mask(position_ids, segments)
        with on_host(self.model, is_wanted=self._offloads):
            return self.model.base_model(
                input_ids=input_ids, position_ids=position_ids, attention_mask=mask, use_cache=False
            ).last_hidden_state.flatten(0, 1)

    def score(self, chosen: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probs and entropies, (N,) each, of `targets` after hidden states (N, H)."""
        return self.head(chosen, targets)


def row_mask(position_ids: Tensor, segments: Tensor) -> Tensor:
    """Which token may look at which in rows that hold more than one response, bool (B, 1, L, L).

    Causal, and only within the own response and its prompt, as if each response stood alone behind its
    prompt; a token of the padding sees itself. The arguments, int64 (B, L), are those of `MicroBatch`.
    """
    # A block begins where positions do. Segments are numbered from 0 in each: here, in the whole row.
    prompts = (position_ids == 0).cumsum(-1) * (segments.shape[1] + 1)
    segments = prompts + segments
    keys = segments[:, None, :]
    return ((keys == segments[:, :, None]) | (keys == prompts[:, :, None])).tril()[:, None]
