"""A value head beside the policy on preference pairs, against a plain loop over pairs, in this process."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from learners.batching import Batch, collate, plan
from learners.engine import StepResult
from learners.model import TokenLogprobs
from learners.pair_batch import PairBatch
from learners.pair_values import judge_values, output_slopes, pair_scoring
from learners.preference import Preference
from learners.rows import Limits
from learners.value_model import TokenValues, value_head
from tests.learners.conftest import make_qwen2
from understand_r1_zero.args import Args
from understand_r1_zero.args_preference import PreferenceArgs
from understand_r1_zero.args_supervised import ValueArgs
from understand_r1_zero.types import PreferencePair

pytestmark = pytest.mark.usefixtures("one_thread")

VOCABULARY = 64
LIMITS = {
    "one micro-batch": (Limits(10_000, 100), 1),
    "a response each": (Limits(1, 1), 1),
    "shared prompts, two ranks": (Limits(30, 100, linear_cost=1e9), 2),
}
FLAGS: dict[str, dict[str, Any]] = {
    "both": {"pair_value_weight": 0.7, "pair_margin_weight": 0.3, "pair_value_margin": 0.5},
    "squares": {"pair_value_weight": 1.5},
    "margin": {"pair_margin_weight": 2.0, "pair_value_margin": 0.2},
}


def make_pairs(seed: int, number: int = 7) -> list[PreferencePair]:
    """Ragged pairs of three prompts; responses recur; spans and places of values are given or not."""
    rng = np.random.default_rng(seed)
    prompts = [draw(rng, 2, 12) for _ in range(3)]
    responses = [draw(rng, 2, 9) for _ in range(6)]
    pairs = []
    for index in range(number):
        sides = [responses[i] for i in rng.choice(6, 2, replace=False)]
        spans, ends = [], []
        for response in sides:
            start = int(rng.integers(0, len(response)))
            end = int(rng.integers(start + 1, len(response) + 1))
            spans.append(((start, end),) if rng.random() < 0.5 else None)
            ends.append(int(rng.integers(0, len(response))))
        pairs.append(
            PreferencePair(
                prompts[int(rng.integers(0, 3))],
                *sides,
                *spans,
                weight=float(rng.uniform(0.2, 2.0)),
                values=(float(rng.uniform(-1, 1)), float(rng.uniform(-1, 1))),
                value_ends=(ends[0], ends[1]) if index % 3 else None,
            )
        )
    return pairs


def draw(rng: np.random.Generator, low: int, high: int) -> np.ndarray:
    return rng.integers(0, VOCABULARY, int(rng.integers(low, high))).astype(np.int32)


def args_of(head: str = "tanh", **flags: Any) -> Args:
    preference = PreferenceArgs(preference_beta=0.5, sft_weight=0.1, **flags)
    return replace(Args(), preference=preference, value=ValueArgs(value_head=head))


class OneProcess:
    """What `Preference` asks of a policy and of optimizer steps: gradients stay in the module."""

    has_reference = True

    def __init__(self, module: TokenValues, reference: Any, limits: Limits, ranks: int) -> None:
        self._module = module
        self._reference = TokenLogprobs(reference, 1.0)
        self._limits, self._ranks = limits, ranks
        self.loss = float("nan")
        self.trained = np.zeros(0)

    def score(self, batch: Batch, responses: np.ndarray) -> np.ndarray:
        return self._read(self._module, batch, responses, 3)

    def score_reference(self, batch: Batch) -> np.ndarray:
        return self._read(self._reference, batch, np.arange(len(batch.lengths)), 2)

    def complete(self, scores: np.ndarray) -> np.ndarray:
        return scores

    def take(self, batch: Batch, responses: np.ndarray, loss_of: Callable[..., Tensor]) -> Any:
        self.trained = responses
        for share in plan(batch, responses, self._limits, self._ranks):
            for rows in share:
                micro = collate(batch, rows)
                loss_of(micro, *self._forward(self._module, micro, 3)).backward()
        return StepResult(0.0, 0.0)

    def require_finite(self, grad_norm: float, loss: float, step: int, evidence: Any) -> None:
        self.loss = loss

    def _read(self, module: Any, batch: Batch, responses: np.ndarray, parts: int) -> np.ndarray:
        scores = np.zeros((parts, batch.num_tokens), np.float32)
        with torch.no_grad():
            for rows in plan(batch, responses, self._limits, 1)[0]:
                micro = collate(batch, rows)
                found = self._forward(module, micro, parts)
                scores[:, micro.tokens] = torch.stack(found).numpy()
        return scores

    def _forward(self, module: Any, micro: Any, parts: int) -> tuple[Tensor, ...]:
        arrays = [micro.input_ids, micro.sources, micro.targets]
        arrays += [micro.position_ids, micro.segments]
        arrays += [micro.places] if parts == 3 else []
        return module(*(None if a is None else torch.from_numpy(a) for a in arrays))


def make_policy(seed: int) -> tuple[Any, Any]:
    model = make_qwen2(seed=seed).double()
    head = value_head(model, "", seed=seed)
    torch.nn.init.normal_(head.weight, std=0.3, generator=torch.Generator().manual_seed(seed))
    torch.nn.init.constant_(head.bias, 0.2)
    return model, head


def plain_side(model: Any, prompt: np.ndarray, response: np.ndarray, spans: Any) -> Any:
    """The log-prob of the counted tokens, their number, and the hidden states of the response."""
    ids = torch.from_numpy(np.concatenate([prompt, response])).long()
    hidden = model.base_model(ids[None]).last_hidden_state[0]
    logits = model.lm_head(hidden)
    total, count, last = torch.zeros((), dtype=torch.float64), 0, -1
    for t in range(len(response)):
        if spans is None or any(start <= t < end for start, end in spans):
            row = torch.log_softmax(logits[len(prompt) + t - 1], -1)
            total, count, last = total + row[int(response[t])], count + 1, t
    return total, count, last, hidden[len(prompt) :]


def plain_loss(model: Any, head: Any, reference: Any, pairs: list[Any], args: Args) -> Any:
    """The loss of a step and its parts, one pair at a time."""
    weights, is_tanh = args.preference, args.value.value_head == "tanh"
    losses, errors, hinges, wins = [], [], [], []
    for pair in pairs:
        sides = [
            (pair.prompt_token_ids, pair.chosen_token_ids, pair.chosen_spans),
            (pair.prompt_token_ids, pair.rejected_token_ids, pair.rejected_spans),
        ]
        found = [plain_side(model, *side) for side in sides]
        with torch.no_grad():
            known = [plain_side(reference, *side)[0] for side in sides]
        margin = (found[0][0] - known[0]) - (found[1][0] - known[1])
        loss = -F.logsigmoid(weights.preference_beta * margin)
        loss = loss - weights.sft_weight * found[0][0] / found[0][1]
        losses.append(pair.weight * loss)
        values = []
        for side in range(2):
            end = found[side][2] if pair.value_ends is None else pair.value_ends[side]
            output = (head.weight[0] * found[side][3][end]).sum() + head.bias[0]
            values.append(output.tanh() if is_tanh else output)
            errors.append((values[side] - pair.values[side]) ** 2)
        gap = values[0] - values[1]
        wanted = weights.pair_value_margin
        hinges.append(wanted - gap if gap < wanted else gap * 0.0)
        wins.append(float(values[0] > values[1]))
    policy, value, hinge = (sum(each) / len(each) for each in (losses, errors, hinges))
    total = policy + weights.pair_value_weight * value + weights.pair_margin_weight * hinge
    return total, {
        "train/loss_mean": policy.item(),
        "train/value_loss": value.item(),
        "train/value_margin_loss": hinge.item(),
        "train/value_accuracy": sum(wins) / len(wins),
    }


def learn(pairs: list[Any], args: Args, limits: Limits, ranks: int) -> Any:
    """One step of `Preference` on all pairs: its metrics, the step's loss and the module."""
    model, head = make_policy(2)
    module = TokenValues(TokenLogprobs(model, 1.0), head, has_logprobs=True)
    process = OneProcess(module, make_qwen2(seed=1).double(), limits, ranks)
    objective = Preference(args, process, process)
    return objective.update(pairs, 0), process, module


