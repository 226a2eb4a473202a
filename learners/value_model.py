"""A value head on a causal language model: one linear layer on the last hidden state."""

import copy
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn
from transformers import AutoModelForTokenClassification, PretrainedConfig, PreTrainedModel

from learners.model import TokenLogprobs
from understand_r1_zero.values import CONFIG_KEY, value_model_beside

HEAD = "score"
"""What Hugging Face's token-classification models, and vLLM, call the linear layer."""


class TokenValues(nn.Module):
    """Log-probs, entropies and the value head's outputs from one forward pass.

    A log-prob is read where its token is predicted, an output of the head at `places`: at the token
    itself it has seen the token, as a value at the end of a step should; a critic's is read before.

    Args:
        scorer: the language model.
        head: `value_head` of it.
        has_logprobs: whether the log-probs are wanted; otherwise they and the entropies are 0, the
            vocabulary costs nothing, and a head of its own is frozen.
    """

    def __init__(self, scorer: TokenLogprobs, head: nn.Linear, *, has_logprobs: bool) -> None:
        super().__init__()
        self.scorer = scorer
        self.score = head
        self.has_logprobs = has_logprobs
        embedding = scorer.model.get_input_embeddings()
        vocabulary = scorer.model.get_output_embeddings()
        assert vocabulary is not None, "a causal language model has a head"
        if not has_logprobs and vocabulary.weight is not embedding.weight:
            vocabulary.requires_grad_(False)

    def forward(
        self,
        input_ids: Tensor,
        sources: Tensor,
        targets: Tensor,
        position_ids: Tensor | None,
        segments: Tensor | None,
        places: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """float32 (N,) log-probs, (N,) entropies in nats and (N,) outputs; see `MicroBatch`."""
        hidden = self.scorer.hidden_states(input_ids, position_ids, segments)
        outputs = self.score(hidden.index_select(0, places)).squeeze(-1).float()
        if not self.has_logprobs:
            nothing = torch.zeros_like(outputs).detach()
            return nothing, nothing, outputs
        return (*self.scorer.score(hidden.index_select(0, sources), targets), outputs)


def value_head(
    model: PreTrainedModel,
    path: str,
    seed: int,
    *,
    activation: str = "none",
    is_critic: bool = False,
) -> nn.Linear:
    """The head of the value model at `path`, or of the one beside a policy there, or a new one.

    A new head is drawn from N(0, `initializer_range`), its bias 0, as in AlphaMath; there is no dropout.
    A critic's is 0, since its first guesses would be noise in the advantages; it takes no head from beside
    a policy, which was trained to be read by `activation` at the ends of steps.

    Raises:
        ValueError: transformers has no such value model of this architecture, the one at `path` has
            several labels, or the head beside the policy is read by another activation.
    """
    config = model.config.get_text_config()
    head = nn.Linear(config.hidden_size, 1)
    _value_model(model.config, model.dtype)
    if any("ForTokenClassification" in name for name in model.config.architectures or ()):
        found = AutoModelForTokenClassification.from_pretrained(path).score
        if found.out_features != 1:
            raise ValueError(
                f"--pretrain {path} must have one label to be a value model, got "
                f"{found.out_features}; use a causal language model or a value model"
            )
        head.load_state_dict(found.state_dict())
    elif not is_critic and (directory := value_model_beside(path, activation)):
        head.load_state_dict(_saved_head(directory))
    else:
        generator = torch.Generator().manual_seed(seed)
        deviation = 0.0 if is_critic else getattr(config, "initializer_range", 0.02)
        nn.init.normal_(head.weight, std=deviation, generator=generator)
        nn.init.zeros_(head.bias)
    return head.to(model.device, model.dtype)


def _saved_head(directory: Path) -> dict[str, Tensor]:
    """The head alone: the rest of its checkpoint is the policy's trunk once more."""
    found = {}
    for path in sorted(directory.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            names = [name for name in sorted(file.keys()) if name.startswith(f"{HEAD}.")]
            found |= {name.removeprefix(f"{HEAD}."): file.get_tensor(name) for name in names}
    return found


def save_value_model(
    directory: Path, model: PreTrainedModel, tensors: dict[str, Tensor], activation: str
) -> None:
    """Write a token-classification checkpoint with one label, which vLLM's pooling runner serves.

    Args:
        directory: exists.
        model: the language model.
        tensors: its weights and the head's, by Hugging Face's names.
        activation: what a reader applies to the outputs (`understand_r1_zero.values`); the checkpoint
            and engines leave the head linear.
    """
    value_model = _value_model(model.config, model.dtype)
    setattr(value_model.config, CONFIG_KEY, activation)
    names = value_model.state_dict()
    value_model.save_pretrained(directory, state_dict={name: tensors[name] for name in names})


def _value_model(config: PretrainedConfig, dtype: torch.dtype) -> PreTrainedModel:
    """A value model without weights."""
    config = copy.deepcopy(config)
    config.num_labels = 1
    # A dropout at reading would make two readings of one value differ.
    config.classifier_dropout = 0.0
    try:
        with torch.device("meta"):
            model = AutoModelForTokenClassification.from_config(config, dtype=dtype)
    except ValueError:
        model = None
    if model is None or not isinstance(getattr(model, HEAD, None), nn.Linear):
        raise ValueError(
            f"--pretrain: transformers has no token classification with a linear layer {HEAD!r} for "
            f"{type(config).__name__}, so a value model of it could not be saved; use Qwen, Llama, "
            "Mistral, Gemma or another that has one"
        )
    return model
