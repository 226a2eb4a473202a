"""Values of step ends: how a head's output is read, and how well values tell right from wrong.

A value model is a token-classification checkpoint with one label. Engines give the bare output of its
linear layer at every token (vLLM: `PoolerConfig(use_activation=False)`); **whoever reads a value applies the
activation**, which `config.json` names under `value_activation`. A policy that was trained with a value head
has such a checkpoint beside it.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from understand_r1_zero.args import Args
from understand_r1_zero.args_supervised import ValueArgs

CONFIG_KEY = "value_activation"
VALUE_MODEL = "value_model"
"""Directory of the value model inside the checkpoint of a policy that has a value head."""


def _sigmoid(outputs: np.ndarray) -> np.ndarray:
    return 0.5 * (1.0 + np.tanh(0.5 * outputs))


ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "none": lambda outputs: outputs,
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
}
"""The head's bare outputs -> values, both (S,): any number, [-1, 1], a probability."""


def activation_name(value: ValueArgs) -> str:
    """The name of the activation that a value model of these flags is read by.

    `--value_loss bce` trains the output as the logit of a probability.
    """
    if value.value_head == "tanh":
        return "tanh"
    return "sigmoid" if value.value_loss == "bce" else "none"


def trains_step_values(args: Args) -> bool:
    """Whether `--algo` trains a head on the values of step ends."""
    algo = args.algorithm.algo
    return algo == "value" or (algo == "dpo" and args.preference.has_values)


def value_model_beside(pretrain: str, activation: str) -> Path | None:
    """The value model that joint training wrote beside the policy `--pretrain`, whose head goes on.

    None where there is none with one label.

    Raises:
        ValueError: its values are read by another activation than `activation`.
    """
    directory = Path(pretrain).expanduser() / VALUE_MODEL
    if not pretrain or not (directory / "config.json").is_file():
        return None
    is_classifier, num_labels = _labels(json.loads((directory / "config.json").read_text("utf-8")))
    if not is_classifier or num_labels != 1:
        return None
    found = activation_of(directory)
    if found != activation:
        raise ValueError(
            f"--pretrain {pretrain} has a value head whose {CONFIG_KEY} is {found}, but --value_head and "
            f"--value_loss ask for {activation}; give those that it was trained with (tanh: --value_head "
            f"tanh, sigmoid: --value_loss bce, none: neither), or move {directory} away for a new head"
        )
    return directory


def activation_of(directory: Path) -> str:
    """The name of a value model's activation, by its `config.json`; another project's has none.

    Raises:
        ValueError: an activation that is not known here.
    """
    config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    name = config.get(CONFIG_KEY, "none")
    if name not in ACTIVATIONS:
        raise ValueError(
            f"{directory}: {CONFIG_KEY} must be one of {', '.join(ACTIVATIONS)}, got {name!r}; "
            "mend config.json"
        )
    return name


def is_value_model(directory: Path) -> bool:
    """Whether a token classifier's `config.json` says how its value is read, as those of `--algo value` do."""
    return CONFIG_KEY in json.loads((directory / "config.json").read_text(encoding="utf-8"))


def check_classifier(directory: Path, most_labels: int, flag: str = "--value_model") -> None:
    """Refuse what is no token-classification model with one label, or with at most `most_labels`.

    `flag` is the one that named it.

    Raises:
        ValueError: it is none, or has other labels; the remedy is named.
    """
    try:
        config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{flag} {directory} has no config.json to read: {error}") from error
    architectures = config.get("architectures") or []
    is_classifier, num_labels = _labels(config)
    if is_classifier and 1 <= num_labels <= most_labels:
        return
    wanted = "one label" if most_labels == 1 else "one label or two"
    found = (
        f"{num_labels} labels" if is_classifier else ", ".join(architectures) or "no architecture"
    )
    raise ValueError(
        f"{flag} {directory} must be a token-classification model with {wanted}, got {found}; "
        "train one with --algo value"
    )


def _labels(config: dict[str, Any]) -> tuple[bool, int]:
    """Whether a model classifies tokens, and into how many labels."""
    architectures = config.get("architectures") or []
    is_classifier = any("TokenClassification" in name for name in architectures)
    # Two is what transformers takes where nothing is said.
    return is_classifier, len(config.get("id2label", (0, 1)))


def area_under_roc(values: np.ndarray, is_right: np.ndarray) -> float:
    """How often a right step has a higher value than a wrong one; NaN unless there are both.

    `P(v+ > v-) + P(v+ = v-) / 2` over all pairs, by the sum of ranks; values (S,), bool (S,).

    Source: Mann and Whitney 1947; Hanley and McNeil 1982.
    """
    num_right = int(is_right.sum())
    num_wrong = len(values) - num_right
    if not num_right or not num_wrong:
        return float("nan")
    _, index, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2.0
    surplus = ranks[index][is_right].sum() - num_right * (num_right + 1) / 2.0
    return float(surplus / (num_right * num_wrong))