def gradients(*modules: Any) -> Tensor:
    parameters = [p for module in modules for p in module.parameters()]
    return torch.cat(
        [torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten() for p in parameters]
    )


@pytest.mark.parametrize("limits", LIMITS)
@pytest.mark.parametrize("head", ["tanh", "linear"])
@pytest.mark.parametrize("name", FLAGS)
def test_two_passes_are_the_gradient_of_the_whole_loss(name, head, limits):
    for seed in range(2):
        args, pairs = args_of(head, **FLAGS[name]), make_pairs(seed)
        metrics, process, module = learn(pairs, args, *LIMITS[limits])
        model, own_head = make_policy(2)
        total, parts = plain_loss(model, own_head, make_qwen2(seed=1).double(), pairs, args)
        total.backward()
        assert process.loss == pytest.approx(total.item(), rel=1e-5)
        assert {key: metrics[key] for key in parts} == pytest.approx(parts, rel=1e-5)
        wanted = gradients(model, own_head)
        found = gradients(module.scorer.model, module.score)
        assert gradients(own_head).norm() > 1e-2
        assert (found - wanted).norm() < 1e-5 * wanted.norm()
        gap = gradients(module.score) - gradients(own_head)
        assert gap.norm() < 1e-5 * gradients(own_head).norm()


def test_without_a_head_nothing_is_said_of_values():
    pairs, args = make_pairs(0), args_of()
    metrics, process, module = learn(pairs, args, *LIMITS["one micro-batch"])
    assert not [key for key in metrics if "value" in key]
    assert process.loss == metrics["train/loss_mean"]
    assert gradients(module.score).abs().max() == 0


