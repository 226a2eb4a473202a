"""Flags of `--algo dpo`: the pairs, and what is learned from them."""

from dataclasses import dataclass
from typing import Literal

PreferenceLoss = Literal[
    "dpo", "cdpo", "robust_dpo", "dpop", "slic", "ipo", "ln_dpo", "simpo", "simpo_hinge"
]

REFERENCE_FREE = ("simpo", "simpo_hinge")
MEAN_OVER_TOKENS = ("ipo", "ln_dpo", "simpo", "simpo_hinge")
"""Losses of log-probs averaged over a response's tokens; the others add them up."""

READERS = {
    "label_smoothing": ("cdpo", "robust_dpo"),
    "soft_labels": ("cdpo", "robust_dpo"),
    "dpo_positive_lambda": ("dpop",),
    "gamma_beta_ratio": ("simpo", "simpo_hinge"),
    "len_reg_alpha": ("dpo", "cdpo", "robust_dpo", "dpop", "slic"),
}
"""Which losses read a flag that not all of them read."""


@dataclass(frozen=True)
class PreferenceArgs:
    """Preference learning (learners/preference.py, pairs.py and preference_data.py)."""

    preference_loss: PreferenceLoss = "dpo"
    """dpo, cdpo (conservative), robust_dpo, dpop (DPO-positive), slic (hinge), ipo, ln_dpo (length-normalised), simpo, simpo_hinge."""
    preference_beta: float = 0.1
    """Scale of the implicit reward, beta; SimPO's is 2 to 2.5."""
    label_smoothing: float = 0.1
    """cdpo and robust_dpo: how likely a label is wrong."""
    gamma_beta_ratio: float = 0.5
    """simpo and simpo_hinge: the margin between the mean log-probs, in nats a token."""
    dpo_positive_lambda: float = 50.0
    """dpop: weight of what the chosen response lost against the reference."""
    len_reg_alpha: float = 0.0
    """Added to the scaled margin for each token that the chosen response is longer (R-DPO); 0: off."""
    sft_weight: float = 0.0
    """Weight of the chosen response's negative log-likelihood a token; 0: off."""
    pair_value_weight: float = 0.0
    """Weight of the squared error of a value head that is trained beside the policy on chosen_value and rejected_value of --preference_data; 0: off."""
    pair_margin_weight: float = 0.0
    """Weight of the hinge max(0, --pair_value_margin - (V_chosen - V_rejected)) of that head's values; 0: off."""
    pair_value_margin: float = 0.1
    """By how much the value of the chosen response should exceed that of the rejected one."""
    pairs: Literal["best_worst", "correct_incorrect"] = "best_worst"
    """Pairs of a sampled group: its best against its worst reward, or each correct against each incorrect response."""
    max_pairs_per_group: int = 8
    """correct_incorrect: at most this many pairs of one group."""
    pair_weights: Literal["none", "margin", "visits"] = "none"
    """What a pair's loss is multiplied by, scaled to mean 1: nothing, the reward margin, or the visits of both responses in the search."""
    soft_labels: Literal["none", "margin", "visits"] = "none"
    """cdpo and robust_dpo: label smoothing of each pair from its reward margin or its visits, instead of --label_smoothing."""
    preference_data: str = ""
    """jsonl, json or parquet file of {prompt, chosen, rejected}, texts or chat messages; empty: pairs of sampled groups."""
    prompt_key: str = "prompt"
    """Column of the prompt in --preference_data."""
    chosen_key: str = "chosen"
    """Column of the chosen response in --preference_data."""
    rejected_key: str = "rejected"
    """Column of the rejected response in --preference_data."""
    preference_template: str = "no"
    """What text prompts of --preference_data are put into, as --prompt_template; no: they are whole prompts already."""
    append_eos: bool = True
    """End text responses of --preference_data with the end-of-sequence token, where columns chosen_is_whole and rejected_is_whole do not say otherwise; not for steps within a solution."""
    precompute_ref_logprobs: bool = False
    """Score --preference_data with the policy as it starts, once, and keep no reference model."""

    @property
    def has_values(self) -> bool:
        """Whether a value head is trained beside the policy."""
        return self.pair_value_weight > 0 or self.pair_margin_weight > 0

    @property
    def needs_reference(self) -> bool:
        """Whether the loss compares the policy with a reference."""
        return self.preference_loss not in REFERENCE_FREE

    @property
    def needs_reference_model(self) -> bool:
        """Whether learners must hold a reference model beside the policy."""
        return self.needs_reference and not self.precompute_ref_logprobs