def test_values_are_learned_where_the_preference_has_nothing_left_to_teach():
    """A hinge that is satisfied everywhere: all that trains a response is its value."""
    args = args_of(**FLAGS["squares"])
    slic = replace(args.preference, preference_loss="slic", sft_weight=0.0)
    pairs = [replace(pair, ref_logprobs=(-1e4, 1e4)) for pair in make_pairs(0)]
    metrics, process, module = learn(
        pairs, replace(args, preference=slic), *LIMITS["one micro-batch"]
    )
    assert metrics["train/loss_mean"] == 0
    assert len(process.trained) == len(PairBatch.of(pairs, 0.0).batch.lengths)
    assert gradients(module.score).norm() > 1e-2


def hand_batch() -> PairBatch:
    """Responses 0 to 2 of two, three and one tokens; the first is chosen twice."""
    prompt = np.array([1])
    a, b, c = np.array([2, 3]), np.array([4, 5, 6]), np.array([7])
    pairs = [
        PreferencePair(prompt, a, b, weight=3.0, values=(1.0, -0.5), value_ends=(0, 1)),
        PreferencePair(prompt, a, c, weight=1.0, values=(0.5, 0.0), value_ends=(0, 0)),
    ]
    return PairBatch.of(pairs, 0.0)


OUTPUTS = np.array([0.5, 9.0, 9.0, 0.4, 9.0, -0.75], np.float32)


def test_the_terms_by_hand():
    """V of the three responses are 0.5, 0.4 and -0.75; the second pair's gap, 1.25, exceeds the margin."""
    flags = {"pair_value_weight": 2.0, "pair_margin_weight": 3.0, "pair_value_margin": 0.6}
    found = judge_values(hand_batch(), OUTPUTS, np.array([0, 1]), args_of("linear", **flags))
    errors = [0.25, 0.81, 0.0, 0.5625]
    assert found.metrics == pytest.approx(
        {"value_loss": sum(errors) / 4, "value_margin_loss": 0.5 / 2, "value_accuracy": 1.0}
    )
    assert found.loss == pytest.approx(2.0 * sum(errors) / 4 + 3.0 * 0.25)
    # By each output: 2 w_v (v - y) / 4 over its places, and -+ w_m / 2 from the one pair within the margin.
    assert found.slopes == pytest.approx([-0.5 - 1.5, 0.9 + 1.5, -0.75])


def test_a_step_counts_its_own_pairs():
    flags = {"pair_value_weight": 1.0, "pair_margin_weight": 1.0, "pair_value_margin": 0.6}
    found = judge_values(hand_batch(), OUTPUTS, np.array([1]), args_of("linear", **flags))
    assert found.metrics == pytest.approx(
        {"value_loss": 0.5625 / 2, "value_margin_loss": 0.0, "value_accuracy": 1.0}
    )
    assert found.slopes == pytest.approx([0.0, 0.0, -0.75])


def test_a_margin_needs_no_targets():
    pairs = [replace(pair, values=None) for pair in make_pairs(0)]
    batch = PairBatch.of(pairs, 0.0)
    assert batch.values is None
    outputs = np.linspace(-1, 1, batch.batch.num_tokens)
    found = judge_values(batch, outputs, np.arange(len(pairs)), args_of(**FLAGS["margin"]))
    assert found.metrics.keys() == {"value_margin_loss", "value_accuracy"}
    assert np.isfinite(found.loss) and found.slopes.any()


def test_a_value_is_read_at_the_last_token_that_counts_unless_told():
    prompt, response, other = np.array([1]), np.array([2, 3, 4, 5]), np.array([6])
    plain = PreferencePair(prompt, response, other, chosen_spans=((0, 1), (2, 3)))
    told = replace(plain, value_ends=(1, 0))
    batch = PairBatch.of([plain, told], 0.0)
    # The response is scored twice: where it is read tells the two apart.
    assert batch.value_tokens.tolist() == [2, 4, 6, 9]
    slopes = output_slopes(batch, np.array([1.0, 2.0, 3.0, 4.0]), np.array([9, 2, 3, 4]))
    assert slopes.tolist() == [4.0, 1.0, 0.0, 2.0]


def test_the_bias_is_frozen_where_only_differences_of_outputs_count():
    assert not pair_scoring(args_of("linear", **FLAGS["margin"])).is_bias_seen
    for head, name in (("tanh", "margin"), ("linear", "squares"), ("linear", "both")):
        scoring = pair_scoring(args_of(head, **FLAGS[name]))
        assert scoring.is_bias_seen and scoring.has_values and scoring.has_logprobs


def test_held_out_pairs_are_judged_as_a_step():
    pairs, args = make_pairs(1), args_of("tanh", **FLAGS["both"])
    model, head = make_policy(2)
    module = TokenValues(TokenLogprobs(model, 1.0), head, has_logprobs=True)
    reference = make_qwen2(seed=1).double()
    process = OneProcess(module, reference, *LIMITS["one micro-batch"])
    found = Preference(args, process, process).evaluate_loss(pairs)
    _, parts = plain_loss(model, head, reference, pairs, args)
    assert found["eval/preference_loss"] == pytest.approx(parts["train/loss_mean"], rel=1e-5)
    for name in ("value_loss", "value_margin_loss", "value_accuracy"):
        assert found[f"eval/{name}"] == pytest.approx(parts[f"train/{name}"], rel=1e-5)
